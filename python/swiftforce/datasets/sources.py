"""Where each data set is looked for, and what it is made of.

Each format is read by a module of its own.
"""

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
        _has_idx_files,
        advice=f"pass the folder that holds the files, or put them in mnist in ${_DATA_VARIABLE}",
    )
    return idx_dataset(folder, name="mnist")


def cifar10(directory: str | os.PathLike[str] | None = None) -> Dataset:
    """Read CIFAR-10: 60,000 colour images of animals and vehicles in 10 classes.

    What is read is the *binary version*: ``data_batch_1.bin`` to ``data_batch_5.bin`` and
    ``test_batch.bin``, as unpacked, or inside the archive, which then stays packed. How many
    samples a file holds is what its length says.

    Parameters
    ----------
    directory : str or os.PathLike, optional
        The folder with the files, or the archive ``cifar-10-binary.tar.gz``, and the only place
        that is looked at then. Otherwise: the folder ``cifar-10-batches-bin`` and that archive, in
        the folder that the environment variable ``SWIFTFORCE_DATA`` names.

    Returns
    -------
    Dataset
        50,000 images to train on and 10,000 to test with, float32 of shape (n, 3, 32, 32), the
        channels red, green and blue, each normalised by its own mean and standard deviation over
        the training set. Besides the images, a few MiB are held while they are read.

    Raises
    ------
    DatasetError
        Where the files are not found, with what to do about it; where one is missing, damaged,
        empty or not a whole number of records; where a label is out of range; and where all
        training pixels of a channel are equal and so cannot be normalised.

    References
    ----------
    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    Examples
    --------
    >>> cifar10("data/cifar-10-binary.tar.gz")  # doctest: +SKIP
    Dataset('cifar-10', train=50000, test=10000, shape=(3, 32, 32), classes=10)

    A tiny one: a label, and the red, the green and the blue plane.

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

    As `cifar10`, from ``train.bin`` and ``test.bin``. Each image has two labels there; the fine
    one, in 0 ... 99, is its class, the coarse one is checked and left.

    Parameters
    ----------
    directory : str or os.PathLike, optional
        The folder with the files, or the archive ``cifar-100-binary.tar.gz``, and the only place
        that is looked at then. Otherwise: the folder ``cifar-100-binary`` and that archive, in the
        folder that the environment variable ``SWIFTFORCE_DATA`` names.

    Returns
    -------
    Dataset
        As of `cifar10`, with 100 classes.

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
    places = [shared / layout.folder, shared / layout.archive] if shared else []
    place = _find(
        layout.name,
        places if directory is None else [Path(directory)],
        layout.is_at,
        advice=f"pass the folder of the binary version or {layout.archive}, "
        f"or put {layout.folder} or the archive in ${_DATA_VARIABLE}",
    )
    return read_cifar(place, layout)


def _data_folder() -> Path | None:
    value = os.environ.get(_DATA_VARIABLE)
    return Path(value) if value else None


def _has_idx_files(place: Path) -> bool:
    """Whether any is there: `idx_dataset` says which it lacks."""
    return any(os.path.lexists(place / f"{file}{end}") for file in IDX_FILES for end in ("", ".gz"))


def _find(name: str, places: list[Path], is_at: Callable[[Path], bool], *, advice: str) -> Path:
    """Return the first place where the data set is, be it in part."""
    for place in places:
        if is_at(place):
            return place
    looked = ", ".join(repr(str(place)) for place in places)
    where = f" in {looked}" if looked else f" ({_DATA_VARIABLE} is not set)"
    raise DatasetError(f"{name} not found{where}: {advice}")
