"""Batches that begin again after the last, and the first looked at ahead of its use."""

from __future__ import annotations

from itertools import islice

import pytest
import swiftforce as sf
from swiftforce.adapters import PeekedBatches, endless


def test_batches_are_used_in_order_and_begun_again() -> None:
    assert list(islice(endless([1, 2, 3]), 7)) == [1, 2, 3, 1, 2, 3, 1]


def test_an_iterator_is_enough_if_it_lasts() -> None:
    source = iter([1, 2, 3])
    assert list(islice(endless(source), 2)) == [1, 2]
    assert list(source) == [3]  # no batch is taken that is not used


def test_batches_that_run_out() -> None:
    source = endless(iter([1, 2, 3]))
    assert list(islice(source, 3)) == [1, 2, 3]
    with pytest.raises(sf.BatchesError, match="more than the 3 batches there were"):
        next(source)


@pytest.mark.parametrize("nothing", [[], iter(())])
def test_no_batches(nothing: object) -> None:
    with pytest.raises(sf.BatchesError, match="there are no batches"):
        next(endless(nothing))


def test_a_batch_that_was_looked_at_is_used_all_the_same() -> None:
    peeked = PeekedBatches([1, 2, 3])
    assert peeked.first == 1
    assert list(islice(endless(peeked), 7)) == [1, 2, 3, 1, 2, 3, 1]


def test_an_iterator_is_gone_through_once() -> None:
    source = iter([1, 2, 3])
    peeked = PeekedBatches(source)
    assert list(islice(endless(peeked), 2)) == [1, 2]
    assert list(source) == [3]


def test_a_loader_is_begun_as_often_as_without_the_look() -> None:
    begun = []

    class Loader:
        def __iter__(self):
            begun.append(0)
            return iter([1, 2])

    assert list(islice(endless(PeekedBatches(Loader())), 4)) == [1, 2, 1, 2]
    assert len(begun) == 2


def test_there_is_nothing_to_look_at() -> None:
    with pytest.raises(sf.BatchesError, match="there are no batches"):
        PeekedBatches([])
