"""The binary version of CIFAR-10 and CIFAR-100, read from a folder or the archive."""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from swiftforce.datasets.data_files import file_error, open_data_file, size_of
from swiftforce.datasets.images import (
    Dataset,
    channel_statistics,
    normalise_pixels,
    pixel_counts,
    refuse_constant,
)

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_RECORDS = 512  # records read at a time: 1.5 MiB
_CHUNK = 1 << 20
_UNREADABLE = (OSError, EOFError, tarfile.TarError, zlib.error)


@dataclass(frozen=True)
class Layout:
    """Names of the files of a data set, and the labels at the start of each record.

    Attributes
    ----------
    name, folder, archive : str
        Names of the data set, of the folder in its archive, and of the archive.
    train : tuple of str
        Files of the training set, in the order of their samples.
    test : str
        File of the test set.
    labels : tuple of (str, int)
        For each byte before the pixels of a record, its meaning and its number of values. The last
        one is the class.
    """

    name: str
    folder: str
    archive: str
    train: tuple[str, ...]
    test: str
    labels: tuple[tuple[str, int], ...]

    @property
    def files(self) -> tuple[str, ...]:
        """All files."""
        return (*self.train, self.test)

    @property
    def record(self) -> int:
        """Bytes of a record: labels, then the red, green and blue planes."""
        return len(self.labels) + _PIXELS

    def is_at(self, path: Path) -> bool:
        """Whether a path is a folder with any of the files, or a file that may be the archive."""
        if os.path.lexists(path) and not os.path.isdir(path):  # noqa: PTH112 - never raises
            return True
        return any(os.path.lexists(path / file) for file in self.files)


CIFAR10 = Layout(
    name="cifar-10",
    folder="cifar-10-batches-bin",
    archive="cifar-10-binary.tar.gz",
    train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test="test_batch.bin",
    labels=(("label", 10),),
)
CIFAR100 = Layout(
    name="cifar-100",
    folder="cifar-100-binary",
    archive="cifar-100-binary.tar.gz",
    train=("train.bin",),
    test="test.bin",
    labels=(("coarse label", 20), ("fine label", 100)),
)


@dataclass(frozen=True)
class _File:
    path: Path  # for messages; in an archive, the path of the archive followed by the member's
    size: int
    open: Callable[[], IO[bytes]]


def read_cifar(path: Path, layout: Layout) -> Dataset:
    """Read the data set from a folder or an archive, and normalise it.

    The float32 images are allocated once and normalised in place. Of the files, no more than
    1.5 MiB are in memory at a time.

    Parameters
    ----------
    path : Path
        A folder or archive for which `Layout.is_at` is true.
    layout : Layout
        Selects the data set.

    Raises
    ------
    DatasetError
        The message names the file and, for a wrong label, the record and the value.
    """
    with _open_files(path, layout) as files:
        records = {name: _record_count(file, layout) for name, file in files.items()}
        train_x, train_y = _empty_part(sum(records[name] for name in layout.train))
        test_x, test_y = _empty_part(records[layout.test])
        counts = np.zeros((_SHAPE[0], 256), np.int64)
        for name, file in files.items():
            is_train = name != layout.test
            images, classes = (train_x, train_y) if is_train else (test_x, test_y)
            before = layout.train[: layout.train.index(name)] if is_train else ()
            start = sum(records[earlier] for earlier in before)
            for labels, pixels in _read_records(file, layout):
                end = start + len(labels)
                classes[start:end] = labels
                images[start:end] = pixels
                if is_train:
                    counts += pixel_counts(pixels)
                start = end
    refuse_constant(path, counts)
    mean, std = channel_statistics(counts)
    return Dataset(
        train_x=normalise_pixels(train_x, mean, std),
        train_y=train_y,
        test_x=normalise_pixels(test_x, mean, std),
        test_y=test_y,
        classes=layout.labels[-1][1],
        name=layout.name,
        mean=mean,
        std=std,
    )


