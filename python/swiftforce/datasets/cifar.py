"""The binary version of CIFAR-10 and CIFAR-100, from a folder or the archive, piece by piece."""

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

from swiftforce.datasets.images import (
    Dataset,
    channel_statistics,
    normalise_pixels,
    pixel_counts,
    refuse_constant,
)
from swiftforce.files import file_error, file_size

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_PIECE = 512  # records read at a time: one and a half MiB
_CHUNK = 1 << 20
_UNREADABLE = (OSError, EOFError, tarfile.TarError, zlib.error)


@dataclass(frozen=True)
class Layout:
    """What the files of a data set are called, and what a record of theirs starts with.

    Attributes
    ----------
    name, folder, archive : str
        What the data set is called, the folder that it unpacks to, and what is downloaded.
    train : tuple of str
        The files to train on, in the order of their samples.
    test : str
        The file to test with.
    labels : tuple of (str, int)
        For each byte in front of a record's pixels, its meaning and how many values it may take;
        the last one is the class.
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
        """Length of a record in bytes: labels, then the red, the green and the blue plane."""
        return len(self.labels) + _PIXELS

    def is_at(self, place: Path) -> bool:
        """Whether a place is a folder with any of the files, or a file that may be the archive."""
        if os.path.lexists(place) and not os.path.isdir(place):  # noqa: PTH112 - never raises
            return True
        return any(os.path.lexists(place / file) for file in self.files)


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
    path: Path  # as messages say it: of a file in an archive, the archive's path and its own
    size: int
    open: Callable[[], IO[bytes]]


def read_cifar(place: Path, layout: Layout) -> Dataset:
    """Read the data set from a folder or an archive; normalised, as `swiftforce.datasets` says.

    The float32 images are made once and normalised in place; of the files, no more than a piece
    is held.

    Parameters
    ----------
    place : Path
        Where the data set is, as `Layout.is_at` says.
    layout : Layout
        Which data set it is.

    Raises
    ------
    DatasetError
        Naming the file; for a wrong label, with its record and its value.
    """
    with _opened(place, layout) as files:
        records = {name: _records(file, layout) for name, file in files.items()}
        train_x, train_y = _unfilled(sum(records[name] for name in layout.train))
        test_x, test_y = _unfilled(records[layout.test])
        counts = np.zeros((_SHAPE[0], 256), np.int64)
        for name, file in files.items():
            is_train = name != layout.test
            images, classes = (train_x, train_y) if is_train else (test_x, test_y)
            before = layout.train[: layout.train.index(name)] if is_train else ()
            at = sum(records[earlier] for earlier in before)
            for labels, pixels in _pieces(file, layout):
                end = at + len(labels)
                classes[at:end] = labels
                images[at:end] = pixels
                if is_train:
                    counts += pixel_counts(pixels)
                at = end
    refuse_constant(place, counts)
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


def _unfilled(count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return np.empty((count, *_SHAPE), np.float32), np.empty(count, np.int64)


def _records(file: _File, layout: Layout) -> int:
    """How many records a file has by its length."""
    count, rest = divmod(file.size, layout.record)
    if file.size == 0:
        raise file_error(file.path, f"is empty, expected records of {layout.record} bytes")
    if rest:
        raise file_error(
            file.path, f"ends in record {count} (from 0), after {rest} of its {layout.record} bytes"
        )
    return count


def _pieces(file: _File, layout: Layout) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Classes and pixels of some records at a time, the labels checked."""
    first, count = 0, _records(file, layout)
    try:
        with file.open() as stream:
            while first < count:
                wanted = min(_PIECE, count - first) * layout.record
                found = stream.read(wanted)
                if len(found) < wanted:
                    whole, rest = divmod(len(found), layout.record)
                    raise EOFError(f"it ended in record {first + whole} (from 0), byte {rest}")
                piece = np.frombuffer(found, np.uint8).reshape(-1, layout.record)
                _check_labels(file, layout, piece, first)
                width = len(layout.labels)
                yield piece[:, width - 1], piece[:, width:].reshape(-1, *_SHAPE)
                first += len(piece)
    except _UNREADABLE as error:
        raise file_error(file.path, f"cannot be read: {error}") from None


def _check_labels(file: _File, layout: Layout, piece: NDArray[np.uint8], first: int) -> None:
    limits = [values for _, values in layout.labels]
    wrong = np.argwhere(piece[:, : len(limits)] >= limits)
    if len(wrong):
        row, byte = wrong[0].tolist()
        meaning, values = layout.labels[byte]
        raise file_error(
            file.path,
            f"record {first + row} (from 0) has the {meaning} {piece[row, byte]}, "
            f"expected 0 to {values - 1}",
        )


@contextmanager
def _opened(place: Path, layout: Layout) -> Iterator[dict[str, _File]]:
    """The files by name, in the order in which they are best read."""
    if os.path.isdir(place):  # noqa: PTH112 - never raises
        yield {name: _in_folder(place, name) for name in layout.files}
        return
    file_size(place, f"pass {layout.archive} or its folder as unpacked")
    try:
        with place.open("rb") as file:
            is_packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream: Any = gzip.GzipFile(fileobj=file) if is_packed else file
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                yield _in_archive(place, archive, layout)
                while stream.read(_CHUNK):  # the checksum stands at the end
                    pass
    except _UNREADABLE as error:
        raise file_error(place, f"cannot be read: {error}") from None


def _in_folder(folder: Path, name: str) -> _File:
    path = folder / name
    if not os.path.lexists(path):
        raise file_error(folder, f"no {name} in it; pass the folder of the binary version")
    return _File(
        path,
        file_size(path, "pass the folder of the binary version as unpacked"),
        lambda: path.open("rb"),
    )


def _in_archive(place: Path, archive: tarfile.TarFile, layout: Layout) -> dict[str, _File]:
    """In the order of the archive: going back would unpack it anew."""
    files: dict[str, _File] = {}
    for member in archive:
        if member.size < 0:  # tarfile would go back and round for ever
            raise file_error(place, f"has a file of {member.size} bytes in it")
        name = PurePosixPath(member.name).name
        if name not in layout.files:
            continue
        path = Path(f"{place}/{member.name}")
        if name in files:
            raise file_error(path, f"the archive has more than one {name}")
        if not member.isreg() or member.issparse():
            raise file_error(path, "is not a regular file")
        files[name] = _File(path, member.size, _opener(archive, member))
    for name in layout.files:
        if name not in files:
            raise file_error(place, f"no {name} in it; pass {layout.archive} as downloaded")
    return files


def _opener(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        stream = archive.extractfile(member)
        assert stream is not None  # as of every regular file
        return stream

    return opened
