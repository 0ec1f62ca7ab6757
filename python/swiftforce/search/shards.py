"""A rank's part of weights that several ranks hold: where it lies, and what all ranks agree on.

Ranks also fail together. Code that may fail on one of them alone runs inside an `Agreement`; at
its end each rank learns whether it succeeded on all.
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
from swiftforce.result import Layer, Step

#: Sums over all ranks that might exceed 64 bits are taken modulo this.
_MODULUS = 1 << 40


@dataclass(frozen=True)
class Piece:
    """Where the array of one rank lies in a tensor that several ranks hold together.

    Attributes
    ----------
    shape : tuple of int
        The shape of the whole tensor.
    start : int
        Position of the array's first element in the flattened whole tensor. The array's elements
        follow from there in memory order, whatever its own shape is.

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
    """Run a block that may fail on one rank alone, then learn whether it failed on any.

    Without a communicator it does nothing.

    Attributes
    ----------
    settings : object
        What must be the same on all ranks. Compared by its `repr`.

    Raises
    ------
    UnsupportedTypeError
        If the communicator is none.
    RankFailedError
        At the end of the block, if it failed on another rank.
    StructureError
        At the end of the block, on all ranks, if their settings differ.
    """

    #: Bits of a digest: few enough that the sum of squares over all ranks fits into 63 bits.
    _BITS = 20

    def __init__(self, communicator: Communicator | None) -> None:
        if communicator is not None and not isinstance(communicator, Communicator):
            raise UnsupportedTypeError(
                f"{communicator!r} is not a communicator: pass one of swiftforce.distributed"
            )
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
        """Tell the other ranks whether the block failed here, and learn whether it failed there."""
        if self._communicator is None:
            return
        digest = self._digest() if error is None else 0
        sums = np.array([1, error is not None, digest, digest * digest], np.int64)
        self._communicator.sum_integers(sums)
        if error is not None:
            return
        ranks, failed, total, squares = (int(number) for number in sums)
        if ranks != self._communicator.size:
            raise ExchangeError(f"a sum of 1 over all ranks is {ranks}, not the number of ranks")
        if failed:
            raise RankFailedError(f"{failed} of {ranks} ranks failed: their own errors say why")
        # By the Cauchy-Schwarz inequality, the two are equal only if all digests are.
        if ranks * squares != total * total:
            raise StructureError(
                "the ranks differ in method, seed, steps or schedule, in what they keep, "
                "or in the names and shapes of whole tensors"
            )

    def _digest(self) -> int:
        import hashlib  # here, because not every program uses it

        whole = hashlib.sha256(repr(self.settings).encode()).digest()
        return int.from_bytes(whole[:8], "little") >> (64 - self._BITS)


class Shard:
    """The part of one rank in the weights of all ranks.

    Parameters
    ----------
    communicator : Communicator
    tensors : Tensors
        The tensors of this rank.
    pieces : sequence of Piece, optional
        Where they lie in whole tensors that all ranks name in the same order. By default each rank
        has tensors of its own, in the order of the ranks.

    Attributes
    ----------
    settings : object
        What must be the same on all ranks.
    total : int
        Number of weights of all ranks; known after `exchange_starts`.
    starts : tuple of int
        How many of them come before each tensor; likewise.

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
        #: The whole tensors after the last step, by its position.
        self._layers: dict[int, tuple[Layer, ...]] = {}

    @classmethod
    def of(
        cls,
        communicator: Communicator | None,
        tensors: Tensors,
        pieces: Sequence[Piece] | None,
    ) -> Shard | None:
        """The part of this rank; None without a communicator.

        Raises
        ------
        StructureError
            Also if there are pieces and no communicator.
        """
        if communicator is not None:
            return cls(communicator, tensors, pieces)
        if pieces is not None:
            raise StructureError(
                "pieces are of tensors that several ranks hold: pass a communicator"
            )
        return None

    def exchange_starts(self) -> None:
        """Find out, with the other ranks, where the tensors lie among the weights of all.

        Raises
        ------
        StructureError
            On all ranks, if pieces do not make up their tensors, or no rank has weights.
        """
        if self.pieces is None:
            first = self.communicator.offset(self._tensors.size)
            (self.total,) = self._sums([self._tensors.size])
            begins = list(accumulate(self._tensors.sizes, initial=first))[:-1]
        else:
            # If pieces do not overlap, each begins where another ends: the sum of (end² - begin²)
            # over all ranks is then size² of the whole tensor.
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

    def layers(self, step: Step) -> tuple[Layer, ...]:
        """What a step left of each whole tensor; the first call for a step is of all ranks."""
        if step.step not in self._layers:
            kept = self._sums(step.layer_kept)
            layers = tuple(
                Layer(name, tuple(piece.shape), piece.size, count)
                for name, piece, count in zip(
                    self._tensors.names, self.pieces or (), kept, strict=True
                )
            )
            self._layers = {step.step: layers}
        return self._layers[step.step]

    def _sums(self, counts: Sequence[int]) -> list[int]:
        numbers = np.array(counts, np.int64)
        self.communicator.sum_integers(numbers)
        return [int(number) for number in numbers]


def _checked(pieces: Sequence[Piece], tensors: Tensors) -> tuple[Piece, ...]:
    """The pieces, one for each tensor, each inside its whole tensor."""
    given = tuple(pieces)
    if len(given) != len(tensors.arrays):
        raise StructureError(
            f"there are {len(given)} pieces for {len(tensors.arrays)} tensors: pass one for each"
        )
    for position, (piece, size) in enumerate(zip(given, tensors.sizes, strict=True)):
        label = tensors.label("pieces", position)
        if not isinstance(piece, Piece):
            raise UnsupportedTypeError(
                f"{label} is a {type(piece).__name__}: pass a swiftforce.Piece"
            )
        if any(length < 0 for length in piece.shape):
            raise ShapeError(f"{label} has the shape {piece.shape}: no length may be negative")
        if not 0 <= piece.start <= piece.size - size:
            raise ShapeError(
                f"{label} has {size} elements from {piece.start} on where shape {piece.shape} "
                f"has {piece.size}"
            )
    return given
