"""How each layer of a masked network computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

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
    outputs, input_gradients, weight_gradients : bool
        Whether the layer computes this over the kept weights alone. Otherwise it computes over all
        weights, zeros among them, with the kernels of a dense layer.
    """

    name: str
    size: int
    kept: int
    outputs: bool
    input_gradients: bool
    weight_gradients: bool

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

    def __iter__(self) -> Iterator[LayerPlan]:
        return iter(self._layers)

    def _rows(self) -> list[list[str]]:
        def kernels(is_sparse: bool) -> str:
            return "sparse" if is_sparse else "dense"

        rows = [["weight", "kept", "of", "outputs", "input gradients", "weight gradients"]]
        rows += [
            [
                layer.name,
                f"{layer.density:.2%}",
                f"{layer.size:,}",
                kernels(layer.outputs),
                kernels(layer.input_gradients),
                kernels(layer.weight_gradients),
            ]
            for layer in self
        ]
        return rows

    def __repr__(self) -> str:
        """The table."""
        return tables.plain(self._rows())

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return tables.html(self._rows())


def layer_plans(sizes: dict[str, int], native: Sequence[tuple[int, int]]) -> NetworkPlan:
    """The plan of a network whose weights have these sizes, from what the core says of each."""
    return NetworkPlan(
        [
            LayerPlan(name, size, kept, *(bool(products & bit) for bit in (1, 2, 4)))
            for (name, size), (kept, products) in zip(sizes.items(), native, strict=True)
        ]
    )
