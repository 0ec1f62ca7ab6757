"""Whole tensors of which each rank has a part: their masks, sums and digests on one rank.

Ranks exchange sums alone. A rank adds what it has and zeros for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from swiftforce.inputs import FLOATS, Array, Tensors
from swiftforce.search.agreement import Agreement, Integers, RankSums
from swiftforce.search.buffers import accumulated_dtype
from swiftforce.search.pieces import Block, halves, joined
from swiftforce.search.shards import Shard, checked_offset

#: Weights whose masks are gathered at a time, and how many of them one number holds: few enough
#: that no number is negative.
_CHUNK, _BITS = 1 << 22, 32


@dataclass(frozen=True)
class Wholes:
    """The whole tensors of a search that several ranks share.

    Attributes
    ----------
    names : tuple of str
    shapes : tuple of tuple of int
    dtypes : tuple of str
    first : int
        The position among them of this rank's first tensor.
    blocks : tuple of Block
        Where the tensors of this rank lie in the wholes from that position on.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    first: int
    blocks: tuple[Block, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of elements of each."""
        return tuple([int(np.prod(shape, dtype=np.int64)) for shape in self.shapes])

    @property
    def own(self) -> slice:
        """The positions of this rank's tensors."""
        return slice(self.first, self.first + len(self.blocks))


def wholes_of(shard: Shard, tensors: Tensors) -> Wholes:
    """The whole tensors; if ranks have tensors of their own, those of all ranks, flat.

    All ranks call it, after an `Agreement`: the offset of a communicator is a sum, too.
    """
    if shard.blocks is not None:
        dtypes = tuple(array.dtype.name for array in tensors.arrays)
        shapes = tuple(block.shape for block in shard.blocks)
        return Wholes(tensors.names, shapes, dtypes, 0, shard.blocks)
    first, offset = 0, shard.communicator.offset(len(tensors.arrays))

    def count_tensors(numbers: Integers) -> None:
        nonlocal first
        first = checked_offset(offset)
        numbers[0] = len(tensors.arrays)

    total = int(RankSums(shard.communicator, 1)(count_tensors)[0])
    with Agreement(shard.communicator):
        sums = RankSums(shard.communicator, 2 * total)

    def describe(numbers: Integers) -> None:
        own = slice(first, first + len(tensors.arrays))
        numbers[:total][own] = tensors.sizes
        numbers[total:][own] = [FLOATS.index(array.dtype.name) for array in tensors.arrays]

    sizes, kinds = np.split(sums(describe), 2)
    blocks = tuple(Block((size,), size, 0, (size,), (1,)) for size in tensors.sizes)
    return Wholes(
        tuple(map(str, range(total))),
        tuple((size,) for size in sizes.tolist()),
        tuple(FLOATS[kind] for kind in kinds.tolist()),
        first,
        blocks,
    )


def gathered_digests(shard: Shard, tensors: Tensors, wholes: Wholes) -> tuple[int, ...]:
    """The digests of the whole tensors, on all ranks."""
    with Agreement(shard.communicator):
        sums = RankSums(shard.communicator, 2 * len(wholes.shapes))

    def write(numbers: Integers) -> None:
        # One by one: a rank may have no tensor.
        own = zip(wholes.blocks, tensors.arrays, strict=True)
        for position, (block, array) in enumerate(own, start=wholes.first):
            numbers[2 * position : 2 * position + 2] = halves(block.digest(array))

    return tuple(joined(low, high) for low, high in sums(write).reshape(-1, 2).tolist())


def gathered_counts(shard: Shard, counts: Sequence[int], wholes: Wholes) -> tuple[int, ...]:
    """The sums over all ranks of counts of this rank's tensors, for each whole tensor."""
    with Agreement(shard.communicator):
        sums = RankSums(shard.communicator, len(wholes.shapes))

    def write(numbers: Integers) -> None:
        numbers[wholes.own] = counts

    return tuple(sums(write).tolist())


def gathered_masks(
    shard: Shard, masks: Sequence[Array], wholes: Wholes
) -> tuple[Array, ...] | None:
    """The masks of the whole tensors, a bit per weight, on the first rank; None on the others."""
    with Agreement(shard.communicator):
        sums = RankSums(shard.communicator, _CHUNK // _BITS)
        bits = np.empty(_CHUNK, np.uint8)
        words = None
        if shard.communicator.rank == 0:
            words = [np.empty(-(-size // _BITS), "<u4") for size in wholes.sizes]

    def write(numbers: Integers, index: int, first: int, count: int) -> None:
        own = index - wholes.first
        if not 0 <= own < len(wholes.blocks):
            return
        block, mask = wholes.blocks[own], masks[own].reshape(-1)
        begin, end = block.before(first), block.before(first + count)
        part = bits[: numbers.size * _BITS]
        part[:] = 0
        part[block.positions(begin, end - begin) - first] = mask[begin:end]
        numbers[:] = np.packbits(part, bitorder="little").view("<u4")

    for index, size in enumerate(wholes.sizes):
        for first in range(0, size, _CHUNK):
            count = min(_CHUNK, size - first)
            fill = partial(write, index=index, first=first, count=count)
            found = sums(fill, -(-count // _BITS))
            if words is not None:
                words[index][first // _BITS :][: found.size] = found
    if words is None:
        return None
    return tuple(
        word.view(np.uint8)[: -(-size // 8)] for word, size in zip(words, wholes.sizes, strict=True)
    )


def gathered_accumulated(
    shard: Shard, accumulated: Sequence[Array], wholes: Wholes
) -> tuple[Array, ...] | None:
    """The accumulated scores of the whole tensors, flat, on the first rank; None on the others.

    A number that is not negative has the bits of an integer that is not negative, of which one rank
    has it and the others add zeros.
    """
    most = _CHUNK // _BITS
    with Agreement(shard.communicator):
        sums = RankSums(shard.communicator, most)
        types = [accumulated_dtype(np.dtype(_stored(dtype))) for dtype in wholes.dtypes]
        found = None
        if shard.communicator.rank == 0:
            found = tuple(map(np.empty, wholes.sizes, types))

    def write(numbers: Integers, index: int, first: int, count: int) -> None:
        own = index - wholes.first
        if not 0 <= own < len(wholes.blocks):
            return
        block, values = wholes.blocks[own], accumulated[own].reshape(-1)
        begin, end = block.before(first), block.before(first + count)
        numbers[:] = 0
        bits = values[begin:end].view(f"i{values.dtype.itemsize}")
        numbers[block.positions(begin, end - begin) - first] = bits

    for index, (size, dtype) in enumerate(zip(wholes.sizes, types, strict=True)):
        for first in range(0, size, most):
            count = min(most, size - first)
            bits = sums(partial(write, index=index, first=first, count=count), count)
            if found is not None:
                part = bits.astype(f"i{dtype.itemsize}").view(dtype)
                found[index][first : first + count] = part
    return found


def _stored(dtype: str) -> str:
    """A type that numpy knows without ml_dtypes, and whose sums of scores are of the same type."""
    return "float64" if dtype == "float64" else "float32"


def own_accumulated(whole: Array, block: Block, shape: tuple[int, ...]) -> Array:
    """The part of this rank in the flat sums of a whole tensor."""
    own = np.empty(block.size, whole.dtype)
    for first in range(0, block.size, _CHUNK):
        positions = block.positions(first, min(_CHUNK, block.size - first))
        own[first : first + _CHUNK] = whole[positions]
    return own.reshape(shape)


def own_mask(packed: Array, block: Block, shape: tuple[int, ...]) -> Array:
    """The part of this rank in a whole tensor's mask, which has a bit per weight."""
    mask = np.empty(block.size, np.bool_)
    for first in range(0, block.size, _CHUNK):
        positions = block.positions(first, min(_CHUNK, block.size - first))
        bits: Any = packed[positions >> 3] >> (positions & 7).astype(np.uint8)
        mask[first : first + _CHUNK] = bits & 1
    return mask.reshape(shape)
