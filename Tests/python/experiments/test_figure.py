"""The figure: its defaults, and what its pictures are given."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from swiftforce import Comparison, RunsFileError, compare
from swiftforce.comparison import trials_of
from swiftforce.datasets.idx import idx_dataset
from swiftforce.datasets.images import Dataset
from swiftforce.experiments import Settings, figure, perform, variants
from swiftforce.experiments import plots as search_plots
from swiftforce.show import plots

PLAN = (("dense", "force", "magnitude"), (0.9, 0.5), (3, 1))
ACCURACY = {"dense": 0.9, "force": 0.8, "magnitude": 0.6}
DENSITY = {"0.weight": 0.5, "2.weight": 0.0}


@pytest.fixture
def settings(small_network: str) -> Settings:
    return Settings(small_network, steps=2, epochs=1, samples=160)


def results() -> Comparison:
    rows = [
        {
            "method": trial.method,
            "sparsity": trial.sparsity,
            "seed": trial.seed,
            "accuracy": ACCURACY[trial.method] + trial.seed / 100 - (trial.sparsity == 0.9) / 10,
            "density": DENSITY,
            "removed": [5, 3],
            "revived": [0, 1],
            "warnings": [],
        }
        for trial in trials_of(*PLAN)
    ]
    return Comparison(tuple(rows), *PLAN)


def test_what_is_compared_by_default() -> None:
    trials = trials_of(figure.METHODS, figure.SPARSITIES, figure.SEEDS)
    assert len(trials) == 3 * (1 + 5 * 7)
    assert [trial.sparsity for trial in trials][1:6] == [0.99] * 5
    assert set(figure.METHODS) <= set(variants.compared_methods())


def test_what_the_pictures_are_given(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, tuple] = {}
    titles: list[str] = []

    def record(name: str):
        return lambda *values, **options: given.update({name: (*values, options)})

    def plot(self: Comparison, measure: str, *, title: str, chance: float) -> str:
        assert (measure, chance) == ("accuracy", 0.1)
        titles.append(title)
        return "a figure"

    monkeypatch.setattr(search_plots, "layer_densities", record("layers"))
    monkeypatch.setattr(search_plots, "churn", record("churn"))
    monkeypatch.setattr(Comparison, "plot", plot)
    monkeypatch.setattr(plots, "save", lambda drawn, path: given.update({drawn: path}))
    path = tmp_path / "results.csv"
    found = results()
    drawn = figure.draw(found, settings, path)
    assert drawn == [path.with_name(f"results{end}.png") for end in ("", "_layers", "_churn")]
    assert given["a figure"] == drawn[0]
    assert titles == [
        "Small on Fashion-MNIST, pruned before training\n"
        "160 images, 1 epoch, scored by target_logit; mean and range of 2 seeds"
    ]
    layers, where, _ = given["layers"]
    assert where == drawn[1]
    panel = {"force": [DENSITY, DENSITY], "magnitude": [DENSITY, DENSITY]}
    assert layers == {0.5: panel, 0.9: panel}
    removed, revived, where, _ = given["churn"]
    assert where == drawn[2]
    assert removed == {0.5: [[5, 3], [5, 3]], 0.9: [[5, 3], [5, 3]]}
    assert revived == {0.5: [[0, 1], [0, 1]], 0.9: [[0, 1], [0, 1]]}

    figure.draw(replace(found, rows=found.rows[:3]), settings, path)
    assert titles[-1].endswith("\nunfinished: 3 of 10 runs")
    assert figure.draw(replace(found, rows=found.rows[:1]), settings, path) == drawn[:1]
    assert figure.draw(found, replace(settings, epochs=0), path) == drawn[1:]


def test_what_a_file_does_not_tell_is_not_drawn(settings: Settings, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = results()
    for row in found.rows:
        row.update(density=None, removed=None, revived=None)
    drawn = figure.draw(found, settings, tmp_path / "a.csv")
    assert drawn == [tmp_path / "a.png"]


def test_a_damaged_row_is_named(settings: Settings, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = results()
    found.rows[1]["density"] = "[1,"
    with pytest.raises(RunsFileError, match="the density of force with seed 3 is damaged"):
        figure.draw(found, settings, tmp_path / "a.csv")


@pytest.mark.slow
def test_pictures_are_drawn_from_the_file_alone(
    idx_folder: Path, settings: Settings, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "results.csv"
    data: Dataset | None = idx_dataset(idx_folder, name="tiny")
    compare(
        partial(perform, data=data, settings=settings),
        methods=PLAN[0],
        sparsities=PLAN[1],
        seeds=PLAN[2],
        path=path,
    )
    del data
    found = Comparison.read_csv(path)
    for part, names in ((1, 1), (3, 3), (10, 3)):
        drawn = figure.draw(replace(found, rows=found.rows[:part]), settings, path)
        assert len(drawn) == names
        for picture in drawn:
            assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
            picture.unlink()
