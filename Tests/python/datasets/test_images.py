"""Normalisation by exact statistics of each channel, and subsets of data sets."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from idx_files import write_files
from swiftforce.datasets import images as module
from swiftforce.datasets.idx import idx_dataset
from swiftforce.datasets.images import (
    channel_statistics,
    normalise_pixels,
    pixel_counts,
    refuse_constant,
)
from swiftforce.errors import DatasetError

pixels = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, max_side=5))


def channel(images: np.ndarray, number: int) -> np.ndarray:
    return images[:, number].ravel()


@given(pixels)
def test_counts(images: np.ndarray) -> None:
    counts = pixel_counts(images)
    assert counts.shape == (images.shape[1], 256)
    assert counts.dtype == np.int64
    for number, found in enumerate(counts):
        assert found.tolist() == [np.sum(channel(images, number) == value) for value in range(256)]


@pytest.mark.parametrize("chunk", [1, 3, 4, 5, 12, 13])
def test_counts_do_not_depend_on_the_chunk(
    chunk: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """Chunks of less than an image, of one image, and of several with a remainder."""
    images = rng.integers(0, 256, (7, 3, 2, 2), dtype=np.uint8)
    whole = pixel_counts(images)
    monkeypatch.setattr(module, "_CHUNK", chunk)
    assert np.array_equal(pixel_counts(images), whole)


def test_counts_of_a_view(rng: np.random.Generator) -> None:
    """The pixels of records, with labels between them."""
    records = rng.integers(0, 256, (5, 2 + 12), dtype=np.uint8)
    view = records[:, 2:].reshape(5, 3, 2, 2)
    assert np.shares_memory(view, records)
    assert np.array_equal(pixel_counts(view), pixel_counts(view.copy()))


@given(pixels)
def test_statistics_against_fractions(images: np.ndarray) -> None:
    """The mean is correctly rounded; the deviation has an error of one or two roundings."""
    means, deviations = channel_statistics(pixel_counts(images))
    assert len(means) == len(deviations) == images.shape[1]
    for number, (mean, std) in enumerate(zip(means, deviations, strict=True)):
        values = [Fraction(value, 255) for value in channel(images, number).tolist()]
        true = sum(values) / len(values)
        variance = sum((value - true) ** 2 for value in values) / len(values)
        assert mean == float(true)
        assert math.isclose(std, math.sqrt(variance), rel_tol=1e-15)
        assert type(mean) is type(std) is float


def test_statistics_of_more_pixels_than_a_float_counts() -> None:
    """Sums beyond 2**63 and 2**53: half the pixels 0, half 255."""
    counts = np.zeros((1, 256), np.int64)
    counts[0, [0, 255]] = 2**61
    assert channel_statistics(counts) == ((0.5,), (0.5,))


@given(pixels)
def test_normalising_against_numpy(images: np.ndarray) -> None:
    mean, std = channel_statistics(pixel_counts(images))
    std = tuple(value or 1.0 for value in std)
    expected = np.stack(
        [(images[:, c] / 255 - mean[c]) / std[c] for c in range(images.shape[1])], axis=1
    )
    scaled = images.astype(np.float32)
    assert normalise_pixels(scaled, mean, std) is scaled
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-4)


def test_each_channel_has_mean_0_and_deviation_1(rng: np.random.Generator) -> None:
    images = np.stack([rng.integers(low, 256, (50, 8, 8)) for low in (0, 100, 200)], axis=1)
    images = images.astype(np.uint8)
    scaled = normalise_pixels(
        images.astype(np.float32), *channel_statistics(pixel_counts(images))
    ).astype(np.float64)
    assert np.abs(scaled.mean((0, 2, 3))).max() < 1e-6
    assert np.abs(scaled.std((0, 2, 3)) - 1).max() < 1e-6


@pytest.mark.parametrize("constant", [0, 1, 2])
def test_a_constant_channel_is_named(constant: int, rng: np.random.Generator) -> None:
    images = rng.integers(0, 256, (4, 3, 2, 2), dtype=np.uint8)
    refuse_constant(Path("here"), pixel_counts(images))
    images[:, constant] = 9
    with pytest.raises(DatasetError) as caught:
        refuse_constant(Path("here"), pixel_counts(images))
    assert str(caught.value) == (
        f"'here': every pixel of channel {constant} is 9: "
        "normalising would divide by a standard deviation of 0"
    )


def test_subset(tmp_path: Path) -> None:
    data = idx_dataset(write_files(tmp_path), name="tiny")
    small = data.subset(train=2)
    assert (len(small.train_x), len(small.train_y)) == (2, 2)
    assert (len(small.test_x), len(small.test_y)) == (1, 1)
    assert (small.classes, small.name) == (data.classes, data.name)
    assert (small.mean, small.std) == (data.mean, data.std)
    assert np.array_equal(small.train_x, data.train_x[:2])
    assert np.array_equal(small.train_y, data.train_y[:2])
    assert np.shares_memory(small.train_x, data.train_x)
    assert len(data.subset(train=np.int64(1), test=1).train_y) == 1  # type: ignore[arg-type]
    assert len(data.subset().train_y) == 3


@pytest.mark.parametrize(
    ("sizes", "problem"),
    [
        ({"train": 4}, "subset(train=4): 'tiny' has 3 train samples, ask for 1 to 3"),
        ({"test": 2}, "subset(test=2): 'tiny' has 1 test samples, ask for 1 to 1"),
        ({"train": 0}, "subset(train=0)"),
        ({"test": -1}, "subset(test=-1)"),
    ],
)
def test_subset_out_of_range(tmp_path: Path, sizes: dict[str, int], problem: str) -> None:
    data = idx_dataset(write_files(tmp_path), name="tiny")
    with pytest.raises(DatasetError) as caught:
        data.subset(**sizes)
    assert problem in str(caught.value)


def test_subset_of_a_fraction(tmp_path: Path) -> None:
    data = idx_dataset(write_files(tmp_path), name="tiny")
    with pytest.raises(TypeError):
        data.subset(train=0.5)  # type: ignore[arg-type]


def test_a_dataset_is_frozen(tmp_path: Path) -> None:
    data = idx_dataset(write_files(tmp_path), name="tiny")
    with pytest.raises(AttributeError):
        data.classes = 3  # type: ignore[misc]
    assert repr(data) == "Dataset('tiny', train=3, test=1, shape=(1, 2, 2), classes=4)"
    assert data != data.subset()  # compared by identity: == of arrays is an array
    assert isinstance(hash(data), int)
