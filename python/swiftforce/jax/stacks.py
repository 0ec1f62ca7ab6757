"""Leaves that hold a stack of layers, as `nn.scan` makes them: each layer is searched as its own.

The layer at position 3 of the leaf ``blocks/kernel`` is called ``blocks/kernel[3]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from swiftforce.adapters import Patterns, matching
from swiftforce.errors import StructureError
from swiftforce.inputs import Array
from swiftforce.jax.pytrees import Leaves, NamedLeaves, is_array
from swiftforce.result import part_of


class Stacks:
    """Which leaves are stacks of layers.

    Parameters
    ----------
    counts : mapping of str to int
        How many layers each of them holds.
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = counts

    @classmethod
    def matching(cls, leaves: Leaves, patterns: Patterns | None) -> Stacks:
        """The stacks that patterns name.

        Raises
        ------
        UnknownNameError
            If a pattern matches no array.
        StructureError
            If one matches a number.
        """
        arrays = {name: leaf for name, leaf in leaves.by_name.items() if is_array(leaf)}
        others = {name: leaves.spellings(name) for name in arrays}
        names = matching(list(arrays), patterns or (), "stacked", others=others)
        for name in names:
            if not np.ndim(arrays[name]):
                raise StructureError(f"stacked matches {name}, which has no axis")
        return cls({name: np.shape(arrays[name])[0] for name in arrays if name in names})

    @classmethod
    def named(cls, names: Iterable[str], leaves: NamedLeaves) -> Stacks:
        """The stacks whose layers are among names."""
        wholes = {whole for name in names if (whole := whole_name(name, leaves)) != name}
        return cls({name: np.shape(leaves[name])[0] for name in leaves if name in wholes})

    def layers(self, name: str) -> list[str]:
        """The names of the layers in a leaf; its own name if it is no stack."""
        if name not in self.counts:
            return [name]
        return [f"{name}[{position}]" for position in range(self.counts[name])]

    def split(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays of all layers, in place."""
        found: dict[str, Array] = {}
        for name, array in arrays.items():
            parts = list(array) if name in self.counts else [array]
            found.update(zip(self.layers(name), parts, strict=True))
        return found

    def join(self, masks: Mapping[str, Array], leaves: NamedLeaves) -> dict[str, Array]:
        """The masks of whole leaves; a layer without a mask keeps all."""
        found = {}
        for name, leaf in leaves.items():
            if name not in self.counts:
                found[name] = masks[name]
                continue
            found[name] = np.ones(np.shape(leaf), np.bool_)
            for layer, place in zip(self.layers(name), found[name], strict=True):
                if layer in masks:
                    place[...] = masks[layer]
        return found


def whole_name(name: str, leaves: Mapping[str, Any]) -> str:
    """The name of the leaf that a layer lies in: its own, unless that is only part of a leaf."""
    whole, position = part_of(name, leaves) or (name, 0)
    return whole if position < (*np.shape(leaves.get(whole, ())), 0)[0] else name
