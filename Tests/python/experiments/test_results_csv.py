"""The file of results: complete lines are read, also after an interruption."""

from __future__ import annotations

import csv
import os
from dataclasses import fields, replace
from pathlib import Path

import pytest
from swiftforce import RunsFileError
from swiftforce.experiments import results_csv as runs
from swiftforce.experiments.runs import Result, Run

RESULT = Result(
    run=Run("vgg11", "force", 0.995, 2**64 - 1, 60, 10, 128, 0.1, 60_000),
    keep=12,
    accuracy=0.1 + 0.2,
    loss=1e-7,
    train_accuracy=0.5,
    search_seconds=1.25,
    train_seconds=100.0,
    density={"0.weight": 1 / 3, "3.body.0.weight": 0.0, 'a "b", c': 1.0},
    removed=(10, 5),
    revived=(0, 1),
    warnings=("no weight is kept in a, b", 'two\nlines, "quoted", \u2028 \u00fc'),
    versions={"swiftforce": "0.1.0", "numpy": "2.0.0"},
)
OTHER = replace(RESULT, run=replace(RESULT.run, method="dense", sparsity=0.0), warnings=())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.csv"


def test_what_is_read_is_what_was_written(path: Path) -> None:
    assert runs.read(path) == []
    runs.append(path, RESULT)
    runs.append(path, OTHER)
    assert runs.read(path) == [RESULT, OTHER]
    assert path.read_bytes().count(b"\n") == 3


def test_any_reader_of_csv_can_read_it(path: Path) -> None:
    runs.append(path, RESULT)
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == [
        *("network", "method", "sparsity", "seed", "steps", "epochs", "batch_size"),
        *("learning_rate", "samples", "keep", "accuracy", "loss", "train_accuracy"),
        *("search_seconds", "train_seconds", "empty_layers", "density", "removed", "revived"),
        *("warnings", "versions"),
    ]
    assert row["sparsity"] == "0.995"
    assert row["seed"] == str(2**64 - 1)
    assert row["empty_layers"] == '["3.body.0.weight"]'
    assert row["removed"] == "[10, 5]"


def test_every_field_has_a_column() -> None:
    named = {field.name for field in (*fields(Run), *fields(Result))} - {"run"}
    assert named | {"empty_layers"} == set(runs.COLUMNS)


def test_numbers_that_are_not_finite_are_numbers(path: Path) -> None:
    runs.append(path, replace(RESULT, loss=float("inf"), train_accuracy=float("nan")))
    (found,) = runs.read(path)
    assert found.loss == float("inf")
    assert found.train_accuracy != found.train_accuracy


@pytest.mark.slow
def test_a_file_cut_off_anywhere_loses_only_the_line_it_was_cut_in(path: Path) -> None:
    runs.append(path, RESULT)
    one = path.stat().st_size
    runs.append(path, OTHER)
    content = path.read_bytes()
    heading = content.index(b"\n") + 1
    for length in range(len(content)):
        path.write_bytes(content[:length])
        there = (length >= one) * [RESULT]
        assert runs.read(path) == there, length
        if length % 7 == 0 or length in (heading, heading - 1, one, one - 1):
            runs.append(path, OTHER)
            assert runs.read(path) == [*there, OTHER], length


def test_it_is_on_the_disk_before_the_next_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []

    def fsync(number: int) -> None:
        synced.append(os.fstat(number).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    runs.append(path, RESULT)
    assert synced == [path.stat().st_size]


@pytest.mark.parametrize("content", [b"a", b"a,b\n1,2\n", b"\n", b"network,method\n", b"\x89PNG"])
def test_files_of_other_kinds_are_refused_and_stay(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(RunsFileError, match="is not a file of runs"):
        runs.read(path)
    with pytest.raises(RunsFileError, match="is not a file of runs"):
        runs.append(path, RESULT)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b",12,", b",x,"),
        (b",12,", b",12,13,"),
        (b"vgg11,", b""),
        (b'"[10, 5]"', b'"[10, 5"'),
        (b'"[10, 5]"', b"7"),
        (b'"[10, 5]"', b'"[Infinity, 5]"'),
        (b'"[10, 5]"', b"[" * 100_000),
        (b'"{""0.weight', b'"[],{""0.weight'),
        (b"vgg11", b"\n"),
    ],
)
def test_a_damaged_line_is_named(path: Path, old: bytes, new: bytes) -> None:
    runs.append(path, OTHER)
    runs.append(path, RESULT)
    lines = path.read_bytes().splitlines(keepends=True)
    assert old in lines[2]
    path.write_bytes(b"".join([*lines[:2], lines[2].replace(old, new, 1)]))
    with pytest.raises(RunsFileError, match=r"runs.csv', line 3: "):
        runs.read(path)
