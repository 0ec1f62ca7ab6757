"""Patterns that must match, and names in messages."""

from __future__ import annotations

import pytest
import swiftforce as sf
from swiftforce.adapters import as_patterns, listed, matching

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


def test_other_names_of_the_same_thing() -> None:
    others = {"embed.weight": ("head.weight",)}
    assert matching(["embed.weight"], "head.*", "exclude", others=others) == {"embed.weight"}
    with pytest.raises(sf.UnknownNameError, match="tail"):
        matching(["embed.weight"], "tail.*", "exclude", others=others)


def test_patterns_of_an_iterator_are_kept() -> None:
    assert as_patterns(iter(["a", "b"])) == ("a", "b")
    assert as_patterns("a*") == "a*"
    assert as_patterns(None) is None
