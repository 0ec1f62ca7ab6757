"""Data sets of four IDX files: pixels, labels, and files that do not fit together."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from idx_files import (
    ARRAYS,
    TEST_X,
    TEST_Y,
    TRAIN_X,
    TRAIN_Y,
    either_way,
    packed,
    peak_memory,
    plain,
    write_files,
)
from swiftforce.datasets.idx import idx_dataset
from swiftforce.errors import DatasetError


@either_way
def test_idx_dataset(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    data = idx_dataset(write_files(tmp_path, pack), name="tiny")
    pixels = TRAIN_X.astype(np.float64) / 255
    assert data.name == "tiny"
    assert data.classes == 4
    (mean,), (std,) = data.mean, data.std
    assert math.isclose(mean, pixels.mean(), rel_tol=1e-14)
    assert math.isclose(std, pixels.std(), rel_tol=1e-14)
    for found, raw in (data.train_x, TRAIN_X), (data.test_x, TEST_X):
        expected = (raw[:, None] / 255 - mean) / std
        assert found.dtype == np.float32
        assert found.shape == (len(raw), 1, 2, 2)
        assert found.flags.c_contiguous
        assert found.flags.writeable
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    for found, raw in (data.train_y, TRAIN_Y), (data.test_y, TEST_Y):
        assert found.dtype == np.int64
        assert found.tolist() == raw.tolist()


def test_not_normalised(tmp_path: Path) -> None:
    data = idx_dataset(write_files(tmp_path), name="tiny", normalise=False)
    assert np.array_equal(data.train_x[:, 0], TRAIN_X.astype(np.float32) / np.float32(255))
    assert np.array_equal(data.test_x[:, 0], TEST_X.astype(np.float32) / np.float32(255))
    assert math.isclose(*data.mean, (TRAIN_X / 255).mean())
    assert math.isclose(*data.std, (TRAIN_X / 255).std())


def test_the_unpacked_file_is_read_where_both_are_there(tmp_path: Path) -> None:
    write_files(tmp_path, packed)
    write_files(tmp_path, plain, train_labels=np.array([1, 1, 1], np.uint8))
    assert idx_dataset(tmp_path, name="tiny").train_y.tolist() == [1, 1, 1]


@pytest.mark.parametrize("missing", ARRAYS)
def test_a_file_is_missing(tmp_path: Path, missing: str) -> None:
    (write_files(tmp_path) / missing).unlink()
    with pytest.raises(DatasetError, match=f"no {missing} or {missing}.gz in it; pass the folder"):
        idx_dataset(tmp_path, name="tiny")


def test_the_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder; pass the folder"):
        idx_dataset(tmp_path / "missing", name="tiny")


@pytest.mark.parametrize("damaged", ARRAYS)
def test_a_file_is_damaged(tmp_path: Path, damaged: str) -> None:
    path = write_files(tmp_path) / damaged
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=rf"{damaged}.* bytes follow it"):
        idx_dataset(tmp_path, name="tiny")


@pytest.mark.parametrize(
    ("part", "array", "problem"),
    [
        ("train_images", TRAIN_X[:2], "2 images, but there are 3 labels"),
        ("t10k_images", TRAIN_X, "3 images, but there are 1 labels"),
        ("t10k_labels", TRAIN_Y, "1 images, but there are 3 labels"),
        (
            "train_images",
            TRAIN_X.astype("i4"),
            "int32 with 3 dimensions, but images are uint8",
        ),
        ("train_images", TRAIN_X[0], "uint8 with 2 dimensions, but images are uint8 with 3"),
        (
            "train_labels",
            TRAIN_Y.astype("f4"),
            "float32 with 1 dimensions, but labels are uint8",
        ),
        (
            "t10k_labels",
            TEST_Y[:, None],
            "uint8 with 2 dimensions, but labels are uint8",
        ),
        ("t10k_labels", TEST_Y[:0], "has no labels: its dimensions are (0,)"),
        ("train_images", TRAIN_X[:, :0], "has no images: its dimensions are (3, 0, 2)"),
        ("t10k_images", TEST_X[:, :, :1], "images of 2 x 1 pixels, the training images have 2 x 2"),
        (
            "train_images",
            TRAIN_X * 0 + 7,
            "every pixel of channel 0 is 7: normalising would divide by",
        ),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, part: str, array: np.ndarray, problem: str) -> None:
    write_files(tmp_path, **{part: array})
    with pytest.raises(DatasetError) as caught:
        idx_dataset(tmp_path, name="tiny")
    assert f"/{part.partition('_')[0]}-" in str(caught.value)
    assert problem in str(caught.value)


def test_equal_pixels_are_fine_when_not_normalised(tmp_path: Path) -> None:
    write_files(tmp_path, train_images=TRAIN_X * 0 + 255)
    data = idx_dataset(tmp_path, name="tiny", normalise=False)
    assert (data.mean, data.std) == ((1.0,), (0.0,))
    assert (data.train_x == 1).all()


def test_memory(tmp_path: Path) -> None:
    """Reading takes the float32 images and the bytes of one file."""
    images = np.random.default_rng(0).integers(0, 256, (20_000, 28, 28), dtype=np.uint8)
    labels = np.zeros(20_000, np.uint8)
    parts = {"train_images": images, "t10k_images": images}
    write_files(tmp_path, **parts, train_labels=labels, t10k_labels=labels)
    del parts
    peak = peak_memory(lambda: idx_dataset(tmp_path, name="tiny"))
    # A growing bytearray allocates up to an eighth more than its length.
    assert peak < (4 + 4 + 1.125) * images.nbytes + (4 << 20)
