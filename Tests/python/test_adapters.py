"""What adapters share: patterns that must match, and batches that begin again."""

from __future__ import annotations

from itertools import islice

import pytest
import swiftforce as sf
from swiftforce.adapters import endless, listed, matching

NAMES = ["conv/kernel", "conv/bias", "head/kernel"]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ("*", NAMES),
        ("*/kernel", ["conv/kernel", "head/kernel"]),
        (["conv/*", "head/kernel"], NAMES),
        ("*nv?b[ia]as", ["conv/bias"]),
        ((), []),
    ],
)
def test_patterns(patterns: str | list[str], found: list[str]) -> None:
    assert matching(NAMES, patterns, "include") == set(found)


@pytest.mark.parametrize("patterns", ["haed/*", ["conv/*", "haed/*"], ["", "conv/*"], "CONV/*"])
def test_a_pattern_that_matches_nothing(patterns: str | list[str]) -> None:
    with pytest.raises(sf.UnknownNameError, match=r"include has the pattern .*conv/bias"):
        matching(NAMES, patterns, "include")


def test_very_many_names_are_cut_off() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert len(listed(["name"] * 1000)) <= 400


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
