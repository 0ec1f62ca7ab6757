"""The data sets: where each is looked for, and which format it has."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from swiftforce.datasets.cifar import CIFAR10, CIFAR100, Layout, read_cifar
from swiftforce.datasets.idx import IDX_FILES, idx_dataset
from swiftforce.datasets.images import Dataset
from swiftforce.errors import DatasetError

_DATA_VARIABLE = "SWIFTFORCE_DATA"
_DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def fashion_mnist(directory: str | os.PathLike[str] | None = None) -> Dataset:
    """Read Fashion-MNIST: 70,000 grey images of clothing in 10 classes.

    Parameters
    ----------
    directory : str or os.PathLike, optional
        The folder with the four files. By default these are tried: the folder ``fashion-mnist`` in
        the folder that the environment variable ``SWIFTFORCE_DATA`` names, that folder itself, and
        the folder of Debian's package ``dataset-fashion-mnist``.

    Returns
    -------
    Dataset
        60,000 training images and 10,000 test images, float32 of shape (n, 1, 28, 28), normalised
        by the mean and standard deviation of the training set.

    Raises
    ------
    DatasetError
        If the files are not found (the message says what to do), or as `idx_dataset`.

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
    paths = [shared / "fashion-mnist", shared] if shared else []
    folder = _find(
        "fashion-mnist",
        [*paths, _DEBIAN_FASHION_MNIST] if directory is None else [Path(directory)],
        _has_idx_files,
        advice="apt-get install dataset-fashion-mnist, pass the folder that holds the four files, "
        "or name it in SWIFTFORCE_DATA",
    )
    return idx_dataset(folder, name="fashion-mnist")


def mnist(directory: str | os.PathLike[str] | None = None) -> Dataset:
    """Read MNIST: 70,000 grey images of handwritten digits.

    Parameters
    ----------
    directory : str or os.PathLike, optional
        The folder with the four files. By default the folder ``mnist`` in the folder that the
        environment variable ``SWIFTFORCE_DATA`` names.

    Returns
    -------
    Dataset
        60,000 training images and 10,000 test images, float32 of shape (n, 1, 28, 28), normalised
        by the mean and standard deviation of the training set.

    Raises
    ------
    DatasetError
        If the files are not found (the message says what to do), or as `idx_dataset`.

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
    paths = [shared / "mnist"] if shared else []
    folder = _find(
        "mnist",
        paths if directory is None else [Path(directory)],
        _has_idx_files,
        advice=f"pass the folder that holds the files, or put them in mnist in ${_DATA_VARIABLE}",
    )
    return idx_dataset(folder, name="mnist")


def cifar10(directory: str | os.PathLike[str] | None = None) -> Dataset:
    """Read CIFAR-10: 60,000 colour images of animals and vehicles in 10 classes.

    The files of the *binary version* are read: ``data_batch_1.bin`` to ``data_batch_5.bin`` and
    ``test_batch.bin``, either unpacked or in the archive, which is not unpacked on disk. The length
    of a file determines its number of samples.

    Parameters
    ----------
    directory : str or os.PathLike, optional
        The folder with the files, or the archive ``cifar-10-binary.tar.gz``. By default these are
        tried in the folder that the environment variable ``SWIFTFORCE_DATA`` names: the folder
        ``cifar-10-batches-bin``, and the archive.

    Returns
    -------
    Dataset
        50,000 training images and 10,000 test images, float32 of shape (n, 3, 32, 32). The channels
        red, green and blue are each normalised by mean and standard deviation of the training set.
        Reading takes a few MiB of memory besides the images.

    Raises
    ------
    DatasetError
        If the files are not found (the message says what to do); if one is missing, damaged, empty
        or not a whole number of records; if a label is out of range; or if all training pixels of
        a channel are equal, so that they cannot be normalised.

    References
    ----------
    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    Examples
    --------
    >>> cifar10("data/cifar-10-binary.tar.gz")  # doctest: +SKIP
    Dataset('cifar-10', train=50000, test=10000, shape=(3, 32, 32), classes=10)

    A tiny data set: each record is a label and the red, green and blue planes.

    >>> import tempfile, pathlib
    >>> record = bytes([7]) + bytes(range(256)) * 12
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part in *(f"data_batch_{number}" for number in range(1, 6)), "test_batch":
    ...         _ = pathlib.Path(folder, f"{part}.bin").write_bytes(record)
    ...     data = cifar10(folder)
    >>> data
    Dataset('cifar-10', train=5, test=1, shape=(3, 32, 32), classes=10)
    >>> data.train_y, data.mean
    (array([7, 7, 7, 7, 7]), (0.5, 0.5, 0.5))
    """
    return _cifar(CIFAR10, directory)


def cifar100(directory: str | os.PathLike[str] | None = None) -> Dataset:
    """Read CIFAR-100: 60,000 colour images in 100 classes.

    The files of the *binary version* are read: ``train.bin`` and ``test.bin``, either unpacked or
    in the archive, which is not unpacked on disk. Each image has two labels there. The fine label,
    in 0 ... 99, is the class; the coarse label is only checked.

    Parameters
    ----------
    directory : str or os.PathLike, optional
        The folder with the files, or the archive ``cifar-100-binary.tar.gz``. By default these are
        tried in the folder that the environment variable ``SWIFTFORCE_DATA`` names: the folder
        ``cifar-100-binary``, and the archive.

    Returns
    -------
    Dataset
        As `cifar10` returns it, with 100 classes.

    Raises
    ------
    DatasetError
        As `cifar10`.

    References
    ----------
    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> record = bytes([19, 99]) + bytes(range(256)) * 12
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part in "train", "test":
    ...         _ = pathlib.Path(folder, f"{part}.bin").write_bytes(2 * record)
    ...     data = cifar100(folder)
    >>> data
    Dataset('cifar-100', train=2, test=2, shape=(3, 32, 32), classes=100)
    >>> data.train_y
    array([99, 99])
    """
    return _cifar(CIFAR100, directory)


def _cifar(layout: Layout, directory: str | os.PathLike[str] | None) -> Dataset:
    shared = _data_folder()
    paths = [shared / layout.folder, shared / layout.archive] if shared else []
    path = _find(
        layout.name,
        paths if directory is None else [Path(directory)],
        layout.is_at,
        advice=f"pass the folder of the binary version or {layout.archive}, "
        f"or put {layout.folder} or the archive in ${_DATA_VARIABLE}",
    )
    return read_cifar(path, layout)


def _data_folder() -> Path | None:
    value = os.environ.get(_DATA_VARIABLE)
    return Path(value) if value else None


def _has_idx_files(path: Path) -> bool:
    """Whether any of the files exists; `idx_dataset` names those that are missing."""
    return any(os.path.lexists(path / f"{file}{end}") for file in IDX_FILES for end in ("", ".gz"))


def _find(name: str, paths: list[Path], is_at: Callable[[Path], bool], *, advice: str) -> Path:
    """Return the first path that has the data set, or a part of it."""
    for path in paths:
        if is_at(path):
            return path
    tried = ", ".join(repr(str(path)) for path in paths)
    where = f" in {tried}" if tried else f" ({_DATA_VARIABLE} is not set)"
    raise DatasetError(f"{name} not found{where}: {advice}")