def _empty_part(count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return np.empty((count, *_SHAPE), np.float32), np.empty(count, np.int64)


def _record_count(file: _File, layout: Layout) -> int:
    """Number of records that a file of this length holds."""
    count, rest = divmod(file.size, layout.record)
    if file.size == 0:
        raise file_error(file.path, f"is empty, expected records of {layout.record} bytes")
    if rest:
        raise file_error(
            file.path, f"ends in record {count} (from 0), after {rest} of its {layout.record} bytes"
        )
    return count


def _read_records(
    file: _File, layout: Layout
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Classes and pixels of a few records at a time, with checked labels."""
    first, count = 0, _record_count(file, layout)
    try:
        with file.open() as stream:
            while first < count:
                size = min(_RECORDS, count - first) * layout.record
                data = stream.read(size)
                if len(data) < size:
                    whole, rest = divmod(len(data), layout.record)
                    raise EOFError(f"it ended in record {first + whole} (from 0), byte {rest}")
                records = np.frombuffer(data, np.uint8).reshape(-1, layout.record)
                _check_labels(file, layout, records, first)
                width = len(layout.labels)
                yield records[:, width - 1], records[:, width:].reshape(-1, *_SHAPE)
                first += len(records)
    except _UNREADABLE as error:
        raise file_error(file.path, f"cannot be read: {error}") from None


def _check_labels(file: _File, layout: Layout, records: NDArray[np.uint8], first: int) -> None:
    limits = [values for _, values in layout.labels]
    wrong = np.argwhere(records[:, : len(limits)] >= limits)
    if len(wrong):
        row, byte = wrong[0].tolist()
        meaning, values = layout.labels[byte]
        raise file_error(
            file.path,
            f"record {first + row} (from 0) has the {meaning} {records[row, byte]}, "
            f"expected 0 to {values - 1}",
        )


@contextmanager
def _open_files(path: Path, layout: Layout) -> Iterator[dict[str, _File]]:
    """The files by name, in the order in which they are fastest to read."""
    if os.path.isdir(path):  # noqa: PTH112 - never raises
        yield {name: _in_folder(path, name) for name in layout.files}
        return
    try:
        with open_data_file(path, f"pass {layout.archive} or its folder as unpacked") as file:
            is_packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream: Any = gzip.GzipFile(fileobj=file) if is_packed else file
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                yield _in_archive(path, archive, layout)
                while stream.read(_CHUNK):  # gzip checks its checksum at the end
                    pass
    except _UNREADABLE as error:
        raise file_error(path, f"cannot be read: {error}") from None


def _in_folder(folder: Path, name: str) -> _File:
    path = folder / name
    if not os.path.lexists(path):
        raise file_error(folder, f"no {name} in it; pass the folder of the binary version")
    advice = "pass the folder of the binary version as unpacked"
    return _File(path, size_of(path, advice), lambda: open_data_file(path, advice))


def _in_archive(path: Path, archive: tarfile.TarFile, layout: Layout) -> dict[str, _File]:
    """The files in the order of the archive: reading backwards would unpack it again."""
    files: dict[str, _File] = {}
    for member in archive:
        if member.size < 0:  # tarfile would read the same members forever
            raise file_error(path, f"is damaged: it has a member of {member.size} bytes")
        name = PurePosixPath(member.name).name
        if name not in layout.files:
            continue
        member_path = Path(f"{path}/{member.name}")
        if name in files:
            raise file_error(member_path, f"the archive has more than one {name}")
        if not member.isreg() or member.issparse():
            raise file_error(member_path, "is not a regular file")
        files[name] = _File(member_path, member.size, _opener(archive, member))
    for name in layout.files:
        if name not in files:
            raise file_error(path, f"no {name} in it; pass {layout.archive} as downloaded")
    return files


def _opener(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def open_member() -> IO[bytes]:
        stream = archive.extractfile(member)
        assert stream is not None  # never None for a regular file
        return stream

    return open_member
