"""CIFAR's binary version: what is written in the published format comes back, errors are named."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swiftforce.datasets import cifar, cifar10, cifar100
from swiftforce.datasets.cifar import CIFAR10, CIFAR100, Layout
from swiftforce.datasets.images import Dataset
from swiftforce.errors import DatasetError

READERS = {CIFAR10.name: (CIFAR10, cifar10), CIFAR100.name: (CIFAR100, cifar100)}
Records = dict[str, np.ndarray]

either_set = pytest.mark.parametrize("name", READERS)


def some_records(layout: Layout, counts: list[int], seed: int = 0) -> Records:
    """For each file, uint8 of shape (n, record): labels in range, then noise."""
    rng = np.random.default_rng(seed)
    records = {}
    for file, count in zip(layout.files, counts, strict=True):
        labels = [rng.integers(0, values, (count, 1)) for _, values in layout.labels]
        records[file] = np.hstack([*labels, rng.integers(0, 256, (count, 3072))]).astype(np.uint8)
    return records


def few_records(layout: Layout) -> Records:
    return some_records(layout, [2 + number % 2 for number in range(len(layout.files))])


def write_folder(folder: Path, records: Records) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, rows in records.items():
        (folder / file).write_bytes(rows.tobytes())
    return folder


def archive_bytes(members: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo("cifar")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for file, data in members:
            member = tarfile.TarInfo(f"cifar/{file}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def write_archive(path: Path, records: Records, order: list[str] | None = None) -> Path:
    """As published: gzipped, a folder, other files between, in any order."""
    members = [("batches.meta.txt", b"airplane\n")]
    members += [(file, records[file].tobytes()) for file in order or records]
    path.write_bytes(gzip.compress(archive_bytes([*members, ("readme.html", b"<html>")]), 1))
    return path


def check(data: Dataset, layout: Layout, records: Records) -> None:
    """All of a data set against plain numpy."""
    labels = len(layout.labels)
    rows = np.concatenate([records[file] for file in layout.train])
    # By the format: the first 1024 bytes are the red channel, row by row; then green, then blue.
    planes = np.stack([rows[:, labels + 1024 * c :][:, :1024] for c in range(3)], axis=1) / 255
    mean, std = planes.mean((0, 2)), planes.std((0, 2))
    np.testing.assert_allclose(data.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(data.std, std, rtol=1e-12)
    for x, y, part in (
        (data.train_x, data.train_y, rows),
        (data.test_x, data.test_y, records[layout.test]),
    ):
        assert (x.dtype, x.shape) == (np.float32, (len(part), 3, 32, 32))
        assert x.flags.c_contiguous
        assert x.flags.writeable
        assert y.dtype == np.int64
        assert y.tolist() == part[:, labels - 1].tolist()
        back = x * np.reshape(data.std, (3, 1, 1)) + np.reshape(data.mean, (3, 1, 1))
        back = np.rint(255 * back).astype(np.uint8)
        assert back.reshape(len(part), -1).tobytes() == part[:, labels:].tobytes()
    assert (data.name, data.classes) == (layout.name, layout.labels[-1][1])


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
def test_more_than_a_piece(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, read = READERS[name]
    monkeypatch.setattr(cifar, "_PIECE", 2)
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
    """Both parts as float32 once, and pieces."""
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


# ------------------------------------------------------------------------------------- errors


def failure(read, place: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        read(place)
    message = str(caught.value)
    assert str(place) in message
    assert "\n" not in message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return message


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
    monkeypatch.setattr(cifar, "_PIECE", 2)
    for file in layout.train[-1], layout.test:
        records = some_records(layout, [5] * len(layout.files))
        records[file][3:, byte] = value  # in the second piece, and not the only one
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
    monkeypatch.setattr(cifar, "file_size", lambda path, advice: 3 * CIFAR100.record)
    message = failure(cifar100, place)
    assert "train.bin': cannot be read: it ended in record 2 (from 0), byte 0" in message


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal is played."""
    folder = write_folder(tmp_path / "folder", few_records(CIFAR100))
    archive = write_archive(tmp_path / "archive", few_records(CIFAR100))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "train.bin': cannot be read: [Errno 13] Perm" in failure(cifar100, folder)
    assert "archive': cannot be read: [Errno 13] Perm" in failure(cifar100, archive)


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


# ---------------------------------------------------------------------------- damaged archives


@pytest.mark.parametrize(
    "data", [b"", b"x", b"x" * 2000, b"\x1f\x8b", gzip.compress(b"x" * 2000, mtime=0)]
)
def test_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "archive").write_bytes(data)
    assert "archive': cannot be read: " in failure(cifar10, tmp_path / "archive")


