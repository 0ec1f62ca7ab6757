"""A comparison: which trials there are, in which order, and continuing after an interruption."""

from __future__ import annotations

import itertools
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from swiftforce.comparison import Trial, results_file, running, trials_of
from swiftforce.comparison.trials import checked_plan
from swiftforce.errors import (
    LayerCollapseWarning,
    MeasuresError,
    RunsFileError,
    SeedError,
    SparsityError,
    UnknownNameError,
    UnsupportedTypeError,
)

WHAT = {"methods": ["dense", "force", "snip"], "sparsities": [0.9, 0.5], "seeds": [3, 1]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.csv"


def run(trial: Trial) -> dict[str, object]:
    """An accuracy that tells all trials apart."""
    return {"accuracy": 0.9 - trial.sparsity / 10 - len(trial.method) / 100 + trial.seed / 1000}


def compare(function=run, **more: object) -> sf.Comparison:
    return sf.compare(function, **{**WHAT, "progress": False, **more})


def test_the_trials_in_order() -> None:
    trials = trials_of(**WHAT)
    assert trials == [
        Trial(method, sparsity, seed)
        for seed in (3, 1)
        for sparsity, method in [
            (0.0, "dense"),
            *itertools.product((0.9, 0.5), ("force", "snip")),
        ]
    ]


def test_what_is_given_twice_is_done_once() -> None:
    plan = checked_plan(["snip", "snip"], [0.5, 0.5], [1, 1])
    assert trials_of(*plan) == [Trial("snip", 0.5, 1)]
    assert checked_plan("snip", [0.5], [1]) == plan


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"methods": []}, UnknownNameError, "one or more names, not none"),
        ({"methods": ["snip", 3]}, UnknownNameError, "one or more names, not 3"),
        ({"sparsities": []}, None, ""),
        ({"sparsities": [], "methods": ["snip"]}, UnknownNameError, "nothing to compare"),
        ({"seeds": []}, UnknownNameError, "nothing to compare"),
        ({"sparsities": [1.0]}, SparsityError, "1.0"),
        ({"sparsities": 0.9}, UnsupportedTypeError, "sparsities must be a list, not 0.9"),
        ({"seeds": 3}, UnsupportedTypeError, "seeds must be a list, not 3"),
        ({"sparsities": "0.9"}, UnsupportedTypeError, "sparsities must be a list"),
        ({"seeds": [-1]}, SeedError, "-1"),
        ({"settings": {"seed": 1}}, MeasuresError, "settings: 'seed' cannot be the name"),
        ({"settings": {"a": object()}}, MeasuresError, "settings: a is <object"),
    ],
)
def test_what_cannot_be_compared(changed: dict, error: type | None, text: str) -> None:
    if error is None:
        assert len(compare(**changed).rows) == 2
        return
    with pytest.raises(error, match=text):
        compare(**changed)


def test_each_trial_has_a_row() -> None:
    found = compare(settings={"epochs": 3, "network": "vgg"})
    assert found.is_complete
    assert found.measures == ("accuracy",)
    assert [list(row) for row in found.rows] == [
        [
            *("epochs", "network", "method", "sparsity", "seed", "accuracy"),
            *("warnings", "seconds", "version"),
        ]
    ] * 10
    for row, trial in zip(found.rows, found.trials, strict=True):
        assert Trial(row["method"], row["sparsity"], row["seed"]) == trial
        assert row["accuracy"] == run(trial)["accuracy"]
        assert (row["epochs"], row["network"], row["version"]) == (3, "vgg", sf.__version__)
        assert 0 <= row["seconds"] < 10


@pytest.mark.parametrize("torn", [0, 1, 20])
def test_an_interrupted_comparison_ends_as_one_that_was_not(path: Path, torn: int) -> None:
    performed = []

    def interrupted(trial: Trial) -> dict[str, object]:
        if len(performed) == 4:
            raise KeyboardInterrupt
        performed.append(trial)
        return run(trial)

    with pytest.raises(KeyboardInterrupt):
        compare(interrupted, path=path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - torn])
    done = 4 - (torn > 0)
    assert len(results_file.read(path)) == done

    def counted(trial: Trial) -> dict[str, object]:
        performed.append(trial)
        return run(trial)

    found = compare(counted, path=path)
    plan = found.trials
    assert performed == [*plan[:4], *plan[done:]]
    assert [row["accuracy"] for row in found.rows] == [run(trial)["accuracy"] for trial in plan]
    before = path.read_bytes()
    again = compare(counted, path=path)
    assert again.rows == found.rows
    assert path.read_bytes() == before


