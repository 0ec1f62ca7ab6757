"""The table and the pictures of the figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from figure_results import result
from swiftforce.datasets.idx import idx_dataset
from swiftforce.datasets.images import Dataset
from swiftforce.experiments import figure, figure_report
from swiftforce.experiments import plots as search_plots
from swiftforce.experiments import results_csv as runs
from swiftforce.experiments.figure import Settings
from swiftforce.experiments.runs import Result


@pytest.fixture
def data(idx_folder: Path) -> Dataset:
    return idx_dataset(idx_folder, name="tiny")


@pytest.fixture
def settings(small_network: str) -> Settings:
    return Settings(
        network=small_network,
        methods=("dense", "force", "magnitude"),
        sparsities=(0.9, 0.5),
        seeds=(3, 1),
        steps=2,
        epochs=1,
        samples=160,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.csv"


def results_of(settings: Settings) -> list[Result]:
    accuracy = {"dense": 0.9, "force": 0.8, "magnitude": 0.6}
    return [
        result(run, accuracy[run.method] + run.seed / 100 - (run.sparsity == 0.9) / 10)
        for run in figure.all_runs(settings)
    ]


def test_the_table(settings: Settings) -> None:
    assert figure_report.rows(results_of(settings), settings) == [
        ["method", "50 %", "90 %"],
        ["dense", "92.00 (91.00 .. 93.00)", "92.00 (91.00 .. 93.00)"],
        ["force", "82.00 (81.00 .. 83.00)", "72.00 (71.00 .. 73.00)"],
        ["magnitude", "62.00 (61.00 .. 63.00)", "52.00 (51.00 .. 53.00)"],
    ]


def test_the_table_of_what_is_not_finished(settings: Settings) -> None:
    assert figure_report.rows(results_of(settings)[:2], settings) == [
        ["method", "50 %", "90 %"],
        ["dense", "93.00 [1/2 seeds]", "93.00 [1/2 seeds]"],
        ["force", "-", "73.00 [1/2 seeds]"],
        ["magnitude", "-", "-"],
    ]
    one = replace(settings, seeds=(3,), methods=("force",))
    assert figure_report.rows(results_of(one), one)[1] == ["force", "83.00", "73.00"]


def test_what_the_pictures_are_given(
    settings: Settings, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, tuple] = {}

    def record(name: str):
        return lambda *values, **options: given.update({name: (*values, options)})

    monkeypatch.setattr(search_plots, "accuracy_against_sparsity", record("accuracy"))
    monkeypatch.setattr(search_plots, "layer_densities", record("layers"))
    monkeypatch.setattr(search_plots, "churn", record("churn"))
    results = results_of(settings)
    drawn = figure_report.draw(results, settings, path)
    assert drawn == [path.with_name(f"results{end}.png") for end in ("", "_layers", "_churn")]

    accuracy, where, options = given["accuracy"]
    assert where == drawn[0]
    assert list(accuracy) == ["dense", "force", "magnitude"]
    assert accuracy["force"][0.9] == pytest.approx([0.73, 0.71])
    assert accuracy["force"][0.5] == pytest.approx([0.83, 0.81])
    assert options["chance"] == 0.1
    assert options["title"] == (
        "Small on Fashion-MNIST, pruned before training\n"
        "160 images, 1 epoch; mean and range of 2 seeds"
    )
    layers, where, _ = given["layers"]
    assert where == drawn[1]
    density = {"0.weight": 0.5, "2.weight": 0.0}
    panel = {"force": [density, density], "magnitude": [density, density]}
    assert layers == {0.5: panel, 0.9: panel}
    removed, revived, where, _ = given["churn"]
    assert where == drawn[2]
    assert removed == {0.5: [(5, 3), (5, 3)], 0.9: [(5, 3), (5, 3)]}
    assert revived == {0.5: [(0, 1), (0, 1)], 0.9: [(0, 1), (0, 1)]}

    figure_report.draw(results[:3], settings, path)
    assert given["accuracy"][-1]["title"].endswith("\nunfinished: 3 of 10 runs")


@pytest.mark.slow
def test_pictures_are_drawn_from_the_file_alone(
    data: Dataset, settings: Settings, path: Path
) -> None:
    pytest.importorskip("matplotlib")
    figure.do_missing_runs(data, settings, path)
    del data
    results = figure.matching_results(settings, runs.read(path))
    for part, names in ((1, 1), (3, 3), (10, 3)):
        drawn = figure_report.draw(results[:part], settings, path)
        assert len(drawn) == names
        for picture in drawn:
            assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
            picture.unlink()
