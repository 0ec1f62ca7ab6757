"""Labelled images, and the normalisation of their pixels, channel by channel."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swiftforce.datasets.data_files import file_error
from swiftforce.errors import DatasetError

_CHUNK = 1 << 20  # pixels counted at a time: bincount converts its argument to int64


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Labelled images, split into a training set and a test set.

    Attributes
    ----------
    train_x, test_x : numpy.ndarray
        Images, float32, shape (n, channels, height, width); (n, 1, 28, 28) for MNIST and
        Fashion-MNIST, (n, 3, 32, 32) for CIFAR-10 and CIFAR-100. C-contiguous.
    train_y, test_y : numpy.ndarray
        The class of each image, int64, shape (n,), each in 0 ... `classes` - 1.
    classes : int
        Number of classes.
    name : str
        Name of the data set.
    mean, std : tuple of float
        For each channel, mean and standard deviation of the pixels of the full training set, scaled
        to [0, 1]. A normalised pixel p of channel c was ``p * std[c] + mean[c]`` before. Grey
        images have one channel.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.zeros((4, 1, 2, 2), np.float32), np.array([0, 1, 0, 1])
    >>> Dataset(x, y, x[:2], y[:2], classes=2, name="tiny", mean=(0.5,), std=(1.0,))
    Dataset('tiny', train=4, test=2, shape=(1, 2, 2), classes=2)
    """

    train_x: NDArray[np.float32]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int64]
    classes: int
    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def subset(self, train: int | None = None, test: int | None = None) -> Dataset:
        """Return the first samples, as views: nothing is copied.

        Parameters
        ----------
        train, test : int, optional
            How many samples to keep of each part, at least 1. By default all.

        Returns
        -------
        Dataset
            With the same `classes`, `name`, `mean` and `std`: samples are not normalised again.

        Raises
        ------
        DatasetError
            If a part has fewer samples, or the number is less than 1.
        TypeError
            If a number of samples is not an integer.

        Examples
        --------
        >>> import numpy as np
        >>> x, y = np.zeros((4, 1, 2, 2), np.float32), np.array([0, 1, 0, 1])
        >>> data = Dataset(x, y, x[:2], y[:2], classes=2, name="tiny", mean=(0.5,), std=(1.0,))
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

    def _first(self, part: str, requested: int | None, available: int) -> int:
        if requested is None:
            return available
        count = operator.index(requested)
        if not 1 <= count <= available:
            raise DatasetError(
                f"subset({part}={count}): {self.name!r} has {available} {part} samples, "
                f"ask for 1 to {available}"
            )
        return count

    def __repr__(self) -> str:
        """One line, without the arrays."""
        return (
            f"Dataset({self.name!r}, train={len(self.train_y)}, test={len(self.test_y)}, "
            f"shape={self.train_x.shape[1:]}, classes={self.classes})"
        )


def pixel_counts(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count how often each value occurs in each channel.

    Parameters
    ----------
    images : numpy.ndarray
        uint8, shape (n, channels, height, width).

    Returns
    -------
    numpy.ndarray
        int64, shape (channels, 256). The counts of two parts of a data set add up to its counts.

    Examples
    --------
    >>> import numpy as np
    >>> pixel_counts(np.full((4, 3, 2, 2), 255, np.uint8))[:, 255]
    array([16, 16, 16])
    """
    n, channels, height, width = images.shape
    planes = images.reshape(n, channels, height * width)
    counts = np.zeros((channels, 256), np.int64)
    rows = max(1, _CHUNK // max(1, height * width))
    for start in range(0, n, rows):
        for left in range(0, height * width, _CHUNK):  # once, unless images are huge
            chunk = planes[start : start + rows, :, left : left + _CHUNK]
            for channel in range(channels):
                counts[channel] += np.bincount(chunk[:, channel].reshape(-1), minlength=256)
    return counts


def channel_statistics(
    counts: NDArray[np.int64],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel's pixels in [0, 1], from exact integer sums.

    Parameters
    ----------
    counts : numpy.ndarray
        From `pixel_counts`, of at least one pixel.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.array([0, 255, 255, 255], np.uint8).reshape(2, 2, 1, 1)
    >>> channel_statistics(pixel_counts(images))
    ((0.5, 1.0), (0.5, 0.0))
    """
    mean, std = [], []
    for channel in counts.tolist():
        pixels = sum(channel)
        total = sum(value * count for value, count in enumerate(channel))
        squares = sum(value**2 * count for value, count in enumerate(channel))
        mean.append(total / (255 * pixels))
        std.append(math.sqrt(pixels * squares - total**2) / (255 * pixels))
    return tuple(mean), tuple(std)


def refuse_constant(path: Path, counts: NDArray[np.int64]) -> None:
    """Raise DatasetError, naming the file, if a channel cannot be normalised."""
    for channel, values in enumerate(counts):
        if np.count_nonzero(values) == 1:
            raise file_error(
                path,
                f"every pixel of channel {channel} is {values.argmax()}: "
                "normalising would divide by a standard deviation of 0",
            )


def normalise_pixels(
    images: NDArray[np.float32], mean: tuple[float, ...], std: tuple[float, ...]
) -> NDArray[np.float32]:
    """Compute (images / 255 - mean) / std for each channel, in place.

    Parameters
    ----------
    images : numpy.ndarray
        float32 in 0 ... 255, shape (n, channels, height, width).
    mean, std : tuple of float
        One for each channel.

    Returns
    -------
    numpy.ndarray
        `images` itself.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.array([0, 255, 51, 255], np.float32).reshape(1, 2, 1, 2)
    >>> normalise_pixels(images, mean=(0.5, 0.0), std=(0.5, 1.0)).ravel()
    array([-1. ,  1. ,  0.2,  1. ], dtype=float32)
    """
    images /= 255
    images -= np.array(mean, np.float32)[:, np.newaxis, np.newaxis]
    images /= np.array(std, np.float32)[:, np.newaxis, np.newaxis]
    return images