def test_settings_tell_comparisons_in_one_file_apart(path: Path) -> None:
    first = compare(path=path, settings={"epochs": 1}, seeds=[3])
    second = compare(lambda trial: {"accuracy": 0.5}, path=path, settings={"epochs": 2})
    assert len(results_file.read(path)) == 5 + 10
    assert compare(path=path, settings={"epochs": 1}, seeds=[3], seconds=0).rows == first.rows
    read = sf.Comparison.read_csv(path, {"epochs": 2})
    assert read.rows == second.rows
    assert (read.trials, read.methods) == (second.trials, second.methods)
    with pytest.raises(RunsFileError, match=r"holds no results with epochs 3"):
        sf.Comparison.read_csv(path, {"epochs": 3})
    with pytest.raises(
        RunsFileError, match=r"has other settings: epochs, and this comparison has network"
    ):
        compare(path=path, settings={"network": "vgg"})
    with pytest.raises(RunsFileError, match=r"has other settings"):
        compare(path=path)


def test_a_place_without_folder_is_refused_before_the_first_trial(tmp_path: Path) -> None:
    def never(trial: Trial) -> dict[str, object]:
        raise AssertionError(trial)

    with pytest.raises(FileNotFoundError, match="there is no folder"):
        compare(never, path=tmp_path / "no folder" / "a.csv")


def test_the_order_of_settings_does_not_matter_and_their_values_do(path: Path) -> None:
    settings = {"lr": 0.1 + 0.2, "nan": float("nan"), "none": None, "list": (1, np.float32(2))}
    first = compare(path=path, settings=settings)
    turned = dict(reversed(settings.items()))
    for again in (compare(path=path, settings=turned), sf.Comparison.read_csv(path, turned)):
        assert again.is_complete
        assert again.values("accuracy", "force", 0.9) == first.values("accuracy", "force", 0.9)
    assert len(results_file.read(path)) == 10
    compare(path=path, settings={**settings, "none": True}, methods=["dense"])
    assert not compare(path=path, settings={**settings, "none": 1}, seconds=0).rows
    with pytest.raises(RunsFileError, match=r"several settings: choose by \['none'\]"):
        sf.Comparison.read_csv(path)


def test_a_file_of_two_settings_is_not_read_as_one(path: Path) -> None:
    for loss in ("a", "b"):
        compare(path=path, settings={"epochs": 1, "loss": loss})
    with pytest.raises(RunsFileError, match=r"choose by \['loss'\], such as .*'loss': 'a'"):
        sf.Comparison.read_csv(path)
    assert sf.Comparison.read_csv(path, {"loss": "b"}).is_complete


def test_of_rows_of_one_trial_the_last_counts(path: Path) -> None:
    found = compare(path=path)
    for row in found.rows:
        results_file.append(path, {**row, "accuracy": 0.25})
    for again in (compare(path=path), sf.Comparison.read_csv(path)):
        assert again.is_complete
        assert again.values("accuracy", "force", 0.9) == [0.25, 0.25]


def test_a_file_that_cannot_be_written_is_refused_before_the_first_trial(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(path=path, methods=["dense"])
    path.chmod(0o400)
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for others than root

    def never(trial: Trial) -> dict[str, object]:
        raise AssertionError(trial)

    if os.geteuid():
        with pytest.raises(PermissionError):
            compare(never, path=path)
    with pytest.raises(PermissionError, match="nothing can be written in the folder"):
        compare(never, path=path.with_name("other.csv"))
    with pytest.raises(IsADirectoryError):
        compare(never, path=path.parent)
    assert len(compare(never, path=path, seconds=0).rows) == 2


def test_an_error_says_in_which_trial(path: Path) -> None:
    def fails(trial: Trial) -> dict[str, object]:
        if trial.method == "snip":
            raise ValueError("mine")
        return run(trial)

    with pytest.raises(ValueError, match="mine") as caught:
        compare(fails, path=path)
    assert caught.value.__notes__ == ["in the trial of seed 3: snip 0.9"]
    assert len(results_file.read(path)) == 2


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (0.5, r"seed 3: dense: a trial must return its measures as a mapping .*, not 0\.5"),
        ({}, "not {}"),
        ({"method": 1}, "'method' cannot be the name of a column"),
        ({"epochs": 1}, "'epochs' cannot be the name of a column"),
        ({"": 1}, "'' cannot be the name"),
        ({1: 1}, "1 cannot be the name"),
        ({"a\nb": 1}, r"'a\\nb' cannot be the name"),
        ({"a\ud800": 1}, "cannot be the name"),
        ({"a": 1, "b": object()}, r"b is <object .*, which a row cannot hold"),
    ],
)
def test_what_no_row_can_hold(returned: object, text: str, path: Path) -> None:
    with pytest.raises(MeasuresError, match=text):
        compare(lambda trial: returned, path=path, settings={"epochs": 2})
    assert not path.exists()


