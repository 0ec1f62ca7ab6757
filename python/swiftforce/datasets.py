"""Data sets as numpy arrays, ready to prune and train on.

Reading, checking and normalising live here; nothing is downloaded, and nothing but numpy and the
standard library is needed. Every reader returns a :class:`Dataset`. What is wrong with a file, or
that it is not there, is one :class:`~swiftforce.errors.DatasetError` that names it.
"""

from __future__ import annotations

import math
import operator
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swiftforce.errors import DatasetError
from swiftforce.idx import file_error, read_idx

__all__ = ["Dataset", "fashion_mnist", "idx_dataset", "mnist", "read_idx"]

_TRAIN_IMAGES = "train-images-idx3-ubyte"
_TRAIN_LABELS = "train-labels-idx1-ubyte"
_TEST_IMAGES = "t10k-images-idx3-ubyte"
_TEST_LABELS = "t10k-labels-idx1-ubyte"
_FILES = (_TRAIN_IMAGES, _TRAIN_LABELS, _TEST_IMAGES, _TEST_LABELS)

_CHUNK = 1 << 20  # pixels counted at a time
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
        raise file_error(
            train_file, f"every pixel is {pixels.flat[0]}, which normalise=True divides by 0"
        )
    shift, scale = (mean, std) if normalise else (0.0, 1.0)
    train_x = _scaled(pixels, shift, scale)
    del pixels

    test_file = _idx_file(folder, _TEST_IMAGES)
    pixels = _read_images(test_file, len(test_y))
    if pixels.shape[1:] != train_x.shape[2:]:
        height, width = train_x.shape[2:]
        raise file_error(
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
    raise file_error(folder, f"{problem}; pass the folder that holds the four IDX files")


def _read_uint8(path: Path, rank: int, meaning: str) -> NDArray[np.uint8]:
    array = read_idx(path)
    if array.dtype != np.uint8 or array.ndim != rank:
        raise file_error(
            path,
            f"{array.dtype} with {array.ndim} dimensions, "
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
        advice="apt-get install dataset-fashion-mnist, pass the folder that holds the four files, "
        "or name it in SWIFTFORCE_DATA",
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
