"""How many weights of each tensor are kept: as records, and as columns of numbers.

Of many small tensors, making their records takes longer than finding their masks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swiftforce.inputs import Tensors


@dataclass(frozen=True)
class Layer:
    """One tensor of weights, and how many of them are kept.

    Attributes
    ----------
    name : str
        Its key in the mapping that was passed, or its position in the sequence; in nested ones,
        the keys that lead to it, with slashes between.
    shape : tuple of int
    size, kept : int
        Number of weights, and how many of them are kept.
    lost : tuple of int
        Positions along the first axis at which nothing is kept, if that axis may count layers,
        experts or heads.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    kept: int
    lost: tuple[int, ...] = ()

    @property
    def density(self) -> float:
        """Share of its weights that are kept; 1 for an empty tensor."""
        return self.kept / self.size if self.size else 1.0

    @property
    def sparsity(self) -> float:
        """Share of its weights that are removed."""
        return 1 - self.density

    @property
    def collapsed(self) -> bool:
        """Whether it has weights and none of them is kept."""
        return self.size > 0 and self.kept == 0


class Layers:
    """The layers of a result as columns, from which their records are made when they are needed.

    Parameters
    ----------
    names : sequence of str
    shapes : sequence of tuple of int
    sizes, kept : sequence of int
        As of `Layer`.
    lost : mapping of int to tuple of int
        The positions that are lost of some layers, by the places of those.
    """

    def __init__(
        self,
        names: Sequence[str],
        shapes: Sequence[tuple[int, ...]],
        sizes: Sequence[int],
        kept: Sequence[int],
        lost: Mapping[int, tuple[int, ...]],
    ) -> None:
        self._names, self._shapes, self._sizes, self._kept = names, shapes, sizes, kept
        self._lost = lost

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> Layers:
        """The columns of records."""
        return cls(
            [layer.name for layer in layers],
            [layer.shape for layer in layers],
            [layer.size for layer in layers],
            [layer.kept for layer in layers],
            {place: layer.lost for place, layer in enumerate(layers) if layer.lost},
        )

    @property
    def records(self) -> tuple[Layer, ...]:
        """The layers."""
        columns = zip(self._names, self._shapes, self._sizes, self._kept, strict=True)
        return tuple(
            [
                Layer(name, shape, size, kept, self._lost.get(place, ()))
                for place, (name, shape, size, kept) in enumerate(columns)
            ]
        )

    @property
    def collapsed(self) -> list[str]:
        """Names of the layers that have weights and keep none of them."""
        if 0 not in self._kept:
            return []
        columns = zip(self._names, self._sizes, self._kept, strict=True)
        return [name for name, size, kept in columns if size and not kept]

    @property
    def lost(self) -> list[str]:
        """Names of the parts of layers that keep nothing."""
        return [
            f"{self._names[place]}[{position}]"
            for place, lost in self._lost.items()
            for position in lost
        ]


def layers_of(tensors: Tensors, kept: Sequence[int]) -> tuple[Layer, ...]:
    """The layers of tensors of which so many weights are kept."""
    shapes = [array.shape for array in tensors.arrays]
    return Layers(tensors.names, shapes, tensors.sizes, kept, {}).records
