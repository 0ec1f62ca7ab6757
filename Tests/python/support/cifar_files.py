"""Files of CIFAR for tests, and a check of what is read from them."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from swiftforce.datasets import cifar10, cifar100
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
    """As published: gzipped, with a folder and other files, in any order."""
    members = [("batches.meta.txt", b"airplane\n")]
    members += [(file, records[file].tobytes()) for file in order or records]
    path.write_bytes(gzip.compress(archive_bytes([*members, ("readme.html", b"<html>")]), 1))
    return path


def check(data: Dataset, layout: Layout, records: Records) -> None:
    """Compare a data set with plain numpy."""
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


def failure(read, place: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        read(place)
    message = str(caught.value)
    assert str(place) in message
    assert "\n" not in message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return message
