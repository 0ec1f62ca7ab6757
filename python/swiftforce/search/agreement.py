"""Ranks fail together: an error on one of them is an error on all, at the next sum.

Code that may fail on one rank alone runs inside an `Agreement`, or fills the numbers of a
`RankSums`. After a sum, what a rank does next depends on the sums alone, which are the same on all.
Between two sums, a `Watch` tells of what interrupts a rank. Both send `SUM` numbers, as the core
does first in a step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from operator import index
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from swiftforce.distributed import Communicator
from swiftforce.errors import (
    ExchangeError,
    RankFailedError,
    StructureError,
    UnsupportedTypeError,
)

Integers = NDArray[np.int64]

#: How many numbers a sum has that tells of a failure: those of the core's `StepAgreement`. The
#: first of any sum is other than zero if a rank failed: see `failure_on`.
SUM = 13

#: Bits of that number that count the ranks that failed. In those above them each rank adds its own
#: number plus one, if all ranks together cannot exceed 2**62.
_COUNT_BITS = 31
_NUMBERED = (1 << 16) - 1


class _Open(threading.local):
    """The agreements and watches that this thread is inside of."""

    def __init__(self) -> None:
        self.agreements: list[Agreement | Watch] = []


_OPEN = _Open()


def _note_failure(communicator: Communicator) -> None:
    """All ranks know: the agreements around this sum need not tell them again."""
    for agreement in _OPEN.agreements:
        if agreement.communicator is communicator:
            agreement.is_over = True


def _expect(communicator: Communicator, count: int) -> None:
    """Say how many numbers the next sum has, for watches that must tell of an interrupt in it."""
    for watch in _OPEN.agreements:
        if isinstance(watch, Watch) and watch.communicator is communicator and watch.expected:
            watch.expected = count


def failure_on(communicator: Communicator) -> int:
    """The first number of a sum, from a rank that failed."""
    # The communicator may be what fails.
    with suppress(Exception):
        if index(communicator.size) <= _NUMBERED:
            return 1 + ((index(communicator.rank) + 1) << _COUNT_BITS)
    return 1


def rank_failure(number: int) -> RankFailedError:
    """The error on the other ranks, by the first number of a sum."""
    numbers, count = divmod(number, 1 << _COUNT_BITS)
    if count == 1:
        # A rank that could not say its number added none.
        which = f"rank {numbers - 1}" if numbers else "another rank"
        return RankFailedError(f"{which} failed: its own error says why")
    return RankFailedError(f"{count} ranks failed: their own errors say why")


def check_communicator(communicator: object) -> None:
    """Refuse what is neither a communicator nor None.

    Raises
    ------
    UnsupportedTypeError
    """
    if communicator is not None and not isinstance(communicator, Communicator):
        raise UnsupportedTypeError(
            f"{communicator!r} is not a communicator: pass one of swiftforce.distributed"
        )


class RankSums:
    """Sums of integers over all ranks that also say whether a rank failed.

    Parameters
    ----------
    communicator : Communicator
    count : int
        How many numbers a sum has at most; the same on all ranks. All that fit into `SUM` numbers
        send so many: then the end of an agreement on a rank that has failed is what other ranks
        meet here.
    """

    #: Numbers of an agreement: a digest in words of 16 bits, and the squares of the words. 2**31
    #: of the squares fit into 63 bits.
    WORDS = 4

    #: Numbers before those of the caller: ranks that failed, all ranks, and the sizes they know.
    _HEAD = 3

    def __init__(self, communicator: Communicator, count: int = 2 * WORDS) -> None:
        self._communicator = communicator
        self._count = count
        self._numbers = np.zeros(max(self._HEAD + count, SUM), np.int64)
        #: The number of ranks, as the last sum says.
        self.ranks = 0

    def __call__(self, fill: Callable[[Integers], object], count: int | None = None) -> Integers:
        """The sums of what `fill` writes into an array of zeros; overwritten by the next call.

        Parameters
        ----------
        fill : callable
            If it raises on one rank, all ranks raise.
        count : int, optional
            How many numbers to add up; all by default.

        Raises
        ------
        RankFailedError
            If another rank failed.
        ExchangeError
            On all ranks, if the sums cannot be those of the numbers of ranks.
        """
        end = self._HEAD + (self._count if count is None else count)
        numbers = self._numbers[: max(end, SUM)]
        _expect(self._communicator, len(numbers))
        failure: BaseException | None = None
        try:
            numbers[:] = 0
            numbers[2] = self._size()
            fill(numbers[self._HEAD : end])
        except BaseException as error:
            failure = error
            numbers[:] = 0
            numbers[0] = failure_on(self._communicator)
        numbers[1] = 1
        if failure is not None:
            # If the sum fails, too, the other ranks cannot be told.
            with suppress(Exception):
                self._communicator.sum_integers(numbers)
            _note_failure(self._communicator)
            raise failure
        self._communicator.sum_integers(numbers)
        failed, ranks, sizes = (int(number) for number in numbers[: self._HEAD])
        if failed:
            _note_failure(self._communicator)
            raise rank_failure(failed)
        if ranks < 1 or sizes != ranks**2:
            raise ExchangeError(
                f"a sum of 1 over all ranks is {ranks}, not the number of ranks, which is "
                f"{sizes / ranks if ranks else 0:g} by their communicators"
            )
        self.ranks = ranks
        _expect(self._communicator, SUM)
        return numbers[self._HEAD : end]

    def _size(self) -> int:
        size = self._communicator.size
        try:
            return index(size)
        except TypeError:
            raise UnsupportedTypeError(
                f"the size of the communicator is {size!r}: it must be an integer"
            ) from None


class Agreement:
    """Run a block that may fail on one rank alone, then learn whether it failed on any.

    Without a communicator it does nothing. Agreements may be nested. If a rank fails between two
    sums of a block, the other ranks learn it at the end of the next agreement inside the block.

    Attributes
    ----------
    communicator : Communicator, or None
    settings : object
        What must be the same on all ranks. Compared by its `repr`.
    is_over : bool
        Whether all ranks know already that one of them has failed.

    Raises
    ------
    UnsupportedTypeError
        If the communicator is none.
    RankFailedError
        At the end of the block, if it failed on another rank.
    StructureError
        At the end of the block, on all ranks, if their settings differ.
    """

    def __init__(self, communicator: Communicator | None) -> None:
        check_communicator(communicator)
        self.communicator = communicator
        self._sums = None if communicator is None else RankSums(communicator)
        self.settings: object = None
        self.is_over = False

    def __enter__(self) -> Agreement:
        """The agreement, for its settings."""
        _OPEN.agreements.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell the other ranks whether the block failed here, and learn whether it failed there."""
        _OPEN.agreements.remove(self)
        if self._sums is None:
            return
        if error is not None:
            if not self.is_over:
                with suppress(_BlockError):
                    self._sums(_fail)
            return
        sums = self._sums(self._write_digest)
        words, squares = np.split(sums, 2)
        # By the Cauchy-Schwarz inequality, the two are equal only if the words of all ranks are.
        for word, square in zip(words.tolist(), squares.tolist(), strict=True):
            if self._sums.ranks * square != word**2:
                raise StructureError(
                    "the ranks differ in method, seed, steps or schedule, in what they keep, in "
                    "allocation or pattern, in whether they begin at masks, or in the names and "
                    "shapes of whole tensors: pass the same to all, an allocation with the names "
                    "of all ranks' tensors"
                )

    def _write_digest(self, numbers: Integers) -> None:
        import hashlib  # here, because not every program uses it

        digest = hashlib.sha256(repr(self.settings).encode("utf-8", "surrogatepass")).digest()
        words = np.frombuffer(digest, "<u2", RankSums.WORDS).astype(np.int64)
        numbers[:] = [*words, *words**2]


