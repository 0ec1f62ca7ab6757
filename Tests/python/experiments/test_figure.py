"""The figure: which runs there are, in which order, and continuing after an interruption."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from figure_results import result
from swiftforce.datasets.idx import idx_dataset
from swiftforce.datasets.images import Dataset
from swiftforce.experiments import figure
from swiftforce.experiments import results_csv as runs
from swiftforce.experiments.figure import Settings
from swiftforce.experiments.runs import Result, Run

#: Number of runs by default: dense, and five methods at five sparsities, with three seeds.
ALL = 3 * (1 + 5 * 5)


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


def without_seconds(path: Path) -> list[Result]:
    return [replace(each, search_seconds=0, train_seconds=0) for each in runs.read(path)]


def test_the_runs_of_the_figure() -> None:
    plan = figure.all_runs(Settings())
    assert len(plan) == len(set(plan)) == ALL
    assert [run.seed for run in plan] == [0] * 26 + [1] * 26 + [2] * 26
    methods = ["force", "iterative_snip", "snip", "magnitude", "uniform_random"]
    assert [(run.method, run.sparsity) for run in plan[:26]] == [
        ("dense", 0.0),
        *itertools.product(methods, [0.99]),
        *itertools.product(methods, [0.995]),
        *itertools.product(methods, [0.98]),
        *itertools.product(methods, [0.95]),
        *itertools.product(methods, [0.9]),
    ]
    assert {(run.epochs, run.batch_size, run.learning_rate, run.samples) for run in plan} == {
        (6, 128, 0.1, 60_000)
    }


def test_steps_are_those_of_methods_with_gradients() -> None:
    steps = {run.method: run.steps for run in figure.all_runs(Settings(steps=7))}
    assert steps == {
        "dense": 0,
        "force": 7,
        "iterative_snip": 7,
        "snip": 7,
        "magnitude": 0,
        "uniform_random": 0,
    }


def test_settings_reach_the_runs() -> None:
    settings = Settings("resnet20", ("grasp_it",), (0.7,), (9,), 5, 4, 64, 0.05, 100)
    assert figure.all_runs(settings) == [
        Run("resnet20", "grasp_it", 0.7, 9, 5, 4, 64, 0.05, 100),
    ]


def test_every_run_is_done_once_and_in_order(data: Dataset, settings: Settings, path: Path) -> None:
    figure.do_missing_runs(data, settings, path)
    before = path.read_bytes()
    assert [each.run for each in runs.read(path)] == figure.all_runs(settings)
    figure.do_missing_runs(data, settings, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("torn", [0, 1, 40])
def test_an_interrupted_figure_ends_as_one_that_was_not(
    data: Dataset,
    settings: Settings,
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    torn: int,
) -> None:
    whole = tmp_path / "whole.csv"
    figure.do_missing_runs(data, settings, whole)
    performed = []
    perform = figure.perform

    def interrupted(run: Run, *arguments: object, **options: object) -> Result:
        if len(performed) == 4:
            raise KeyboardInterrupt
        performed.append(run)
        return perform(run, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(figure, "perform", interrupted)
        with pytest.raises(KeyboardInterrupt):
            figure.do_missing_runs(data, settings, path)
    assert len(runs.read(path)) == 4
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - torn])
    done = 4 - (torn > 0)
    assert len(runs.read(path)) == done

    def counted(run: Run, *arguments: object, **options: object) -> Result:
        performed.append(run)
        return perform(run, *arguments, **options)

    monkeypatch.setattr(figure, "perform", counted)
    figure.do_missing_runs(data, settings, path)
    plan = figure.all_runs(settings)
    assert performed == [*plan[:4], *plan[done:]]
    assert without_seconds(path) == without_seconds(whole)


def test_runs_of_other_settings_stay_and_are_not_mixed_in(
    data: Dataset, settings: Settings, path: Path
) -> None:
    other = replace(settings, epochs=2, seeds=(3,))
    figure.do_missing_runs(data, other, path)
    before = path.read_bytes()
    figure.do_missing_runs(data, settings, path)
    assert path.read_bytes().startswith(before)
    results = runs.read(path)
    assert len(results) == 5 + 10
    assert [each.run for each in figure.matching_results(settings, results)] == figure.all_runs(
        settings
    )
    assert [each.run for each in figure.matching_results(other, results)] == figure.all_runs(other)
    assert figure.matching_results(replace(settings, steps=3, methods=("force",)), results) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"network": "vgg11"},
        {"steps": 3},
        {"epochs": 2},
        {"batch_size": 64},
        {"learning_rate": 0.2},
        {"samples": 161},
    ],
)
def test_each_setting_tells_runs_apart(settings: Settings, changed: dict[str, object]) -> None:
    settings = replace(settings, methods=("force",))
    results = [result(run) for run in figure.all_runs(settings)]
    assert len(figure.matching_results(settings, results)) == 4
    assert figure.matching_results(replace(settings, **changed), results) == []


def test_no_run_begins_after_the_time_is_over(
    data: Dataset, settings: Settings, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock is read at the start and before each run; it advances by 100 s each time.
    clock = itertools.count(5000, 100)
    monkeypatch.setattr(figure.time, "monotonic", lambda: next(clock))
    figure.do_missing_runs(data, settings, path, seconds=350)
    assert len(runs.read(path)) == 3
    figure.do_missing_runs(data, settings, path, seconds=100)
    assert len(runs.read(path)) == 3


def test_each_run_says_how_it_went(
    data: Dataset, settings: Settings, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure.do_missing_runs(data, replace(settings, seeds=(3,), learning_rate=1e30), path)
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert len(lines) == 5
    accuracy = 100 * runs.read(path)[1].accuracy
    assert lines[1].startswith(
        f"seed 3: force 0.9: {accuracy:.2f} %, training diverged, 2 of 5 runs, about "
    )
    assert lines[1].endswith(" left")
    assert lines[4].endswith("5 of 5 runs")
    assert captured.err.splitlines()[1] == "seed 3: force 0.9"


def test_the_estimate_is_the_mean_of_what_is_done(settings: Settings) -> None:
    done = [result(run, train_seconds=59.0) for run in figure.all_runs(settings)[:4]]
    line = figure._summary_line(done[-1], done, 10)
    assert line == "seed 3: force 0.5: 50.00 %, empty: 2.weight, 4 of 10 runs, about 6 min left"


def test_the_largest_number_of_images_that_is_there(settings: Settings) -> None:
    results = [
        result(run)
        for samples, epochs in ((100, 1), (300, 1), (900, 2))
        for run in figure.all_runs(replace(settings, samples=samples, epochs=epochs))
    ]
    assert figure.with_most_images(settings, results).samples == 300
    assert figure.with_most_images(replace(settings, epochs=3), results).samples == 160
