"""The tables of a comparison: means, spreads, what is missing, and their forms."""

from __future__ import annotations

import statistics
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import swiftforce as sf
from swiftforce.comparison import Trial
from swiftforce.errors import HyperparameterError, RunsFileError, UnknownNameError

BASE = {"dense": 0.9, "force": 0.8, "my_method & co": 0.6}


def run(trial: Trial) -> dict[str, object]:
    accuracy = BASE[trial.method] + trial.seed / 100 - (trial.sparsity == 0.9) / 10
    return {"accuracy": accuracy, "loss": None if trial.is_dense else 1.5, "note": "text"}


def compared(**more: object) -> sf.Comparison:
    what = {"methods": list(BASE), "sparsities": [0.9, 0.5], "seeds": [3, 1], "progress": False}
    return sf.compare(run, **{**what, **more})


def test_the_table_of_percent() -> None:
    assert compared().table("accuracy", scale=100, decimals=2, spread="range").rows == (
        ("method", "50 %", "90 %"),
        ("dense", "92.00 (91.00 to 93.00)", "92.00 (91.00 to 93.00)"),
        ("FORCE", "82.00 (81.00 to 83.00)", "72.00 (71.00 to 73.00)"),
        ("my_method & co", "62.00 (61.00 to 63.00)", "52.00 (51.00 to 53.00)"),
    )


def test_the_spread_is_the_deviation_of_a_sample() -> None:
    table = compared(seeds=[0, 1, 5]).table("accuracy", decimals=4)
    spread = statistics.stdev([0.8, 0.81, 0.85])
    assert table.rows[2][1] == f"0.8200 ± {spread:.4f}"
    assert compared().table(decimals=1, spread="none").rows[1] == ("dense", "0.9", "0.9")


def test_the_table_of_what_is_not_finished() -> None:
    whole = compared()
    part = replace(whole, rows=whole.rows[:2])
    assert part.table(decimals=2).rows[1:] == (
        ("dense", "0.93 [1/2 seeds]", "0.93 [1/2 seeds]"),
        ("FORCE", "-", "0.73 [1/2 seeds]"),
        ("my_method & co", "-", "-"),
    )
    nothing = replace(whole, rows=())
    assert nothing.table().rows[1:] == tuple(
        (name, "-", "-") for name in ("dense", "FORCE", "my_method & co")
    )
    assert "10 of 10 trials are missing" in str(nothing)
    with pytest.raises(RunsFileError, match="no results to write"):
        nothing.to_csv("never.csv")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_shown(value: float) -> None:
    found = sf.compare(
        lambda trial: {"note": "text", "accuracy": value if trial.seed else 0.5},
        methods=["snip"],
        sparsities=[0.9],
        seeds=[0, 1],
        progress=False,
    )
    for spread in ("std", "range", "none"):
        assert str(value) in found.table(spread=spread).rows[1][1]
    assert str(found).startswith("accuracy: mean over seeds\n")


def test_only_the_dense_network_has_one_column() -> None:
    found = compared(methods=["dense"], sparsities=[])
    assert found.table(decimals=2, spread="none").rows == (("method", "0 %"), ("dense", "0.92"))


def test_nothing_to_draw() -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(UnknownNameError, match="no trial has measured accuracy"):
        replace(compared(), rows=()).plot()


def test_what_a_trial_has_not_is_left_out() -> None:
    table = compared().table("loss", decimals=1)
    assert table.rows[1:3] == (("dense", "-", "-"), ("FORCE", "1.5 ± 0.0", "1.5 ± 0.0"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"measure": "los"}, "there is no measure 'los'; there are: accuracy, loss, note"),
        ({"measure": "note"}, "note is no number: dense has 'text'"),
        ({"decimals": -1}, "decimals must be at least 0, not -1"),
        ({"decimals": 1.5}, "decimals"),
        ({"scale": "100"}, "scale must be a number, such as 100 for percent, not '100'"),
        ({"spread": "iqr"}, "there is no spread 'iqr'; there are: std, range, none"),
    ],
)
def test_tables_that_cannot_be(options: dict, text: str) -> None:
    with pytest.raises((UnknownNameError, HyperparameterError), match=text):
        compared().table(**options)


def test_text_and_html_show_the_first_measure() -> None:
    found = compared()
    assert str(found) == (
        "accuracy: mean over seeds\n"
        "method                   50 %           90 %\n"
        "dense           0.920 ± 0.014  0.920 ± 0.014\n"
        "FORCE           0.820 ± 0.014  0.720 ± 0.014\n"
        "my_method & co  0.620 ± 0.014  0.520 ± 0.014"
    )
    assert "my_method &amp; co" in found._repr_html_()
    assert "<table" in found.table()._repr_html_()


def test_markdown_and_latex() -> None:
    pytest.importorskip("tabulate")
    table = compared().table("accuracy", scale=100, decimals=1)
    lines = table.to_markdown().splitlines()
    assert [cell.strip() for cell in lines[0].split("|")] == ["", "method", "50 %", "90 %", ""]
    assert [cell.strip() for cell in lines[3].split("|")] == [
        *("", "FORCE", "82.0 ± 1.4", "72.0 ± 1.4", "")
    ]
    latex = table.to_latex()
    assert r"\toprule" in latex
    assert r"50 \%" in latex
    assert r"my\_method \& co" in latex
    assert "82.0 ± 1.4" in latex


def test_without_tabulate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tabulate", None)
    with pytest.raises(ImportError, match=r"need tabulate: pip install 'swiftforce\[demo\]'"):
        compared().table().to_latex()


def test_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    found = compared(settings={"epochs": 2})
    frame = found.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns[:5]) == ["epochs", "method", "sparsity", "seed", "accuracy"]
    assert len(frame) == 10
    means = frame.groupby(["method", "sparsity"])["accuracy"].mean()
    assert means["force", 0.9] == pytest.approx(0.72)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_pandas needs pandas: pip install pandas"):
        found.to_pandas()


def test_the_file_of_a_comparison_goes_on(tmp_path: Path) -> None:
    found = compared(seeds=[3])
    found.to_csv(tmp_path / "a.csv")
    assert sf.Comparison.read_csv(tmp_path / "a.csv").rows == found.rows
    with pytest.raises(FileNotFoundError, match="there is no file"):
        sf.Comparison.read_csv(tmp_path / "b.csv")
    more = compared(path=tmp_path / "a.csv")
    assert more.rows[:5] == found.rows
    assert more.is_complete


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = compared()
    figure = found.plot(title="A title", chance=0.1)
    axes = figure.axes[0]
    assert [line.get_label() for line in axes.get_lines()] == [
        *("dense", "FORCE", "my_method & co", "chance")
    ]
    assert (axes.get_ylabel(), axes.get_title()) == ("accuracy, %", "A title")
    part = replace(found, rows=found.rows[:2]).plot()
    assert [line.get_label() for line in part.axes[0].get_lines()] == ["dense", "FORCE"]
