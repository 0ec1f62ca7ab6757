"""A rank's part of weights that several ranks hold: where it lies among the weights of all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from operator import index
from typing import Any, cast

import numpy as np

from swiftforce.distributed import Communicator
from swiftforce.errors import ExchangeError, StructureError, UnsupportedTypeError
from swiftforce.inputs import Tensors
from swiftforce.result import Layer, Step
from swiftforce.search.agreement import Integers, RankSums, Watch, failure_on
from swiftforce.search.pieces import LARGEST, Block, Piece, blocks_of, halves, joined

#: What the core takes about pieces: their dimensions, and the extents and strides of all.
Loops = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


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
    blocks : tuple of Block, or None
        The checked pieces.
    total : int
        Number of weights of all ranks; known after `place`.
    starts : tuple of int
        How many of them come before each tensor; likewise.
    loops : tuple, or None
        The pieces as the core takes them; likewise. None if the tensors are none.

    Raises
    ------
    StructureError, ShapeError, UnsupportedTypeError
    """

    def __init__(
        self, communicator: Communicator, tensors: Tensors, pieces: Sequence[Piece] | None
    ) -> None:
        self.communicator = communicator
        self._tensors = tensors
        self.blocks = None if pieces is None else blocks_of(pieces, tensors)
        self.settings: object = None
        if self.blocks is not None:
            self.settings = (tensors.names, [block.shape for block in self.blocks])
        self.total = 0
        self.starts: tuple[int, ...] = ()
        self._first = 0
        parts = 1 if self.blocks is None else len(self.blocks)
        self._sums = RankSums(communicator, 1 + 3 * parts)
        self._placed: list[int] = []
        self.loops: Loops | None = None

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

    @property
    def shapes(self) -> dict[str, tuple[int, ...]] | None:
        """The shapes of the whole tensors, if those here are pieces."""
        if self.blocks is None:
            return None
        return {
            name: block.shape for name, block in zip(self._tensors.names, self.blocks, strict=True)
        }

    def exchange(self, kept: int) -> None:
        """Tell the other ranks which part of the weights is here; then call `place`.

        Call it after an `Agreement`: the offset of a communicator is a sum, too.

        Parameters
        ----------
        kept : int
            How many weights the masks keep that the search begins at.
        """
        size = self._tensors.size
        offset = self.communicator.offset(size) if self.blocks is None else 0

        def write_part(numbers: Integers) -> None:
            self._first = checked_offset(offset)
            self._write_part(numbers, kept)

        self._placed = self._sums(write_part).tolist()

    def _write_part(self, numbers: Integers, kept: int) -> None:
        """The weights kept, the elements of each tensor here, and the halves of its coverage."""
        blocks = self.blocks
        if blocks is None:
            blocks = (Block((), 0, self._first, (self._tensors.size,), (1,)),)
        numbers[0] = kept
        numbers[1:] = [part for block in blocks for part in (block.size, *halves(block.coverage()))]

    def place(self) -> int:
        """Work out where the tensors lie; return how many weights the first masks keep in all.

        Raises
        ------
        StructureError
            On all ranks, if pieces do not make up their tensors, or no rank has weights.
        ExchangeError
            On all ranks, if the offsets of a communicator are not the sums of counts.
        """
        kept, *parts = self._placed
        held, low, high = parts[::3], parts[1::3], parts[2::3]
        if self.blocks is None:
            (self.total,) = held
            whole = Block((), self.total, 0, (self.total,), (1,))
            if joined(low[0], high[0]) != whole.whole_coverage:
                raise ExchangeError(
                    "the offsets of the communicator are not the sums of the counts of the ranks "
                    "before"
                )
            begins = list(accumulate(self._tensors.sizes, initial=self._first))[:-1]
        else:
            for position, (block, count) in enumerate(zip(self.blocks, held, strict=True)):
                label = self._tensors.label("weights", position)
                if count != block.whole:
                    raise StructureError(
                        f"the pieces of {label} hold {count} elements on all ranks together where "
                        f"shape {block.shape} has {block.whole}"
                    )
                if joined(low[position], high[position]) != block.whole_coverage:
                    raise StructureError(f"the pieces of {label} overlap, and leave gaps")
            *before, self.total = accumulate((block.whole for block in self.blocks), initial=0)
            begins = [first + block.start for first, block in zip(before, self.blocks, strict=True)]
        self.starts = tuple(begins)
        if not self.total:
            raise StructureError("weights hold no elements on any rank")
        if self.blocks is not None:
            self.loops = (
                tuple([len(block.extents) for block in self.blocks]),
                tuple(chain.from_iterable(block.extents for block in self.blocks)),
                tuple(chain.from_iterable(block.strides for block in self.blocks)),
            )
        return kept

    def sum(self, watch: Watch, numbers: bytearray) -> None:
        """Add up the core's int64 numbers over all ranks, in place."""
        # To the core, an error before the sum would be one of the sum, and it would tell nobody.
        # Neither can the watch if a signal came while the core worked: it raises before this line.
        watch.expected = len(numbers) // 8
        values = np.frombuffer(numbers, np.int64)
        if values[0]:
            values[0] = failure_on(self.communicator)
        watch.expected = 0
        self.communicator.sum_integers(values)
        watch.failed = int(values[0])

    def layers(self, step: Step) -> tuple[Layer, ...]:
        """What a step left of each whole tensor."""
        return tuple(
            Layer(name, block.shape, block.whole, kept)
            for name, block, kept in zip(
                self._tensors.names, self.blocks or (), step.layer_kept, strict=True
            )
        )


def checked_offset(offset: object) -> int:
    """What the offset of a communicator returned, as an integer.

    Raises
    ------
    UnsupportedTypeError, ExchangeError
        If it cannot be an offset.
    """
    try:
        first = index(cast(Any, offset))
    except TypeError:
        raise UnsupportedTypeError(
            f"the offset of the communicator is {offset!r}: it must be an integer"
        ) from None
    if not 0 <= first <= LARGEST:
        raise ExchangeError(f"the offset of the communicator is {first}, not in 0 ... 2**62")
    return first
