"""The IDX format of MNIST and similar data sets. Headers are checked before memory is allocated."""

from __future__ import annotations

import gzip
import io
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swiftforce.datasets.data_files import file_error, open_data_file
from swiftforce.datasets.images import (
    Dataset,
    channel_statistics,
    normalise_pixels,
    pixel_counts,
    refuse_constant,
)

_ELEMENT_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_MAX_RANK = 32  # of an array in numpy 1; numpy 2 allows 64
_MAX_BYTES = 2**63 - 1
_CHUNK = 1 << 20
# The best ratio of deflate: 258 bytes from a length code and a distance code of one bit each.
_DEFLATE_RATIO = 258 * 8 // 2

_TRAIN_IMAGES = "train-images-idx3-ubyte"
_TRAIN_LABELS = "train-labels-idx1-ubyte"
_TEST_IMAGES = "t10k-images-idx3-ubyte"
_TEST_LABELS = "t10k-labels-idx1-ubyte"
#: Names of the four files of a data set, each with or without ``.gz``.
IDX_FILES = (_TRAIN_IMAGES, _TRAIN_LABELS, _TEST_IMAGES, _TEST_LABELS)


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an array from an IDX file, the format of MNIST and similar data sets.

    The first bytes tell whether the file is gzipped; its name does not matter. The size in the
    header is checked before memory is allocated: against the length of the file or, if it is
    gzipped, against the most that a gzip file of this length can hold. No more than that size and
    one byte are ever unpacked.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Returns
    -------
    numpy.ndarray
        uint8, int8, int16, int32, float32 or float64, as in the file, with 1 to 32 dimensions, in
        the byte order of the machine. Writable, C-contiguous.

    Raises
    ------
    DatasetError
        If the file is missing, cannot be read, is not in IDX format, is damaged, or is shorter or
        longer than its header says.

    References
    ----------
    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits": the format
    is described at the end of the page.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "labels"
    ...     _ = path.write_bytes(bytes([0, 0, 0x08, 1, 0, 0, 0, 3, 7, 8, 9]))
    ...     read_idx(path)
    array([7, 8, 9], dtype=uint8)
    """
    path = Path(path)
    try:
        with open_data_file(path, "pass the path of an IDX file, gzipped or not") as file:
            size = os.fstat(file.fileno()).st_size
            is_packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not is_packed:
                return _read_array(path, file, least=size, most=size)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read_array(path, unpacked, least=0, most=size * _DEFLATE_RATIO)
    except (OSError, EOFError, zlib.error) as error:
        raise file_error(path, f"cannot be read: {error}") from None


def _read_array(path: Path, stream: io.BufferedIOBase, *, least: int, most: int) -> NDArray[Any]:
    """Read header and elements of a file whose unpacked size is in `least` ... `most` bytes."""
    dtype, shape = _read_header(path, stream)
    header_bytes = 4 + 4 * len(shape)
    claimed = math.prod(shape) * dtype.itemsize
    dimensions = " x ".join(map(str, shape))
    claim = f"the header says {dimensions} {dtype.newbyteorder('=').name} = {claimed} bytes"
    # numpy multiplies the other dimensions even if one is empty and the product is 0.
    if math.prod(filter(None, shape)) * dtype.itemsize > _MAX_BYTES:
        raise file_error(path, f"{claim}: too large for this machine")
    if header_bytes + claimed < least:
        raise file_error(path, f"{claim}, but {least - header_bytes} bytes follow it")
    if header_bytes + claimed > most:
        limit = "" if least == most else "at most "
        raise file_error(path, f"{claim}, but {limit}{most - header_bytes} bytes follow it")
    elements = _read_bytes(stream, claimed + 1)
    if len(elements) != claimed:
        rest = "more" if len(elements) > claimed else f"{len(elements)} bytes"
        raise file_error(path, f"{claim}, but {rest} follow it")
    array: NDArray[Any] = np.ndarray(shape, dtype, buffer=elements)
    if dtype.isnative:
        return array
    return array.byteswap(inplace=True).view(dtype.newbyteorder("="))


def _read_header(path: Path, stream: io.BufferedIOBase) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = _read_bytes(stream, 4)
    if not magic:
        raise file_error(path, "is empty, expected an IDX file")
    if magic[:2] != bytes(min(2, len(magic))):
        raise file_error(
            path,
            f"starts with bytes {magic.hex(' ')}; an IDX file starts with 00 00, "
            "its element type and its number of dimensions",
        )
    if len(magic) < 4:
        raise file_error(path, f"ends after {len(magic)} of the 4 first bytes of an IDX header")
    code, rank = magic[2], magic[3]
    if code not in _ELEMENT_TYPES:
        known = ", ".join(f"{number:#04x} {dtype.name}" for number, dtype in _ELEMENT_TYPES.items())
        raise file_error(path, f"has the unknown element type {code:#04x}; IDX has {known}")
    if not 1 <= rank <= _MAX_RANK:
        raise file_error(path, f"has {rank} dimensions, expected 1 to {_MAX_RANK}")
    dimensions = _read_bytes(stream, 4 * rank)
    if len(dimensions) < 4 * rank:
        length, needed = 4 + len(dimensions), 4 + 4 * rank
        raise file_error(path, f"ends after {length} of the {needed} bytes of its IDX header")
    shape = tuple(int.from_bytes(dimensions[i : i + 4], "big") for i in range(0, 4 * rank, 4))
    return _ELEMENT_TYPES[code], shape


def _read_bytes(stream: io.BufferedIOBase, count: int) -> bytearray:
    """Read `count` bytes, or up to the end. Memory grows with what is read, not with `count`."""
    data = bytearray()
    while len(data) < count:
        chunk = stream.read(min(_CHUNK, count - len(data)))
        if not chunk:
            break
        data += chunk
    return data


def idx_dataset(directory: str | os.PathLike[str], *, name: str, normalise: bool = True) -> Dataset:
    """Read a data set from four IDX files in a folder.

    The files have the names of MNIST: ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
    ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each with or without ``.gz``. If both
    exist, the one without is read. The float32 images are allocated once and normalised in place;
    besides them, the bytes of one image file are in memory.

    Parameters
    ----------
    directory : str or os.PathLike
        The folder.
    name : str
        Name of the data set.
    normalise : bool
        Whether to subtract the mean of the training pixels and divide by their standard deviation,
        in both parts. Otherwise pixels are in [0, 1].

    Returns
    -------
    Dataset
        Images float32 of shape (n, 1, height, width), labels int64 of shape (n,). The classes are
        0 up to the largest label.

    Raises
    ------
    DatasetError
        If a file is missing or damaged, is not uint8, has the wrong number of dimensions or no
        elements; if there are not as many labels as images, or the two parts differ in image size;
        or if all training pixels are equal, so that they cannot be normalised.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> images = bytes([0, 0, 0x08, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 255])
    >>> labels = bytes([0, 0, 0x08, 1, 0, 0, 0, 2, 0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part in "train", "t10k":
    ...         _ = pathlib.Path(folder, f"{part}-images-idx3-ubyte").write_bytes(images)
    ...         _ = pathlib.Path(folder, f"{part}-labels-idx1-ubyte").write_bytes(labels)
    ...     data = idx_dataset(folder, name="tiny")
    >>> data
    Dataset('tiny', train=2, test=2, shape=(1, 1, 1), classes=2)
    >>> data.train_x.ravel()
    array([-1.,  1.], dtype=float32)
    """
    folder = Path(directory)
    train_y = _read_labels(_idx_file(folder, _TRAIN_LABELS))
    test_y = _read_labels(_idx_file(folder, _TEST_LABELS))

    train_file = _idx_file(folder, _TRAIN_IMAGES)
    pixels = _read_images(train_file, len(train_y))
    counts = pixel_counts(pixels)
    mean, std = channel_statistics(counts)
    if normalise:
        refuse_constant(train_file, counts)
    shift, scale = (mean, std) if normalise else ((0.0,), (1.0,))
    train_x = normalise_pixels(pixels.astype(np.float32), shift, scale)
    del pixels

    test_file = _idx_file(folder, _TEST_IMAGES)
    pixels = _read_images(test_file, len(test_y))
    if pixels.shape[2:] != train_x.shape[2:]:
        height, width = train_x.shape[2:]
        raise file_error(
            test_file,
            f"images of {pixels.shape[2]} x {pixels.shape[3]} pixels, "
            f"the training images have {height} x {width}",
        )
    return Dataset(
        train_x=train_x,
        train_y=train_y,
        test_x=normalise_pixels(pixels.astype(np.float32), shift, scale),
        test_y=test_y,
        classes=1 + int(max(train_y.max(), test_y.max())),
        name=name,
        mean=mean,
        std=std,
    )


def _idx_file(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if os.path.lexists(candidate):
            return candidate
    problem = f"no {name} or {name}.gz in it" if os.path.lexists(folder) else "no such folder"
    raise file_error(folder, f"{problem}; pass the folder that holds the four IDX files")


def _read_uint8(path: Path, rank: int, meaning: str) -> NDArray[np.uint8]:
    array = read_idx(path)
    if array.dtype != np.uint8 or array.ndim != rank:
        raise file_error(
            path,
            f"{array.dtype} with {array.ndim} dimensions, but "
            f"{meaning} are uint8 with {rank} dimension{'s' if rank > 1 else ''}",
        )
    if array.size == 0:
        raise file_error(path, f"has no {meaning}: its dimensions are {array.shape}")
    return array


def _read_labels(path: Path) -> NDArray[np.int64]:
    return _read_uint8(path, 1, "labels").astype(np.int64)


def _read_images(path: Path, labels: int) -> NDArray[np.uint8]:
    images = _read_uint8(path, 3, "images")
    if len(images) != labels:
        raise file_error(path, f"{len(images)} images, but there are {labels} labels")
    return images[:, np.newaxis]
