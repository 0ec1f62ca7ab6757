"""Weights that several processes hold together (jax.distributed): the part of this process.

The processes search together, each in its own part, and find the masks that one process would find.
Which part is whose follows from the sharding of a leaf, so nothing needs to be exchanged to know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import jax
import numpy as np

from swiftforce.distributed import Communicator, JaxCommunicator
from swiftforce.errors import StructureError
from swiftforce.inputs import Array
from swiftforce.jax.pytrees import NamedLeaves, is_shared, put_like, to_numpy
from swiftforce.search import Piece

#: Position of a shard in the grid of all shards of a leaf.
Cell = tuple[int, ...]
#: Numbers of 64 bits of masks that are exchanged at a time.
_CHUNK = 1 << 20


class LocalWeights:
    """The weights of a search that this process holds alone.

    Parameters
    ----------
    leaves : mapping of str to array
        The prunable leaves.

    Attributes
    ----------
    weights, options : dict
        As of `SharedWeights`, whose methods this class has.
    """

    def __init__(self, leaves: NamedLeaves) -> None:
        self.weights = self.read(leaves)
        self.options: dict[str, Any] = {}

    def read(self, arrays: NamedLeaves) -> dict[str, Array]:
        """The arrays in host memory."""
        return {name: to_numpy(array) for name, array in arrays.items()}

    def put(self, masks: NamedLeaves) -> NamedLeaves:
        """The masks as they are: they are put on devices where gradients are computed."""
        return masks

    def packed(self, masks: NamedLeaves) -> None:
        """Return None: this process has all masks anyway."""
        del masks


class SharedWeights:
    """The weights of a search of which other processes hold parts.

    Parameters
    ----------
    leaves : mapping of str to array
        The prunable leaves.

    Attributes
    ----------
    weights : dict
        This process's part of each leaf, for `MaskSearch`.
    options : dict
        What else `MaskSearch` needs.
    """

    def __init__(self, leaves: NamedLeaves) -> None:
        self._communicator = JaxCommunicator()
        self._parts = {name: Part(name, leaf) for name, leaf in leaves.items()}
        self.weights = self.read(leaves)
        self.options: dict[str, Any] = {
            "communicator": self._communicator,
            "pieces": [part.piece for part in self._parts.values()],
        }

    def read(self, arrays: NamedLeaves) -> dict[str, Array]:
        """The part of this process of arrays with the names and shapes of the leaves."""
        return {name: part.read(arrays[name]) for name, part in self._parts.items()}

    def put(self, masks: Mapping[str, Array]) -> dict[str, jax.Array]:
        """Masks on the devices of the leaves, from the parts of all processes."""
        return {
            name: part.put(masks[name], self._communicator) for name, part in self._parts.items()
        }

    def packed(self, masks: Mapping[str, Array]) -> dict[str, Array]:
        """All of each mask, a bit per weight, from the parts of all processes."""
        return {
            name: part.packed(masks[name], self._communicator) for name, part in self._parts.items()
        }


class Part:
    """The part of a leaf that this process contributes to a search.

    Of shards with the same contents, the process of the lowest number contributes one.

    Parameters
    ----------
    name : str
    leaf : array
        All processes have the same values, if it is not shared: the first one contributes it.

    Attributes
    ----------
    piece : Piece
        Where the part lies in the leaf. Its shape has the leaf's elements in their order; an axis
        of which processes hold every n-th shard is two axes there.

    Raises
    ------
    StructureError
        If the shards of a process form no block.
    """

    def __init__(self, name: str, leaf: Any) -> None:  # noqa: ANN401 - of JAX or numpy
        self._leaf = leaf
        self._shape = tuple(np.shape(leaf))
        holders = self._holders()
        #: Whether processes hold shards that others contribute.
        self._is_replicated = any(len(processes) > 1 for processes in holders.values())
        cells: dict[int, list[Cell]] = {}
        for cell, processes in holders.items():
            cells.setdefault(min(processes), []).append(cell)
        # Of each process, the positions of its shards along each axis.
        axes = {
            rank: [sorted(set(along)) for along in zip(*own, strict=True)]
            for rank, own in cells.items()
        }
        if any(prod(map(len, axes[rank])) != len(own) for rank, own in cells.items()):
            raise StructureError(_no_block(name))
        self._axes = axes.get(jax.process_index(), [[] for _ in self._shape])
        self.piece = self._piece(name, list(axes.values()))

    def _holders(self) -> dict[Cell, set[int]]:
        """The processes that hold each shard."""
        if not is_shared(self._leaf):
            self._lengths = self._shape
            return {(0,) * len(self._shape): set(range(jax.process_count()))}
        sharding = self._leaf.sharding
        self._lengths = sharding.shard_shape(self._shape)
        found: dict[Cell, set[int]] = {}
        for device, index in sharding.devices_indices_map(self._shape).items():
            found.setdefault(self._cell(index), set()).add(device.process_index)
        return found

    def _cell(self, index: Sequence[slice]) -> Cell:
        pairs = zip(index, self._lengths, strict=True)
        return tuple((along.start or 0) // max(length, 1) for along, length in pairs)

    def _piece(self, name: str, axes: list[list[list[int]]]) -> Piece:
        shape: list[int] = []
        offset: list[int] = []
        extent: list[int] = []
        for axis, (size, length) in enumerate(zip(self._shape, self._lengths, strict=True)):
            count = size // length if length else 1
            period = _period([own[axis] for own in axes], count)
            if period is None:
                raise StructureError(_no_block(name))
            outer, inner = _folded(self._axes[axis], period)
            if period < count:
                shape.append(count // period)
                offset.append(outer[0] if outer else 0)
                extent.append(len(outer))
            shape.append(period * length)
            offset.append(inner[0] * length if inner else 0)
            extent.append(len(inner) * length)
        if not all(self._axes):
            return Piece(tuple(shape))
        return Piece(tuple(shape), offset=tuple(offset), extent=tuple(extent))

    def _within(self, cell: Cell) -> tuple[slice, ...]:
        """Where a shard of the part lies in the array of the part."""
        found = []
        for own, along, length in zip(self._axes, cell, self._lengths, strict=True):
            first = own.index(along) * length
            found.append(slice(first, first + length))
        return tuple(found)

    def read(self, array: Any) -> Array:  # noqa: ANN401 - of JAX or numpy
        """The part of an array of the leaf's shape, in the leaf's sharding."""
        shape = tuple(len(own) * n for own, n in zip(self._axes, self._lengths, strict=True))
        if not all(self._axes):
            return np.empty(0, array.dtype)
        if not is_shared(self._leaf):
            return np.asarray(jax.device_get(array), order="C")
        found = np.empty(shape, array.dtype)
        wanted = set(product(*self._axes))
        for shard in jax.device_put(array, self._leaf.sharding).addressable_shards:
            if (cell := self._cell(shard.index)) in wanted:
                found[self._within(cell)] = jax.device_get(shard.data)
        return found

    def put(self, mask: Array, communicator: Communicator) -> jax.Array:
        """A mask on the devices of the leaf, from the parts of all processes."""
        if self._is_replicated:
            bits = self.packed(mask, communicator)
            size = prod(self._shape)
            whole = np.unpackbits(bits, count=size).view(np.bool_).reshape(self._shape)
            return put_like(whole, self._leaf)

        def shard(index: Any) -> Array:  # noqa: ANN401 - a tuple of slices
            found: Array = mask[self._within(self._cell(index))]
            return found

        return jax.make_array_from_callback(self._shape, self._leaf.sharding, shard)

    def packed(self, mask: Array, communicator: Communicator) -> Array:
        """All of a mask, a bit per weight, from the parts of all processes."""
        whole = np.zeros(self._shape, np.bool_)
        for cell in product(*self._axes):
            place = tuple(
                slice(along * length, (along + 1) * length)
                for along, length in zip(cell, self._lengths, strict=True)
            )
            whole[place] = mask[self._within(cell)]
        bits = np.packbits(whole)
        numbers = np.zeros(-(-bits.size // 8), np.int64)
        numbers.view(np.uint8)[: bits.size] = bits
        # No two processes contribute the same bit, so nothing is carried to another one.
        for first in range(0, numbers.size, _CHUNK):
            communicator.sum_integers(numbers[first : first + _CHUNK])
        return numbers.view(np.uint8)[: bits.size]


def _folded(indices: Sequence[int], period: int) -> tuple[list[int], list[int]]:
    """Indices as a number of periods, and a position in the period."""
    outer = {index // period for index in indices}
    inner = {index % period for index in indices}
    return sorted(outer), sorted(inner)


def _period(axes: Sequence[Sequence[int]], count: int) -> int | None:
    """The longest period in which the indices of all processes are blocks; None without one."""
    for period in range(count, 0, -1):
        if count % period == 0 and all(_is_block(indices, period) for indices in axes):
            return period
    return None


def _is_block(indices: Sequence[int], period: int) -> bool:
    """Whether indices are consecutive periods, and in each the same consecutive positions."""
    folded = _folded(indices, period)
    lengths = [one[-1] - one[0] + 1 for one in folded]
    return [len(one) for one in folded] == lengths and prod(lengths) == len(indices)


def _no_block(name: str) -> str:
    return (
        f"the shards of {name} on one process form no block of it: put it in another sharding, "
        "jax.device_put(leaf, sharding), before the search"
    )