def test_an_archive_that_is_cut(tmp_path: Path) -> None:
    records = few_records(CIFAR100)
    data = write_archive(tmp_path / "whole", records).read_bytes()
    members = [(file, rows.tobytes()) for file, rows in records.items()]
    plain = archive_bytes(members)
    for length in range(0, len(data), 97):
        (tmp_path / "cut").write_bytes(data[:length])
        failure(cifar100, tmp_path / "cut")
    for length in range(0, 512 * 3 + records["train.bin"].size, 97):
        (tmp_path / "cut").write_bytes(plain[:length])
        failure(cifar100, tmp_path / "cut")


@pytest.mark.slow
def test_one_bit_flipped_in_an_archive(tmp_path: Path) -> None:
    """Either it is found, by the checksum at the end at the latest, or it does not matter."""
    records = few_records(CIFAR100)
    data = write_archive(tmp_path / "whole", records).read_bytes()
    path = tmp_path / "flipped"
    for position in [*range(160), *range(160, 8 * len(data), 701), *range(-160, 0)]:
        flipped = bytearray(data)
        at = position % (8 * len(data))
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        try:
            found = cifar100(path)
        except DatasetError:
            continue
        check(found, CIFAR100, records)
        # Padding, a time stamp, a code that no byte uses.
        assert gzip.decompress(flipped) == gzip.decompress(data)


def test_a_file_that_is_there_twice(tmp_path: Path) -> None:
    rows = few_records(CIFAR100)["test.bin"].tobytes()
    members = [("train.bin", rows), ("test.bin", rows), ("old/train.bin", rows)]
    (tmp_path / "archive").write_bytes(archive_bytes(members))
    message = failure(cifar100, tmp_path / "archive")
    assert "archive/cifar/old/train.bin': the archive has more than one train.bin" in message


def test_a_link_in_an_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "archive", "w") as archive:
        link = tarfile.TarInfo("train.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert "archive/train.bin': is not a regular file" in failure(cifar100, tmp_path / "archive")


def patched(archive: bytes, at: int, fields: dict[int, bytes]) -> bytes:
    """The archive with bytes of the header at `at` replaced, and the checksum made right."""
    header = bytearray(archive[at : at + 512])
    for offset, field in fields.items():
        header[offset : offset + len(field)] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return archive[:at] + header + archive[at + 512 :]


def test_an_archive_that_goes_backwards(tmp_path: Path) -> None:
    """A length of -512 would lead back to where it stands, for ever."""
    negative = {124: b"\xff" * 10 + b"\xfe\x00"}
    archive = patched(archive_bytes([("else.bin", b"")]), 512, negative)
    (tmp_path / "archive").write_bytes(archive)
    assert "has a file of -512 bytes in it" in failure(cifar100, tmp_path / "archive")


def test_a_sparse_file_in_an_archive(tmp_path: Path) -> None:
    """A header that claims gigabytes, all of them holes, costs nothing."""
    sparse = {156: b"S", 483: b"%011o\0" % (3074 * 2**20)}
    archive = patched(archive_bytes([("train.bin", b""), ("test.bin", b"")]), 512, sparse)
    (tmp_path / "archive").write_bytes(archive)
    assert "train.bin': is not a regular file" in failure(cifar100, tmp_path / "archive")


# --------------------------------------------------------------------------- where to look


@either_set
def test_looks_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    layout, read = READERS[name]
    shared = tmp_path / "data"
    shared.mkdir()
    monkeypatch.setenv("SWIFTFORCE_DATA", str(shared))
    with pytest.raises(DatasetError) as caught:
        read()
    assert str(caught.value) == (
        f"{name} not found in '{shared}/{layout.folder}', '{shared}/{layout.archive}': "
        f"pass the folder of the binary version or {layout.archive}, "
        f"or put {layout.folder} or the archive in $SWIFTFORCE_DATA"
    )
    sets = [some_records(layout, [n] * len(layout.files), n) for n in (1, 2, 3)]
    write_archive(shared / layout.archive, sets[0])
    check(read(), layout, sets[0])
    write_folder(shared / layout.folder, sets[1])
    check(read(), layout, sets[1])
    write_folder(tmp_path / "mine", sets[2])
    check(read(tmp_path / "mine"), layout, sets[2])
    check(read(str(tmp_path / "mine")), layout, sets[2])


@either_set
def test_a_place_that_is_passed_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    layout, read = READERS[name]
    write_folder(tmp_path / layout.folder, few_records(layout))
    monkeypatch.setenv("SWIFTFORCE_DATA", str(tmp_path))
    read()
    (tmp_path / "empty").mkdir()
    for place in tmp_path / "empty", tmp_path / "missing":
        assert failure(read, place).startswith(f"{name} not found in {str(place)!r}: pass")


def test_half_a_data_set_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = few_records(CIFAR100)
    write_archive(tmp_path / CIFAR100.archive, records)
    del records["test.bin"]
    write_folder(tmp_path / CIFAR100.folder, records)
    monkeypatch.setenv("SWIFTFORCE_DATA", str(tmp_path))
    with pytest.raises(DatasetError, match=r"cifar-100-binary': no test\.bin in it"):
        cifar100()
