"""The benchmark of compact models runs with small sizes, and its tables have every row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benchmarking import measured, run_quick

torch = pytest.importorskip("torch")

PAGE = "before\n<!-- begin compact -->\n<!-- end compact -->\nafter\n"
PLACES = {"output": "out.jsonl", "document": "page.md"}
METHODS = ("synflow", "force", "force_nested", "iterative_snip")


@pytest.mark.slow
def test_every_row_is_there(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = measured(
        tmp_path_factory, PAGE, lambda at: run_quick("benchmarks.compact", at, PLACES)
    )
    text = (Path(folder) / "page.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ResNet20, 90 % removed")]
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in lines]
    assert [(row[1], row[4]) for row in rows] == [
        *((name, what) for name in METHODS for what in ("multiply-adds left", "bytes")),
        ("synflow", "masked, dense"),
    ]
    gains = {row[1]: float(row[5]) for row in rows if row[4] == "multiply-adds left"}
    assert max(gains, key=gains.__getitem__) == "synflow"
