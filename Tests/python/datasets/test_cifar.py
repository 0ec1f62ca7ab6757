"""The binary version of CIFAR: what is written in its format is read; errors name the file."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from cifar_files import (
    READERS,
    archive_bytes,
    check,
    either_set,
    failure,
    few_records,
    some_records,
    write_archive,
    write_folder,
)
from hypothesis import given
from hypothesis import strategies as st
from swiftforce.datasets import cifar, cifar10, cifar100
from swiftforce.datasets.cifar import CIFAR100


@given(
    st.sampled_from(sorted(READERS)),
    st.lists(st.integers(1, 4), min_size=6, max_size=6),
    st.integers(0, 2**32 - 1),
    st.permutations(range(6)),
    st.booleans(),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    counts: list[int],
    seed: int,
    order: list[int],
    is_packed: bool,
) -> None:
    layout, read = READERS[name]
    records = some_records(layout, counts[: len(layout.files)], seed)
    place = tmp_path_factory.mktemp("cifar")
    if is_packed:
        shuffled = [layout.files[at] for at in order if at < len(layout.files)]
        place = write_archive(place / "archive", records, shuffled)
    else:
        write_folder(place, records)
    check(read(place), layout, records)


def test_bytes_written_by_hand(tmp_path: Path) -> None:
    """One red, one green and one blue picture; one bright pixel in row 1, column 2."""
    pictures = np.zeros((3, 3072), np.uint8)
    for c in range(3):
        pictures[c, 1024 * c : 1024 * (c + 1)] = 100
        pictures[c, 1024 * c + 32 + 2] = 250
    data = b"".join(bytes([3, 40 + c]) + pictures[c].tobytes() for c in range(3))
    for file in CIFAR100.files:
        (tmp_path / file).write_bytes(data)
    found = cifar100(tmp_path)
    assert found.train_y.tolist() == [40, 41, 42]
    for c in range(3):
        assert found.train_x[c].argmax() == np.ravel_multi_index((c, 1, 2), (3, 32, 32))
        assert found.train_x[c, c].min() > found.train_x[c, c - 1].max()


@either_set
def test_more_records_than_are_read_at_a_time(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, read = READERS[name]
    monkeypatch.setattr(cifar, "_RECORDS", 2)
    records = some_records(layout, [1, 2, 3, 4, 5, 7][-len(layout.files) :])
    check(read(write_folder(tmp_path / "folder", records)), layout, records)
    check(read(write_archive(tmp_path / "archive", records)), layout, records)


def test_an_archive_that_is_not_gzipped(tmp_path: Path) -> None:
    records = few_records(CIFAR100)
    members = [(file, rows.tobytes()) for file, rows in records.items()]
    (tmp_path / "archive.tar").write_bytes(archive_bytes(members))
    check(cifar100(tmp_path / "archive.tar"), CIFAR100, records)


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_memory(tmp_path: Path, write) -> None:
    """Reading takes the float32 images and a few records."""
    records = some_records(CIFAR100, [4000, 1000])
    place = write(tmp_path / "cifar", records)
    size = 5000 * 3072 * 4
    del records
    tracemalloc.start()
    try:
        cifar100(place)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size + (12 << 20)


@either_set
@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_each_file_is_needed(tmp_path: Path, name: str, write) -> None:
    layout, read = READERS[name]
    for missing in layout.files:
        records = few_records(layout)
        del records[missing]
        place = write(tmp_path / f"without_{missing}", records)
        assert f"{str(place)!r}: no {missing} in it; pass " in failure(read, place)


@either_set
@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_a_file_of_any_other_length(tmp_path: Path, name: str, write) -> None:
    layout, read = READERS[name]
    for number, file in enumerate(layout.files):
        records = few_records(layout)
        rows = records[file]
        for length in 0, 1, layout.record - 1, layout.record + 1, rows.size - 1, rows.size + 1:
            records[file] = rows.ravel()[:length]
            if length > rows.size:
                records[file] = np.append(rows.ravel(), np.uint8(0))
            message = failure(read, write(tmp_path / f"{number}-{length}", records))
            assert f"{file}'" in message
            whole, rest = divmod(length, layout.record)
            expected = (
                f"ends in record {whole} (from 0), after {rest} of its {layout.record} bytes"
                if length
                else f"is empty, expected records of {layout.record} bytes"
            )
            assert expected in message


@pytest.mark.parametrize(
    ("name", "byte", "value", "problem"),
    [
        ("cifar-10", 0, 10, "the label 10, expected 0 to 9"),
        ("cifar-10", 0, 255, "the label 255, expected 0 to 9"),
        ("cifar-100", 0, 20, "the coarse label 20, expected 0 to 19"),
        ("cifar-100", 1, 100, "the fine label 100, expected 0 to 99"),
    ],
)
@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_a_label_out_of_range(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    byte: int,
    value: int,
    problem: str,
    write,
) -> None:
    layout, read = READERS[name]
    monkeypatch.setattr(cifar, "_RECORDS", 2)
    for file in layout.train[-1], layout.test:
        records = some_records(layout, [5] * len(layout.files))
        records[file][3:, byte] = value  # in the second block of records, and not the only one
        message = failure(read, write(tmp_path / file, records))
        assert f"{file}': record 3 (from 0) has {problem}" in message
        records[file][3:, byte] = value - 1 if value < 255 else 9
        check(read(write(tmp_path / f"right_{file}", records)), layout, records)


@either_set
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_constant_channel(tmp_path: Path, name: str, channel: int) -> None:
    layout, read = READERS[name]
    records = few_records(layout)
    for file in layout.train:
        start = len(layout.labels) + 1024 * channel
        records[file][:, start : start + 1024] = 77
    message = failure(read, write_folder(tmp_path / "cifar", records))
    assert f"every pixel of channel {channel} is 77: normalising would divide by" in message


def test_a_file_that_shrinks_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_folder(tmp_path / "cifar", few_records(CIFAR100))
    monkeypatch.setattr(cifar, "size_of", lambda path, advice: 3 * CIFAR100.record)
    message = failure(cifar100, place)
    assert "train.bin': cannot be read: it ended in record 2 (from 0), byte 0" in message


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read every file, so the error is simulated."""
    folder = write_folder(tmp_path / "folder", few_records(CIFAR100))
    archive = write_archive(tmp_path / "archive", few_records(CIFAR100))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert "train.bin': cannot be read: Permission denied" in failure(cifar100, folder)
    assert "archive': cannot be read: Permission denied" in failure(cifar100, archive)


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "cifar", few_records(CIFAR100))
    (place / "test.bin").unlink()
    (place / "test.bin").mkdir()
    assert "test.bin': is a folder; pass the folder of the binary" in failure(cifar100, place)


def test_a_link_to_nothing(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "cifar", few_records(CIFAR100))
    (place / "test.bin").unlink()
    (place / "test.bin").symlink_to("gone")
    assert "test.bin': no such file; pass the folder of the binary" in failure(cifar100, place)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in failure(cifar10, tmp_path / "pipe")
