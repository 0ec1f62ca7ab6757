"""The file of a comparison: values come back, complete lines are read, damage is named."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import run_all
from swiftforce import RunsFileError
from swiftforce.comparison import results_file

ROW = {
    "network": "vgg11",
    "method": "force",
    "sparsity": 0.995,
    "seed": 2**64 - 1,
    "accuracy": 0.1 + 0.2,
    "density": {"0.weight": 1 / 3, 'a "b", c': 1.0},
    "removed": [10, 5],
    "diverged": False,
    "test_loss": None,
    "warnings": ["no weight is kept in a, b", 'two\nlines, "quoted", \u2028 \u00fc'],
}
OTHER = {**ROW, "method": "dense", "sparsity": 0, "accuracy": float("inf"), "warnings": []}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.csv"


def test_what_is_read_is_what_was_written(path: Path) -> None:
    assert results_file.read(path) == []
    results_file.append(path, ROW)
    results_file.append(path, OTHER)
    assert results_file.read(path) == [ROW, OTHER]
    assert path.read_bytes().count(b"\n") == 3
    assert path.read_bytes() == results_file.text_of([ROW, OTHER])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    value=values | st.sampled_from(["1", "null", '"a"', "[]", " 1", "NaN", "[" * 2000, "9" * 5000])
)
def test_any_value_comes_back(value: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("value") / "a.csv"
    row = {"method": "a", "sparsity": 0.5, "seed": 1, "value": value}
    results_file.append(path, row)
    (found,) = results_file.read(path)
    assert found == row
    assert type(found["value"]) is type(value)


def test_any_reader_of_csv_can_read_it(path: Path) -> None:
    results_file.append(path, ROW)
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == list(ROW)
    assert row["sparsity"] == "0.995"
    assert row["seed"] == str(2**64 - 1)
    assert row["removed"] == "[10, 5]"
    assert row["network"] == "vgg11"


def test_numbers_of_numpy_are_numbers() -> None:
    value = {"a": np.float32(0.5), "b": np.arange(2), "c": (1, np.bool_(True))}
    assert results_file.plain_value(value) == {"a": 0.5, "b": [0, 1], "c": [1, True]}
    with pytest.raises(TypeError, match="a value of type object"):
        results_file.plain_value(object())


@pytest.mark.slow
def test_a_file_cut_off_anywhere_loses_only_the_line_it_was_cut_in(path: Path) -> None:
    results_file.append(path, ROW)
    one = path.stat().st_size
    results_file.append(path, OTHER)
    content = path.read_bytes()
    heading = content.index(b"\n") + 1
    for length in range(heading, len(content)):
        path.write_bytes(content[:length])
        there = (length >= one) * [ROW]
        assert results_file.read(path) == there, length
        if length % 7 == 0 or length in (heading, one, one - 1):
            results_file.append(path, OTHER)
            assert results_file.read(path) == [*there, OTHER], length


def test_it_is_on_the_disk_before_the_next_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []

    def fsync(number: int) -> None:
        synced.append(os.fstat(number).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    results_file.append(path, ROW)
    assert synced == [path.stat().st_size]


@pytest.mark.parametrize("content", [b"a", b"a,b\n1,2\n", b"\n", b"network,method\n", b"\x89PNG"])
def test_files_of_other_kinds_are_refused_and_stay(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(RunsFileError, match="is not a file of runs"):
        results_file.read(path)
    with pytest.raises(RunsFileError, match="is not a file of runs"):
        results_file.append(path, ROW)
    assert path.read_bytes() == content


def test_what_other_programs_do_to_a_file(path: Path) -> None:
    results_file.append(path, ROW)
    results_file.append(path, OTHER)
    content = path.read_bytes()
    path.write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n") + b"\r\n")
    assert results_file.read(path) == [ROW, OTHER]
    path.write_bytes(content.replace(b"null", b""))
    assert results_file.read(path) == [ROW, OTHER]
    path.write_bytes(content.replace(b",", b";"))
    with pytest.raises(RunsFileError, match="separated by semicolons; save it with commas"):
        results_file.read(path)
    path.write_bytes(content.replace(b"network,", b"method,", 1))
    with pytest.raises(RunsFileError, match="two columns of one name"):
        results_file.read(path)


def test_a_long_cell_can_be_read(path: Path) -> None:
    limit = csv.field_size_limit()
    row = {**ROW, "removed": [0.123456789] * 20_000}
    results_file.append(path, row)
    assert results_file.read(path) == [row]
    assert csv.field_size_limit() == limit


def test_a_row_of_other_columns_is_refused(path: Path) -> None:
    results_file.append(path, ROW)
    content = path.read_bytes()
    with pytest.raises(RunsFileError, match=r"the new row has .*, loss: give another path"):
        results_file.append(path, {**ROW, "loss": 1.0})
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"0.995,", b"0.995,13,", "11 cells where there are 10 columns"),
        (b"0.995,", b"high,", "sparsity is 'high'"),
        (b"force,", b"1,", "method is 1"),
        (str(2**64 - 1).encode(), b"null", "seed is None"),
    ],
)
def test_a_damaged_line_is_named(path: Path, old: bytes, new: bytes, text: str) -> None:
    results_file.append(path, OTHER)
    results_file.append(path, ROW)
    lines = path.read_bytes().splitlines(keepends=True)
    assert old in lines[2]
    path.write_bytes(b"".join([*lines[:2], lines[2].replace(old, new, 1)]))
    with pytest.raises(RunsFileError, match=rf"runs.csv', line 3: .*{text}"):
        results_file.read(path)


APPEND = """
import sys
from swiftforce.comparison import results_file
for number in range(20):
    row = {"method": "force", "sparsity": 0.5, "seed": 100 * int(sys.argv[2]) + number}
    results_file.append(sys.argv[1], row)
"""


@pytest.mark.slow
def test_programs_that_append_at_once_lose_nothing(path: Path) -> None:
    run_all([[sys.executable, "-c", APPEND, str(path), str(number)] for number in range(4)])
    seeds = sorted(row["seed"] for row in results_file.read(path))
    assert seeds == [100 * number + each for number in range(4) for each in range(20)]
