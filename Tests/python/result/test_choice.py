"""The table of what is searched and what is left out."""

from __future__ import annotations

import pytest
from swiftforce.adapters import Candidate, Reason, choose
from swiftforce.result import Prunable


def table(*candidates: Candidate) -> list[str]:
    arrays = {one.name: one for one in candidates}
    return repr(Prunable(arrays, choose(candidates, None, (), nothing="nothing"))).splitlines()


WEIGHT = Candidate("fc.weight", (4, 3))


@pytest.mark.parametrize("known", [Reason.VECTOR, Reason.BUFFER])
@pytest.mark.parametrize(("count", "text"), [(1, "1 other"), (2, "2 others")])
def test_vectors_and_buffers_are_counted(known: Reason, count: int, text: str) -> None:
    *_, last = table(WEIGHT, *(Candidate(f"{i}.x", (5,), known) for i in range(count)))
    assert last.split("  ")[1] == text
    assert known.value in last
    assert last.endswith(f" {5 * count}")


def test_buffers_are_no_parameters() -> None:
    first, *_ = table(WEIGHT, Candidate("mean", (50,), Reason.BUFFER), Candidate("bias", (5,)))
    assert "12 of 17 numbers" in first


def test_many_tied_names_do_not_widen_the_table() -> None:
    names = tuple(f"decoder.layers.{i}.shared_projection.weight" for i in range(3))
    lines = table(Candidate("fc.weight", (4, 3), aliases=names))
    assert "is tied to 3 others" in lines[-1]
    assert max(map(len, lines)) < 100
