"""The results that docs publish can be read, continued and drawn by this version."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from swiftforce import Comparison, cli
from swiftforce.comparison import results_file
from swiftforce.experiments import Variant, figure

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.csv")), ids=lambda path: path.name)
def test_results_can_be_read(path: Path) -> None:
    rows = results_file.read(path)
    assert len(rows) > 10
    for row in rows:
        assert str(Variant.parse(row["method"])) == row["method"]


def test_the_figure_is_whole() -> None:
    found = Comparison.read_csv(DOCS / "figure.csv")
    assert found.seeds == figure.SEEDS
    for method in figure.METHODS:
        for sparsity in figure.SPARSITIES:
            assert len(found.values("accuracy", method, sparsity)) == 3, (method, sparsity)


@pytest.mark.slow
def test_the_figure_is_drawn_from_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    copy = shutil.copy(DOCS / "figure.csv", tmp_path)
    assert cli.main(["figure", "--results", copy, "--draw-only"]) == 0
    shown = capsys.readouterr().out
    assert "are missing" not in shown
    assert shown.count("picture: ") == 3
