"""Sums over ranks that the extension asks a function for."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from native_calls import (
    F,
    M,
    counts,
    new_search,
    try_call,
)
from swiftforce import _core


def shared_step(total: Any, starts: Any = (0,), pieces: Any = None) -> dict[str, Any]:
    """A step of a rank that is alone, whose sums the function forms."""
    ones = [np.ones(4, F)]
    arguments = [new_search(), ones, ones, None, [np.ones(4, M)], None, None]
    return _core.search_step(*arguments, total, starts, pieces)


def alone(numbers: bytearray) -> None:
    """The sums over one rank."""


def test_sums_are_formed_in_a_bytearray_of_integers() -> None:
    seen = []
    shared_step(lambda numbers: seen.append((type(numbers), len(numbers))))
    assert {kind for kind, _ in seen} == {bytearray}
    assert all(length % 8 == 0 for _, length in seen)
    assert len(seen) == 6  # one to meet, three digits, one of a position, the figures


@pytest.mark.parametrize(
    ("total", "error"),
    [
        (None, TypeError),
        (lambda numbers: numbers.clear(), ValueError),
        (lambda numbers: numbers.append(0), ValueError),
        (lambda numbers: 1 // 0, ZeroDivisionError),
        (lambda numbers: sys.exit(3), SystemExit),
        (lambda: None, TypeError),
    ],
)
def test_what_goes_wrong_in_a_sum_is_raised(total: Any, error: type[BaseException]) -> None:
    with pytest.raises(error):
        shared_step(total)


@pytest.mark.parametrize(
    ("starts", "error"),
    [((), ValueError), ((0, 4), ValueError), (3, TypeError), (("a",), TypeError)],
)
def test_starts_must_be_numbers_of_tensors(starts: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        shared_step(alone, starts)


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        (((1,), (4,), (1,)), None),
        (((2,), (2, 2), (2, 1)), None),
        (((1,), (4,)), IndexError),
        (((1, 1), (4, 1), (1, 1)), ValueError),
        (((2,), (4,), (1,)), ValueError),
        (((1,), (4, 4), (1, 1)), ValueError),
        (((-1,), (), ()), ValueError),
        (((0,), (), ()), _core.NativeError),
        (((1,), (3,), (1,)), _core.NativeError),
        (((2,), (2, 2), (1, 1)), _core.NativeError),
        (((1,), ("a",), (1,)), TypeError),
        (7, TypeError),
    ],
)
def test_pieces_must_fit_the_tensors(pieces: Any, error: type[Exception] | None) -> None:
    if error is None:
        assert shared_step(alone, pieces=pieces)["layer_kept"] == (2,)
    else:
        with pytest.raises(error):
            shared_step(alone, pieces=pieces)


@pytest.mark.parametrize("starts", [3, ("a",), ()])
def test_arguments_that_cannot_be_read_are_told_to_the_other_ranks(starts: Any) -> None:
    told = []
    with pytest.raises((TypeError, ValueError)):
        shared_step(lambda numbers: told.append(np.frombuffer(bytes(numbers), np.int64)[0]), starts)
    assert told == [1]


def test_a_start_beyond_the_end() -> None:
    with pytest.raises(_core.NativeError) as caught:
        shared_step(alone, (1,))
    assert _core.STATUSES[caught.value.args[0]] == "BAD_START"


def test_what_a_function_keeps_of_its_numbers_stays_its_own() -> None:
    kept: list[memoryview] = []
    report = shared_step(lambda numbers: kept.append(memoryview(numbers)))
    assert report["keep"] == 2
    before = [bytes(view) for view in kept]
    assert [shared_step(alone)["keep"] for _ in range(20)] == [2] * 20
    assert [bytes(view) for view in kept] == before


def test_sums_keep_no_reference_and_no_memory() -> None:
    def fails(numbers: bytearray) -> None:
        raise KeyError(len(numbers))

    before = counts([alone, fails])
    for _ in range(50):
        try_call(shared_step, [alone])
        try_call(shared_step, [fails])
    assert counts([alone, fails]) == before
