"""Batches that begin again after the last, and the first of them looked at ahead of its use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from swiftforce.errors import BatchesError

Batch = TypeVar("Batch")


def endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches in their order, from the beginning again after the last.

    Raises
    ------
    BatchesError
        When they run out, if there are none, or if they cannot be iterated again.

    Examples
    --------
    >>> from itertools import islice
    >>> from swiftforce.adapters import endless
    >>> list(islice(endless("ab"), 5))
    ['a', 'b', 'a', 'b', 'a']
    """
    used = 0
    while True:
        before = used
        for batch in batches:
            used += 1
            yield batch
        if not used:
            raise BatchesError("there are no batches")
        if used == before:
            raise BatchesError(
                f"the search needs more than the {used} batches there were, and they cannot be "
                "begun again: pass a list, or more of them"
            )


class PeekedBatches(Generic[Batch]):
    """Batches whose first one was looked at: who iterates over them still gets all of them.

    The source is iterated over as often as without the look ahead, so a generator loses no batch,
    and a loader that shuffles draws no other order.

    Parameters
    ----------
    batches : iterable

    Raises
    ------
    BatchesError
        If there are none.

    Attributes
    ----------
    first : object
        The first batch.

    Examples
    --------
    >>> from swiftforce.adapters import PeekedBatches
    >>> peeked = PeekedBatches(iter("ab"))
    >>> peeked.first, list(peeked), list(peeked)
    ('a', ['a', 'b'], [])
    """

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = batches
        self._begun: Iterator[Batch] | None = iter(batches)
        try:
            self.first = next(self._begun)
        except StopIteration:
            raise BatchesError("there are no batches") from None

    def __iter__(self) -> Iterator[Batch]:
        begun, self._begun = self._begun, None
        if begun is None:
            yield from self._batches
        else:
            yield self.first
            yield from begun
