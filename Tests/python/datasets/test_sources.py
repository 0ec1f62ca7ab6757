"""Where data sets are looked for, and the messages if they are not found."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
from cifar_files import (
    READERS,
    check,
    either_set,
    failure,
    few_records,
    some_records,
    write_archive,
    write_folder,
)
from idx_files import packed, write_files
from swiftforce import datasets
from swiftforce.datasets import cifar100, fashion_mnist, mnist, sources
from swiftforce.datasets.cifar import CIFAR100
from swiftforce.datasets.idx import read_idx
from swiftforce.datasets.images import Dataset
from swiftforce.errors import DatasetError, SwiftForceError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


needs_fashion_mnist = pytest.mark.skipif(
    not DEBIAN.is_dir(), reason="needs the files of Debian's dataset-fashion-mnist"
)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any data set."""
    monkeypatch.delenv("SWIFTFORCE_DATA", raising=False)
    monkeypatch.setattr(sources, "_DEBIAN_FASHION_MNIST", tmp_path / "debian")
    return tmp_path


def labelled(folder: Path, label: int) -> Path:
    """A data set with this first label."""
    return write_files(folder, packed, train_labels=np.array([label, 0, 0], np.uint8))


def test_fashion_mnist_looks_in_order(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(nowhere / "debian", 1)
    assert fashion_mnist().train_y[0] == 1
    monkeypatch.setenv("SWIFTFORCE_DATA", "")  # does not mean the working folder
    monkeypatch.chdir(labelled(nowhere / "here", 5))
    assert fashion_mnist().train_y[0] == 1
    monkeypatch.setenv("SWIFTFORCE_DATA", str(nowhere / "data"))
    assert fashion_mnist().train_y[0] == 1
    labelled(nowhere / "data", 2)
    assert fashion_mnist().train_y[0] == 2
    labelled(nowhere / "data" / "fashion-mnist", 3)
    assert fashion_mnist().train_y[0] == 3
    labelled(nowhere / "mine", 4)
    assert fashion_mnist(nowhere / "mine").train_y[0] == 4
    assert fashion_mnist(str(nowhere / "mine")).name == "fashion-mnist"


def test_mnist_looks_in_order(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(nowhere / "debian", 1)
    monkeypatch.setenv("SWIFTFORCE_DATA", str(labelled(nowhere / "data", 2)))
    with pytest.raises(DatasetError, match=r"^mnist not found in '.*mnist'"):
        mnist()
    labelled(nowhere / "data" / "mnist", 3)
    assert mnist().train_y[0] == 3
    labelled(nowhere / "mine", 4)
    assert mnist(nowhere / "mine").train_y[0] == 4
    assert mnist().name == "mnist"


def test_no_data_set_says_what_to_do(nowhere: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        fashion_mnist()
    assert str(caught.value) == (
        f"fashion-mnist not found in '{nowhere}/debian': apt-get install dataset-fashion-mnist, "
        "pass the folder that holds the four files, or name it in SWIFTFORCE_DATA"
    )
    with pytest.raises(DatasetError) as caught:
        mnist()
    assert str(caught.value) == (
        "mnist not found (SWIFTFORCE_DATA is not set): pass the folder that holds the files, "
        "or put them in mnist in $SWIFTFORCE_DATA"
    )


def test_a_folder_that_is_passed_is_the_only_one(nowhere: Path) -> None:
    """Reading another data set than the one passed would be worse than an error."""
    labelled(nowhere / "debian", 1)
    with pytest.raises(
        DatasetError, match=r"fashion-mnist not found in '.*/mine': apt-get install"
    ):
        fashion_mnist(nowhere / "mine")


def test_half_a_data_set_is_not_passed_over(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(nowhere / "debian", 1)
    monkeypatch.setenv("SWIFTFORCE_DATA", str(labelled(nowhere / "data", 2)))
    (nowhere / "data" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DatasetError, match="no t10k-labels-idx1-ubyte or "):
        fashion_mnist()


@pytest.mark.slow
@needs_fashion_mnist
def test_the_real_fashion_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWIFTFORCE_DATA", raising=False)
    data = fashion_mnist()
    assert isinstance(data, Dataset)
    assert data.train_x.shape == (60_000, 1, 28, 28)
    assert data.test_x.shape == (10_000, 1, 28, 28)
    assert data.train_x.dtype == data.test_x.dtype == np.float32
    assert data.classes == 10
    assert np.bincount(data.train_y).tolist() == [6000] * 10
    assert np.bincount(data.test_y).tolist() == [1000] * 10
    (mean,), (std,) = data.mean, data.std
    assert round(mean, 3) == 0.286
    assert round(std, 3) == 0.353
    assert abs(data.train_x.mean(dtype=np.float64)) < 1e-6
    assert abs(data.train_x.std(dtype=np.float64) - 1) < 1e-6
    pixels = np.rint((data.train_x * std + mean) * 255)
    assert np.array_equal(pixels[:, 0], read_idx(DEBIAN / "train-images-idx3-ubyte.gz"))


def test_errors_are_value_errors() -> None:
    assert issubclass(DatasetError, ValueError)
    assert issubclass(DatasetError, SwiftForceError)


def test_examples_in_the_docstrings() -> None:
    results = doctest.testmod(sources)
    assert results.attempted > 0
    assert results.failed == 0


@either_set
def test_cifar_looks_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
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


def test_half_of_cifar_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = few_records(CIFAR100)
    write_archive(tmp_path / CIFAR100.archive, records)
    del records["test.bin"]
    write_folder(tmp_path / CIFAR100.folder, records)
    monkeypatch.setenv("SWIFTFORCE_DATA", str(tmp_path))
    with pytest.raises(DatasetError, match=r"cifar-100-binary': no test\.bin in it"):
        cifar100()


def test_dir_shows_public_names_alone() -> None:
    assert dir(datasets) == sorted(datasets.__all__)
