"""How each layer of a masked network computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, overload

from swiftforce.show import tables


@dataclass(frozen=True)
class LayerPlan:
    """How one weight is used.

    Attributes
    ----------
    name : str
        Of the weight.
    size : int
        How many weights there are.
    kept : int
        How many of them the mask keeps; all without a mask.
    kernels : {"sparse", "dense"}
        Whether the layer computes its outputs and gradients over the kept weights alone, or over
        all weights, zeros among them.
    reason : str
        Why.
    """

    name: str
    size: int
    kept: int
    kernels: Literal["sparse", "dense"]
    reason: str

    @property
    def density(self) -> float:
        """Kept weights / weights."""
        return self.kept / self.size


class NetworkPlan(Sequence[LayerPlan]):
    """How each layer of a network with a weight computes, in the order of the weights.

    Printing it gives a table; a notebook shows it as one.
    """

    def __init__(self, layers: Sequence[LayerPlan]) -> None:
        self._layers = tuple(layers)

    @overload
    def __getitem__(self, index: int) -> LayerPlan: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[LayerPlan, ...]: ...
    def __getitem__(self, index: int | slice) -> LayerPlan | tuple[LayerPlan, ...]:
        return self._layers[index]

    def __len__(self) -> int:
        return len(self._layers)

    def __eq__(self, other: object) -> bool:
        """Whether another plan has equal layers."""
        return isinstance(other, NetworkPlan) and self._layers == other._layers

    def __hash__(self) -> int:
        """Equal plans have equal hashes."""
        return hash(self._layers)

    def __iter__(self) -> Iterator[LayerPlan]:
        return iter(self._layers)

    def _rows(self) -> list[list[str]]:
        rows = [["weight", "kernels", "why", "kept", "of"]]
        rows += [
            [layer.name, layer.kernels, layer.reason, f"{layer.density:.2%}", f"{layer.size:,}"]
            for layer in self
        ]
        return rows

    def __repr__(self) -> str:
        """The table."""
        return tables.plain(self._rows(), left=3)

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return tables.html(self._rows(), left=3)


def layer_plans(
    sizes: dict[str, int], native: Sequence[tuple[int, bool, int, int]], reason: str | None
) -> NetworkPlan:
    """The plan of a network.

    Parameters
    ----------
    sizes : dict of str to int
        Of its weights.
    native : sequence of (int, bool, int, int)
        What the core says of each: how many are kept, whether its layer computes over them alone,
        the largest density at which it may, in thousandths, and multiply-adds.
    reason : str, optional
        Why no layer does.
    """
    return NetworkPlan(
        [
            LayerPlan(
                name, size, kept, "sparse" if sparse else "dense", reason or _reason(sparse, limit)
            )
            for (name, size), (kept, sparse, limit, _) in zip(sizes.items(), native, strict=True)
        ]
    )


def _reason(sparse: bool, limit: int) -> str:
    if not limit:
        return "no sparse kernels"
    return f"{'at most' if sparse else 'more than'} {limit / 1000:.0%} kept"
