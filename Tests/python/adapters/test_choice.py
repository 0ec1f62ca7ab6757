"""Which arrays of a model are pruned: the rule, patterns, and why."""

from __future__ import annotations

import pytest
import swiftforce as sf
from swiftforce.adapters import Candidate, Reason, choose

CANDIDATES = [
    Candidate("b.weight", (3, 2)),
    Candidate("a.weight", (1, 2, 3, 4)),
    Candidate("a.bias", (4,)),
    Candidate("table.embedding", (9, 2), aliases=("head.weight",)),
    Candidate("steps", (2, 2), Reason.NOT_FLOATING, floating=False),
    Candidate("codes.weight", (4, 4), Reason.QUANTISED, floating=False),
    Candidate("base.weight", (6, 6), trained=False),
]


def chosen(include: object = None, exclude: object = ()) -> list[str]:
    found = choose(CANDIDATES, include, exclude, nothing="nothing")
    return [one.name for one in found if one.chosen]


@pytest.mark.parametrize(
    ("include", "exclude", "found"),
    [
        (None, (), ["b.weight", "a.weight"]),
        (None, "b.*", ["a.weight"]),
        (None, "head.*", ["b.weight", "a.weight"]),
        ("a.*", (), ["a.weight", "a.bias"]),
        ("head.*", (), ["table.embedding"]),
        ("base.*", (), ["base.weight"]),
        (["a.*", "table*"], "*.bias", ["a.weight", "table.embedding"]),
        ("*", "steps", ["b.weight", "a.weight", "a.bias", "table.embedding", "base.weight"]),
    ],
)
def test_which_are_pruned(include: object, exclude: object, found: list[str]) -> None:
    assert chosen(include, exclude) == found


@pytest.mark.parametrize(("include", "exclude"), [("steps", ()), ("c.*", ()), (None, "c.*")])
def test_patterns_of_weights_that_match_nothing(include: str | None, exclude: str) -> None:
    with pytest.raises(sf.UnknownNameError, match="which matches nothing"):
        chosen(include, exclude)


def test_nothing_is_left_to_prune() -> None:
    with pytest.raises(sf.StructureError, match=r"^nothing: b\.weight, "):
        chosen(None, "*")
    with pytest.raises(sf.StructureError, match=r": none$"):
        choose(CANDIDATES[4:5], None, (), nothing="there are")


def test_every_decision_has_a_reason() -> None:
    found = {one.name: one for one in choose(CANDIDATES, None, "a.w*", nothing="nothing")}
    assert {name: one.reason for name, one in found.items()} == {
        "b.weight": Reason.NAME,
        "a.weight": Reason.EXCLUDED,
        "a.bias": Reason.VECTOR,
        "table.embedding": Reason.TABLE,
        "steps": Reason.NOT_FLOATING,
        "codes.weight": Reason.QUANTISED,
        "base.weight": Reason.FROZEN,
    }
    matrices = {name for name, one in found.items() if one.is_matrix}
    assert matrices == {"b.weight", "a.weight", "codes.weight", "base.weight"}
    assert found["table.embedding"].why == "an embedding or a table; is tied to head.weight"
    assert [name for name, one in found.items() if one.by_pattern] == ["a.weight"]


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_many_other_names_are_counted_in_brief(count: int) -> None:
    names = tuple(f"decoder.layers.{i}.shared_weight" for i in range(count))
    one, *_ = choose([Candidate("a.weight", (2, 2), aliases=names)], None, (), nothing="")
    assert one.why == str(one.reason) + f"; is tied to {', '.join(names)}" * (count > 0)
    if count < 2:
        assert one.brief == one.why
    else:
        assert one.brief == f"{one.reason}; is tied to {count} others"


def test_include_says_what_it_leaves_out() -> None:
    found = {one.name: one.reason for one in choose(CANDIDATES, "a.*", "*.bias", nothing="")}
    assert found["a.weight"] is Reason.INCLUDED
    assert found["a.bias"] is Reason.EXCLUDED
    assert found["b.weight"] is Reason.NOT_INCLUDED
    assert found["table.embedding"] is Reason.TABLE


def test_texts_are_distinct_and_short() -> None:
    texts = [reason.value for reason in Reason]
    assert len(set(texts)) == len(texts)
    assert all(0 < len(text) < 80 for text in texts)
