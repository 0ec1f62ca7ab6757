"""Data sets as numpy arrays, ready to prune and train on.

Reading, checking and normalising live here; nothing is downloaded, and nothing but numpy and the
standard library is needed. Every reader returns a :class:`Dataset`. What is wrong with a file, or
that it is not there, is one :class:`~swiftforce.errors.DatasetError` that names it.
"""

from __future__ import annotations

import gzip
import io
import math
import operator
import os
import stat
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swiftforce.errors import DatasetError

__all__ = ["Dataset", "fashion_mnist", "idx_dataset", "mnist", "read_idx"]

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
# 258 bytes from a length and a distance code of one bit each: deflate cannot pack more tightly.
_DEFLATE_RATIO = 258 * 8 // 2

_TRAIN_IMAGES = "train-images-idx3-ubyte"
_TRAIN_LABELS = "train-labels-idx1-ubyte"
_TEST_IMAGES = "t10k-images-idx3-ubyte"
_TEST_LABELS = "t10k-labels-idx1-ubyte"
_FILES = (_TRAIN_IMAGES, _TRAIN_LABELS, _TEST_IMAGES, _TEST_LABELS)

_DATA_VARIABLE = "SWIFTFORCE_DATA"
_DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Labelled images, split into those to train on and those to test with.

    Attributes
    ----------
    train_x, test_x : numpy.ndarray
        Images, float32, shape (n, channels, height, width); (n, 1, 28, 28) for MNIST and
        Fashion-MNIST. C-contiguous.
    train_y, test_y : numpy.ndarray
        The class of each image, int64, shape (n,), each in 0 ... `classes` - 1.
    classes : int
        Number of classes.
    name : str
        What the data set is called.
    mean, std : float
        Mean and standard deviation of all pixels of the full training set, scaled to [0, 1],
        before normalisation: a normalised pixel p was ``p * std + mean``.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.zeros((4, 1, 2, 2), np.float32), np.array([0, 1, 0, 1])
    >>> Dataset(x, y, x[:2], y[:2], classes=2, name="tiny", mean=0.5, std=1.0)
    Dataset('tiny', train=4, test=2, shape=(1, 2, 2), classes=2)
    """

    train_x: NDArray[np.float32]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int64]
    classes: int
    name: str
    mean: float
    std: float

    def subset(self, train: int | None = None, test: int | None = None) -> Dataset:
        """Return the first samples only, as views: nothing is copied.

        Parameters
        ----------
        train, test : int, optional
            How many samples to keep of either part, from 1 to all of them; all when not given.

        Returns
        -------
        Dataset
            With the same `classes`, `name`, `mean` and `std`: the samples are not normalised anew.

        Raises
        ------
        DatasetError
            Where a part has fewer samples than asked for, or less than one is asked for.
        TypeError
            Where a number of samples is not an integer.

        Examples
        --------
        >>> import numpy as np
        >>> x, y = np.zeros((4, 1, 2, 2), np.float32), np.array([0, 1, 0, 1])
        >>> data = Dataset(x, y, x[:2], y[:2], classes=2, name="tiny", mean=0.5, std=1.0)
        >>> data.subset(train=3)
        Dataset('tiny', train=3, test=2, shape=(1, 2, 2), classes=2)
        """
        trains = self._first("train", train, len(self.train_y))
        tests = self._first("test", test, len(self.test_y))
        return replace(
            self,
            train_x=self.train_x[:trains],
            train_y=self.train_y[:trains],
            test_x=self.test_x[:tests],
            test_y=self.test_y[:tests],
        )

    def _first(self, part: str, wanted: int | None, available: int) -> int:
        if wanted is None:
            return available
        count = operator.index(wanted)
        if not 1 <= count <= available:
            raise DatasetError(
                f"subset({part}={count}): {self.name!r} has {available} {part} samples, "
                f"ask for 1 to {available}"
            )
        return count

    def __repr__(self) -> str:
        """Return one line, without the arrays."""
        return (
            f"Dataset({self.name!r}, train={len(self.train_y)}, test={len(self.test_y)}, "
            f"shape={self.train_x.shape[1:]}, classes={self.classes})"
        )


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an array from an IDX file, the format of MNIST and its relatives.

    Whether the file is gzipped is seen from its first bytes, whatever its name. What the header
    claims is checked before memory is taken for it: against the length of the file, or, where it
    is gzipped, against what so many bytes can hold at most; of that no more than the claimed
    length and one byte is ever unpacked.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Returns
    -------
    numpy.ndarray
        uint8, int8, int16, int32, float32 or float64, as the file says, in the byte order of the
        machine and with the file's dimensions (1 to 32 of them). Writable, C-contiguous.

    Raises
    ------
    DatasetError
        Where the file is missing, cannot be read, is not in IDX format, is damaged, or is
        shorter or longer than its header says.

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
    size = _file_size(path)
    try:
        with path.open("rb") as file:
            is_packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not is_packed:
                return _read_array(path, file, least=size, most=size)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read_array(path, unpacked, least=0, most=size * _DEFLATE_RATIO)
    except (OSError, EOFError, zlib.error) as error:
        raise _error(path, f"cannot be read: {error}") from None


def _error(path: Path, problem: str) -> DatasetError:
    return DatasetError(f"{str(path)!r}: {problem}")


def _file_size(path: Path) -> int:
    try:
        status = path.stat()
    except FileNotFoundError:
        problem = "no such file; pass the path of an IDX file, gzipped or not"
        raise _error(path, problem) from None
    except OSError as error:
        raise _error(path, f"cannot be read: {error.strerror}") from None
    except ValueError as error:  # a null byte in the path
        raise _error(path, f"not a path: {error}") from None
    if stat.S_ISDIR(status.st_mode):
        raise _error(path, "is a folder; pass the path of one IDX file")
    if not stat.S_ISREG(status.st_mode):
        raise _error(path, "is not a regular file")
    return status.st_size


def _read_array(path: Path, stream: io.BufferedIOBase, *, least: int, most: int) -> NDArray[Any]:
    """Read header and elements of a file that has `least` to `most` bytes in all."""
    dtype, shape = _read_header(path, stream)
    header_bytes = 4 + 4 * len(shape)
    claimed = math.prod(shape) * dtype.itemsize
    dimensions = " x ".join(map(str, shape))
    claim = f"the header says {dimensions} {dtype.newbyteorder('=').name} = {claimed} bytes"
    # An empty dimension makes the product 0 whatever the others are; numpy multiplies them.
    if math.prod(filter(None, shape)) * dtype.itemsize > _MAX_BYTES:
        raise _error(path, f"{claim}: too large for this machine")
    if header_bytes + claimed < least:
        raise _error(path, f"{claim}, but {least - header_bytes} bytes follow it")
    if header_bytes + claimed > most:
        limit = "" if least == most else "at most "
        raise _error(path, f"{claim}, but {limit}{most - header_bytes} bytes follow it")
    elements = _read_bytes(stream, claimed + 1)
    if len(elements) != claimed:
        found = "more" if len(elements) > claimed else f"{len(elements)} bytes"
        raise _error(path, f"{claim}, but {found} follow it")
    array: NDArray[Any] = np.ndarray(shape, dtype, buffer=elements)
    if dtype.isnative:
        return array
    return array.byteswap(inplace=True).view(dtype.newbyteorder("="))


def _read_header(path: Path, stream: io.BufferedIOBase) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = _read_bytes(stream, 4)
    if not magic:
        raise _error(path, "is empty, expected an IDX file")
    if magic[:2] != bytes(min(2, len(magic))):
        raise _error(
            path,
            f"starts with bytes {magic.hex(' ')}; an IDX file starts with 00 00, "
            "its element type and its number of dimensions",
        )
    if len(magic) < 4:
        raise _error(path, f"ends after {len(magic)} of the 4 bytes that an IDX header starts with")
    code, rank = magic[2], magic[3]
    if code not in _ELEMENT_TYPES:
        known = ", ".join(f"{number:#04x} {dtype.name}" for number, dtype in _ELEMENT_TYPES.items())
        raise _error(path, f"has the unknown element type {code:#04x}; IDX has {known}")
    if not 1 <= rank <= _MAX_RANK:
        raise _error(path, f"has {rank} dimensions, expected 1 to {_MAX_RANK}")
    dimensions = _read_bytes(stream, 4 * rank)
    if len(dimensions) < 4 * rank:
        found, needed = 4 + len(dimensions), 4 + 4 * rank
        raise _error(path, f"ends after {found} of the {needed} bytes of its IDX header")
    shape = tuple(int.from_bytes(dimensions[i : i + 4], "big") for i in range(0, 4 * rank, 4))
    return _ELEMENT_TYPES[code], shape


def _read_bytes(stream: io.BufferedIOBase, count: int) -> bytearray:
    """Read `count` bytes, or all there are: memory grows with what arrives, not with `count`."""
    found = bytearray()
    while len(found) < count:
        chunk = stream.read(min(_CHUNK, count - len(found)))
        if not chunk:
            break
        found += chunk
    return found


def idx_dataset(directory: str | os.PathLike[str], *, name: str, normalise: bool = True) -> Dataset:
    """Read a data set from the four IDX files of a folder.

    They are named as MNIST's: ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
    ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each with or without ``.gz``; where
    both are there, the one without is read. The float32 images are made once and normalised in
    place; besides them, no more than the bytes of one image file are held.

    Parameters
    ----------
    directory : str or os.PathLike
        The folder.
    name : str
        What the data set is called.
    normalise : bool
        Whether to subtract the mean of the training set's pixels and divide by their standard
        deviation, in both parts. Otherwise the pixels are in [0, 1].

    Returns
    -------
    Dataset
        Images float32 of shape (n, 1, height, width), labels int64 of shape (n,). The classes are
        0 up to the largest label.

    Raises
    ------
    DatasetError
        Where a file is missing or damaged, is not of uint8, has the wrong number of dimensions or
        no elements, where images and labels differ in number or the two parts in image size, and
        where all training pixels are equal and so cannot be normalised.

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
    mean, std = _pixel_statistics(pixels)
    if normalise and std == 0:
        raise _error(
            train_file, f"every pixel is {pixels.flat[0]}, which normalise=True divides by 0"
        )
    shift, scale = (mean, std) if normalise else (0.0, 1.0)
    train_x = _scaled(pixels, shift, scale)
    del pixels

    test_file = _idx_file(folder, _TEST_IMAGES)
    pixels = _read_images(test_file, len(test_y))
    if pixels.shape[1:] != train_x.shape[2:]:
        height, width = train_x.shape[2:]
        raise _error(
            test_file,
            f"images of {pixels.shape[1]} x {pixels.shape[2]} pixels, "
            f"those to train on have {height} x {width}",
        )
    return Dataset(
        train_x=train_x,
        train_y=train_y,
        test_x=_scaled(pixels, shift, scale),
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
    raise _error(folder, f"{problem}; pass the folder that holds the four IDX files")


def _read_uint8(path: Path, rank: int, meaning: str) -> NDArray[np.uint8]:
    array = read_idx(path)
    if array.dtype != np.uint8 or array.ndim != rank:
        raise _error(
            path,
            f"{array.dtype} with {array.ndim} dimensions, "
            f"{meaning} are uint8 with {rank} dimension{'s' if rank > 1 else ''}",
        )
    if array.size == 0:
        raise _error(path, f"has no {meaning}: its dimensions are {array.shape}")
    return array


def _read_labels(path: Path) -> NDArray[np.int64]:
    return _read_uint8(path, 1, "labels").astype(np.int64)


def _read_images(path: Path, labels: int) -> NDArray[np.uint8]:
    images = _read_uint8(path, 3, "images")
    if len(images) != labels:
        raise _error(path, f"{len(images)} images, but there are {labels} labels")
    return images


def _pixel_statistics(images: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and standard deviation of the pixels in [0, 1], from exact integer sums."""
    flat = images.reshape(-1)
    counts = np.zeros(256, np.int64)
    for start in range(0, flat.size, _CHUNK):  # bincount makes int64 of what it is given
        counts += np.bincount(flat[start : start + _CHUNK], minlength=256)
    total = sum(value * count for value, count in enumerate(counts.tolist()))
    squares = sum(value**2 * count for value, count in enumerate(counts.tolist()))
    scale = 255 * flat.size
    return total / scale, math.sqrt(flat.size * squares - total**2) / scale


def _scaled(images: NDArray[np.uint8], shift: float, scale: float) -> NDArray[np.float32]:
    """(images / 255 - shift) / scale with a channel axis; one new array, changed in place."""
    scaled = images[:, np.newaxis].astype(np.float32)
    scaled /= 255
    scaled -= np.float32(shift)
    scaled /= np.float32(scale)
    return scaled


def fashion_mnist(directory: str | os.PathLike[str] | None = None) -> Dataset:
    """Read Fashion-MNIST: 70,000 grey images of clothing in 10 classes.

    Parameters
    ----------
    directory : str or os.PathLike, optional
        The folder with the four files, and the only place that is looked at then. Otherwise: the
        folder ``fashion-mnist`` in the folder that the environment variable ``SWIFTFORCE_DATA``
        names, that folder itself, and where Debian's package puts the files.

    Returns
    -------
    Dataset
        60,000 images to train on and 10,000 to test with, float32 of shape (n, 1, 28, 28),
        normalised by the mean and the standard deviation of the training set.

    Raises
    ------
    DatasetError
        Where the files are not found, with what to do about it; and as `idx_dataset`.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
    Learning Algorithms", 2017, arXiv:1708.07747.

    Examples
    --------
    >>> fashion_mnist()  # doctest: +SKIP
    Dataset('fashion-mnist', train=60000, test=10000, shape=(1, 28, 28), classes=10)
    """
    shared = _data_folder()
    places = [shared / "fashion-mnist", shared] if shared else []
    folder = _find(
        "fashion-mnist",
        [*places, _DEBIAN_FASHION_MNIST] if directory is None else [Path(directory)],
        advice="apt-get install dataset-fashion-mnist, or pass the folder that holds the files",
    )
    return idx_dataset(folder, name="fashion-mnist")


def mnist(directory: str | os.PathLike[str] | None = None) -> Dataset:
    """Read MNIST: 70,000 grey images of handwritten digits.

    Parameters
    ----------
    directory : str or os.PathLike, optional
        The folder with the four files. Otherwise: the folder ``mnist`` in the folder that the
        environment variable ``SWIFTFORCE_DATA`` names.

    Returns
    -------
    Dataset
        60,000 images to train on and 10,000 to test with, float32 of shape (n, 1, 28, 28),
        normalised by the mean and the standard deviation of the training set.

    Raises
    ------
    DatasetError
        Where the files are not found, with what to do about it; and as `idx_dataset`.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE, 1998.

    Examples
    --------
    >>> mnist("data/mnist")  # doctest: +SKIP
    Dataset('mnist', train=60000, test=10000, shape=(1, 28, 28), classes=10)
    """
    shared = _data_folder()
    places = [shared / "mnist"] if shared else []
    folder = _find(
        "mnist",
        places if directory is None else [Path(directory)],
        advice=f"pass the folder that holds the files, or put them in mnist in ${_DATA_VARIABLE}",
    )
    return idx_dataset(folder, name="mnist")


def _data_folder() -> Path | None:
    value = os.environ.get(_DATA_VARIABLE)
    return Path(value) if value else None


def _find(name: str, places: list[Path], *, advice: str) -> Path:
    """Return the first place that has any of the files: `idx_dataset` says which it lacks."""
    for place in places:
        if any(os.path.lexists(place / f"{file}{end}") for file in _FILES for end in ("", ".gz")):
            return place
    looked = ", ".join(repr(str(place)) for place in places)
    where = f" in {looked}" if looked else f" ({_DATA_VARIABLE} is not set)"
    raise DatasetError(f"{name} not found{where}: {advice}")