class Watch:
    """Run a block of several sums; if it fails between two of them, tell the other ranks.

    Unlike an `Agreement` it adds no sum where the block succeeds. What all ranks raise after the
    same sum, all tell of, in one sum more. Without a communicator it does nothing.

    Parameters
    ----------
    communicator : Communicator, optional
    by_core : bool
        Whether the sums to come are the core's, which agreements around them do not learn of.

    Attributes
    ----------
    communicator : Communicator, or None
    is_over : bool
        Whether all ranks know already that one of them has failed.
    expected : int
        How many numbers the next sum of the other ranks has; 0 once they cannot be told.
    failed : int
        The first number of the last sum of the core.
    """

    def __init__(self, communicator: Communicator | None, *, by_core: bool = False) -> None:
        check_communicator(communicator)
        self.communicator = communicator
        self._by_core = by_core
        self.is_over = False
        self.expected = SUM
        self.failed = 0

    def __enter__(self) -> Watch:
        """The watch."""
        _OPEN.agreements.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell the other ranks whether the block failed here."""
        _OPEN.agreements.remove(self)
        communicator = self.communicator
        if error is None or communicator is None or self.is_over or not self.expected:
            return
        # If the sum fails, too, the other ranks cannot be told.
        with suppress(Exception):
            numbers = np.zeros(self.expected, np.int64)
            numbers[:2] = failure_on(communicator), 1
            communicator.sum_integers(numbers)
        if not self._by_core:
            _note_failure(communicator)


class _BlockError(Exception):
    """Stands for the error of a block, which goes on by itself."""


def _fail(_: Integers) -> None:
    raise _BlockError
