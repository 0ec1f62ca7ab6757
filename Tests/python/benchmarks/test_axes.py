"""The benchmark of allocations and patterns runs with small sizes, and its masks are the rules'."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benchmarking import measured, run_quick

PAGE = "before\n<!-- begin axes -->\n<!-- end axes -->\nafter\n"
PLACES = {"output": "out.jsonl", "document": "page.md"}
CASES = (
    "plain",
    "uniform",
    "erk",
    "floor of one per output unit",
    "cap of a quarter per output unit",
    "floor of 5 % per tensor",
    "2:4",
    "output units",
    "blocks of 4 x 1",
)
RULES = ("uniform", "ERK", "2:4", "blocks of 4 x 4 by their mean", "channels by their mean")


@pytest.mark.slow
def test_every_row_is_there(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = measured(tmp_path_factory, PAGE, lambda at: run_quick("benchmarks.axes", at, PLACES))
    text = (Path(folder) / "page.md").read_text()
    rows = [
        re.split(r"\s*\|\s*", line)[1:-1]
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith("| case")
    ]
    assert [row[0] for row in rows] == [*CASES, *RULES]
    for row in rows[len(CASES) :]:
        # As many weights as by the rule, up to the rounding of each layer, and as good ones.
        ours, rule = (int(re.sub(r"\D", "", row[place].split("kept")[0])) for place in (1, 4))
        assert abs(ours - rule) <= 16
        assert float(row[5]) >= 0.99
