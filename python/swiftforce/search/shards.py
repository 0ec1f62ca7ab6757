"""A rank's part of weights that several ranks hold: where it lies, and what all agree on.

Here is also how ranks fail together: what can go wrong on one of them alone is done inside an
`Agreement`, at whose end each learns whether it went well on all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import TracebackType

import numpy as np

from swiftforce.distributed import Communicator
from swiftforce.errors import (
    ExchangeError,
    RankFailedError,
    ShapeError,
    StructureError,
    UnsupportedTypeError,
)
from swiftforce.inputs import Tensors
from swiftforce.result import Layer

#: What sums over all ranks are taken by where they would outgrow an integer of 64 bits.
_MODULUS = 1 << 40


@dataclass(frozen=True)
class Piece:
    """Where the array of one rank lies in a tensor that several ranks hold together.

    Attributes
    ----------
    shape : tuple of int
        Of the whole tensor.
    start : int
        The first element of the array, counted in the flattened whole. The array holds as many
        elements from there on as it has, in memory order, whatever its own shape is.

    Examples
    --------
    The second half of the rows of a matrix:

    >>> import swiftforce as sf
    >>> sf.Piece(shape=(4, 10), start=20)
    Piece(shape=(4, 10), start=20)
    """

    shape: tuple[int, ...]
    start: int = 0

    @property
    def size(self) -> int:
        """Elements of the whole tensor."""
        return math.prod(self.shape)


class Agreement:
    """Do what may fail on one rank alone, and then learn whether it failed on any.

    Without a communicator it does nothing.

    Attributes
    ----------
    settings : object
        What must be the same on all ranks, and has the same `repr` where it is.

    Raises
    ------
    RankFailedError
        At the end of the block, if it failed on another rank.
    StructureError
        At the end of the block, on all ranks, if their settings differ.
    """

    #: So few bits of a digest that the sum of its squares over all ranks fits into 63 bits.
    _BITS = 20

    def __init__(self, communicator: Communicator | None) -> None:
        self._communicator = communicator
        self.settings: object = None

    def __enter__(self) -> Agreement:
        """The agreement, for its settings."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell the others, and hear from them."""
        if self._communicator is None:
            return
        digest = self._digest() if error is None else 0
        sums = np.array([1, error is not None, digest, digest * digest], np.int64)
        self._communicator.sum_integers(sums)
        if error is not None:
            return
        ranks, failed, total, squares = (int(number) for number in sums)
        if ranks != self._communicator.size:
            raise ExchangeError(f"a sum of one of each rank is {ranks}, not the number of ranks")
        if failed:
            raise RankFailedError(f"{failed} of {ranks} ranks failed; they tell why")
        # Numbers are all equal exactly where the square of their sum is as large as it can be.
        if ranks * squares != total * total:
            raise StructureError(
                "the ranks differ in method, seed, steps or schedule, in what they keep, "
                "or in the names and shapes of whole tensors"
            )

    def _digest(self) -> int:
        import hashlib  # where it is used, as in sealed.py

        whole = hashlib.sha256(repr(self.settings).encode()).digest()
        return int.from_bytes(whole[:8], "little") >> (64 - self._BITS)


class Shard:
    """What a rank holds of the weights of all ranks.

    Parameters
    ----------
    tensors : Tensors
        This rank's.
    pieces : sequence of Piece, optional
        Where they lie in whole tensors that all ranks name in the same order; None: each rank has
        tensors of its own, in the order of the ranks.

    Attributes
    ----------
    settings : object
        What must be the same on all ranks.
    total : int
        Weights of all ranks; known once `place` was called.
    starts : tuple of int
        How many of them come before each tensor.

    Raises
    ------
    StructureError, ShapeError, UnsupportedTypeError
    """

    def __init__(
        self, communicator: Communicator, tensors: Tensors, pieces: Sequence[Piece] | None
    ) -> None:
        self.communicator = communicator
        self._tensors = tensors
        self.pieces = None if pieces is None else _checked(pieces, tensors)
        shapes = [tuple(map(int, piece.shape)) for piece in self.pieces or ()]
        self.settings = None if pieces is None else (tensors.names, shapes)
        self.total = 0
        self.starts: tuple[int, ...] = ()

    def place(self) -> None:
        """Find out where the tensors lie among the weights of all ranks, together with them.

        Raises
        ------
        StructureError
            On all ranks, if pieces do not make up their tensors, or there are no weights.
        """
        if self.pieces is None:
            first = self.communicator.offset(self._tensors.size)
            (self.total,) = self._sums([self._tensors.size])
            begins = list(accumulate(self._tensors.sizes, initial=first))[:-1]
        else:
            # Runs that do not overlap end and begin at each other: sums of (end² - begin²), too,
            # are then those of the wholes.
            sizes = self._tensors.sizes
            squares = [
                size * (2 * piece.start + size) % _MODULUS
                for piece, size in zip(self.pieces, sizes, strict=True)
            ]
            sums = self._sums([*sizes, *squares])
            held, squares = sums[: len(sizes)], sums[len(sizes) :]
            for position, (piece, count) in enumerate(zip(self.pieces, held, strict=True)):
                if count != piece.size:
                    raise StructureError(
                        f"the pieces of {self._tensors.label('weights', position)} hold {count} "
                        f"elements on all ranks together where shape {piece.shape} has {piece.size}"
                    )
                if (squares[position] - piece.size**2) % _MODULUS:
                    raise StructureError(
                        f"the pieces of {self._tensors.label('weights', position)} overlap"
                    )
            *wholes, self.total = accumulate((piece.size for piece in self.pieces), initial=0)
            begins = [whole + piece.start for whole, piece in zip(wholes, self.pieces, strict=True)]
        self.starts = tuple(begins)
        if not self.total:
            raise StructureError("weights hold no elements on any rank")

    def sum(self, numbers: bytearray) -> None:
        """Add up the core's int64 numbers over all ranks, in place."""
        self.communicator.sum_integers(np.frombuffer(numbers, np.int64))

    def layers(self, kept: Sequence[int]) -> tuple[Layer, ...]:
        """The whole tensors, of which the pieces here keep so many weights; with all ranks."""
        return tuple(
            Layer(name, tuple(piece.shape), piece.size, count)
            for name, piece, count in zip(
                self._tensors.names, self.pieces or (), self._sums(kept), strict=True
            )
        )

    def _sums(self, counts: Sequence[int]) -> list[int]:
        numbers = np.array(counts, np.int64)
        self.communicator.sum_integers(numbers)
        return [int(number) for number in numbers]


def _checked(pieces: Sequence[Piece], tensors: Tensors) -> tuple[Piece, ...]:
    """The pieces, one for each tensor, each inside its whole."""
    given = tuple(pieces)
    if len(given) != len(tensors.arrays):
        raise StructureError(
            f"there are {len(given)} pieces where there are {len(tensors.arrays)} tensors"
        )
    for position, (piece, size) in enumerate(zip(given, tensors.sizes, strict=True)):
        label = tensors.label("pieces", position)
        if not isinstance(piece, Piece):
            raise UnsupportedTypeError(f"{label} is a {type(piece).__name__}, not a Piece")
        if any(length < 0 for length in piece.shape):
            raise ShapeError(f"{label} has the shape {piece.shape}")
        if not 0 <= piece.start <= piece.size - size:
            raise ShapeError(
                f"{label} has {size} elements from {piece.start} on where shape {piece.shape} "
                f"has {piece.size}"
            )
    return given
