"""A part of a tensor that several ranks hold: where its elements lie in the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swiftforce.errors import ShapeError, StructureError, UnsupportedTypeError
from swiftforce.inputs import Array, Tensors

#: The largest number of weights that the core takes.
LARGEST = 1 << 62
#: Elements whose positions are computed at a time.
_CHUNK = 1 << 16
_MODULUS = 1 << 64


@dataclass(frozen=True)
class Piece:
    """Where the array of one rank lies in a tensor that several ranks hold together.

    A piece is a run of elements, from `start` on, or a block, from `offset` on: give one of them.

    Attributes
    ----------
    shape : tuple of int
        The shape of the whole tensor.
    start : int
        Position of the array's first element in the flattened whole tensor. The array's elements
        follow from there in memory order, whatever its own shape is.
    offset : tuple of int, optional
        The indices of the array's first element in the whole tensor, one for each dimension.
    extent : tuple of int, optional
        The number of elements along each dimension of the block, which the array holds in C order;
        by default the array's own shape.

    Examples
    --------
    The second half of the rows of a matrix, and the second half of its columns:

    >>> import swiftforce as sf
    >>> rows = sf.Piece(shape=(4, 10), start=20)
    >>> columns = sf.Piece(shape=(4, 10), offset=(0, 5), extent=(4, 5))
    >>> rows.size, columns.size
    (40, 40)
    """

    shape: tuple[int, ...]
    start: int = 0
    offset: tuple[int, ...] | None = None
    extent: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """Elements of the whole tensor."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Block:
    """The elements of an array among those of a whole tensor, as nested loops over positions.

    Attributes
    ----------
    shape : tuple of int
        Of the whole tensor.
    whole : int
        Its number of elements.
    start : int
        Position of the first element.
    extents, strides : tuple of int
        How many elements there are along each loop, outermost first, and how far apart they lie.
        The last stride is 1. Positions ascend.
    """

    shape: tuple[int, ...]
    whole: int
    start: int
    extents: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.extents)

    def positions(self, first: int, count: int) -> NDArray[np.int64]:
        """Positions of some elements, by their indices in memory order."""
        found = np.full(count, self.start, np.int64)
        rest = np.arange(first, first + count)
        for extent, stride in zip(self.extents[:0:-1], self.strides[:0:-1], strict=True):
            rest, along = np.divmod(rest, extent)
            found += along * stride
        return found + rest * self.strides[0]

    def before(self, position: int) -> int:
        """How many elements lie before a position of the whole tensor."""
        rest, found, inner = position - self.start, 0, self.size
        for extent, stride in zip(self.extents, self.strides, strict=True):
            if rest <= 0 or not inner:
                break
            inner //= extent
            # An element at a fraction of the way is before the position if its inner part is.
            whole = min(rest // stride, extent)
            found += whole * inner
            rest -= whole * stride
            if whole == extent:
                break
        return found

    def coverage(self) -> int:
        """A number whose sum over pieces is that of the whole tensor only if they make it up.

        The sum, over the runs of consecutive elements, of a hash of the end of each minus a hash of
        its beginning, modulo 2**64. Where runs meet, the two cancel.
        """
        *_, run = self.extents
        runs = self.size // run if run else 0
        starts = Block(self.shape, self.whole, self.start, self.extents[:-1], self.strides[:-1])
        total = 0
        for first in range(0, runs, _CHUNK):
            count = min(_CHUNK, runs - first)
            begins = starts.positions(first, count) if starts.extents else np.array([self.start])
            total += int((mixed(begins + run) - mixed(begins)).sum(dtype=np.uint64))
        return total % _MODULUS

    @property
    def whole_coverage(self) -> int:
        """The `coverage` of the whole tensor."""
        ends = mixed(np.array([0, self.whole], np.int64))
        return (int(ends[1]) - int(ends[0])) % _MODULUS

    def digest(self, array: Array) -> int:
        """A number whose sum over pieces, modulo 2**64, depends only on the values of the whole."""
        flat = np.reshape(array, -1).view(f"u{array.dtype.itemsize}")
        total = 0
        for first in range(0, flat.size, _CHUNK):
            bits = flat[first : first + _CHUNK].astype(np.uint64)
            # Odd factors, so that no two values or positions become the same.
            bits *= np.uint64(0x9E6C63D0876A9A47)
            bits += mixed(self.positions(first, bits.size))
            total += int(mixed(bits).sum(dtype=np.uint64))
        return total % _MODULUS


def mixed(numbers: NDArray[Any]) -> NDArray[np.uint64]:
    """A hash of each integer of 64 bits: the finalizer of SplitMix64."""
    z = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def halves(number: int) -> tuple[int, int]:
    """The low and high 32 bits of a number below 2**64: 2**31 of each can be added."""
    return number & 0xFFFFFFFF, number >> 32


def joined(low: int, high: int) -> int:
    """The sum, modulo 2**64, of numbers of which the sums of the halves are given."""
    return (low + (high << 32)) % _MODULUS


def blocks_of(pieces: Sequence[Piece], tensors: Tensors) -> tuple[Block, ...]:
    """The checked blocks of pieces, one for each tensor.

    Raises
    ------
    StructureError, ShapeError, UnsupportedTypeError
    """
    given = tuple(pieces)
    if len(given) != len(tensors.arrays):
        raise StructureError(
            f"there are {len(given)} pieces for {len(tensors.arrays)} tensors: pass one for each"
        )
    return tuple(
        _block(piece, array, tensors.label("pieces", position))
        for position, (piece, array) in enumerate(zip(given, tensors.arrays, strict=True))
    )


def _block(piece: object, array: Array, label: str) -> Block:
    if not isinstance(piece, Piece):
        raise UnsupportedTypeError(f"{label} is a {type(piece).__name__}: pass a swiftforce.Piece")
    shape = _integers(piece.shape, f"the shape of {label}")
    if any(length < 0 for length in shape):
        raise ShapeError(f"{label} has the shape {shape}: no length may be negative")
    whole = math.prod(shape)
    if whole > LARGEST:
        raise ShapeError(f"{label} has the shape {shape}: no more than 2**62 elements are possible")
    (start,) = _integers((piece.start,), f"the start of {label}")
    if piece.offset is None:
        if piece.extent is not None:
            raise StructureError(f"{label} has an extent, but no offset: pass both")
        if not 0 <= start <= whole - array.size:
            raise ShapeError(
                f"{label} has {array.size} elements from {start} on where shape {shape} has {whole}"
            )
        return Block(shape, whole, start, (array.size,), (1,))
    if start:
        raise StructureError(f"{label} has both a start and an offset: pass one of them")
    offset = _integers(piece.offset, f"the offset of {label}")
    extent = array.shape
    if piece.extent is not None:
        extent = _integers(piece.extent, f"the extent of {label}")
    if not len(shape) == len(offset) == len(extent):
        raise ShapeError(
            f"{label} has the shape {shape}, the offset {offset} and the extent {extent}: "
            "give as many dimensions to each"
        )
    if any(
        first < 0 or length < 0 or first > side - length
        for side, first, length in zip(shape, offset, extent, strict=True)
    ):
        raise ShapeError(f"{label} extends by {extent} from {offset} on in the shape {shape}")
    if math.prod(extent) != array.size:
        raise ShapeError(
            f"{label} has the extent {extent} where the array has {array.size} elements"
        )
    return _looped(shape, whole, offset, extent)


def _looped(
    shape: tuple[int, ...], whole: int, offset: tuple[int, ...], extent: tuple[int, ...]
) -> Block:
    """A block with as few loops as possible."""
    if not math.prod(extent):
        return Block(shape, whole, 0, (0,), (1,))
    strides = [math.prod(shape[dimension + 1 :]) for dimension in range(len(shape))]
    start = sum(first * stride for first, stride in zip(offset, strides, strict=True))
    loops = [(1, 1)]
    for length, stride in zip(reversed(extent), reversed(strides), strict=True):
        inner, step = loops[-1]
        if length > 1 and stride == inner * step:
            loops[-1] = (inner * length, step)
        elif length > 1:
            loops.append((length, stride))
    extents, steps = zip(*reversed(loops), strict=True)
    return Block(shape, whole, start, extents, steps)


def _integers(numbers: Any, what: str) -> tuple[int, ...]:  # noqa: ANN401 - of the caller
    try:
        return tuple([index(number) for number in numbers])
    except TypeError:
        shown = numbers[0] if isinstance(numbers, tuple) and len(numbers) == 1 else numbers
        raise UnsupportedTypeError(f"{what} is {shown!r}: pass integers") from None