def test_trials_that_measure_something_else_are_refused(path: Path) -> None:
    def uneven(trial: Trial) -> dict[str, object]:
        return {"accuracy": 1.0} if trial.method == "dense" else {"loss": 1.0}

    for more in ({}, {"path": path}):
        with pytest.raises(MeasuresError, match=r"seed 3: force 0.9 .*: accuracy, loss is in one"):
            compare(uneven, **more)


def test_the_order_of_measures_is_that_of_the_first_trial(path: Path) -> None:
    def turned(trial: Trial) -> dict[str, object]:
        measured = {"accuracy": 1.0, "loss": 2.0}
        return measured if trial.method == "dense" else dict(reversed(measured.items()))

    found = compare(turned, path=path)
    assert {tuple(row) for row in found.rows} == {tuple(found.rows[0])}
    assert results_file.read(path) == list(found.rows)
    results_file.append(path, dict(reversed(found.rows[0].items())))
    assert results_file.read(path)[-1] == found.rows[0]


def test_warnings_are_in_the_row_and_others_are_shown() -> None:
    def warn(trial: Trial) -> dict[str, object]:
        warnings.warn("no weight is kept in a", LayerCollapseWarning, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
        return run(trial)

    with pytest.warns(UserWarning, match="something else") as caught:
        found = compare(warn, methods=["snip"], sparsities=[0.5], seeds=[0, 1])
    assert {each.category for each in caught} == {UserWarning}
    assert [row["warnings"] for row in found.rows] == [["no weight is kept in a"]] * 2
    assert found.warnings[1] == "seed 1: snip 0.5: no weight is kept in a"
    assert "2 of 2 trials warned: see .warnings" in str(found)


def test_no_trial_begins_after_the_time_is_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock is read at the start, before each trial, and twice in it.
    clock = itertools.count(5000, 100)
    monkeypatch.setattr(running.time, "monotonic", lambda: next(clock))
    found = compare(path=path, seconds=650)
    assert len(found.rows) == 2
    assert not found.is_complete
    assert "8 of 10 trials are missing" in str(found)
    assert len(compare(path=path, seconds=0).rows) == 2


def test_each_trial_says_how_it_went(capsys: pytest.CaptureFixture[str]) -> None:
    compare(progress=True, seeds=[3])
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[1] == "seed 3: force 0.9: accuracy 0.763, 2 of 5 trials, about 0 s left"
    assert lines[4] == "seed 3: snip 0.5: accuracy 0.813, 5 of 5 trials"
    assert captured.err.splitlines()[1] == "seed 3: force 0.9"


def test_a_search_and_a_network_in_a_few_lines(path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 8), np.float32), rng.integers(0, 3, 64)

    def train(trial: Trial) -> dict[str, object]:
        net = sf.nn.Network(
            [sf.nn.Linear(8, 16), sf.nn.ReLU(), sf.nn.Linear(16, 3)], seed=trial.seed
        )
        found = sf.prune(
            net.weights,
            net.gradients_on(x, y, batch_size=32, seed=trial.seed),
            method=trial.method,
            sparsity=trial.sparsity,
            steps=2,
        )
        net.apply(found)
        net.fit(x, y, epochs=1, batch_size=32, seed=trial.seed, progress=False)
        return {"accuracy": net.evaluate(x, y).accuracy, "kept": found.keep}

    found = compare(train, methods=["force", "iterative_snip"], path=path)
    assert found.values("kept", "force", 0.5) == [88, 88]
    assert sf.Comparison.read_csv(path).rows == found.rows
