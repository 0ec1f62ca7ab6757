"""The networks that runs name, and the frames that make small images fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from swiftforce import nn
from swiftforce.architectures import NETWORKS, framed
from swiftforce.datasets import Dataset, idx_dataset

CONVOLUTIONAL = [name for name in NETWORKS if not name.startswith("lenet")]


def test_lenet_takes_images_of_any_shape() -> None:
    net = NETWORKS["lenet_300_100"].build((2, 3, 4), 5, 6)
    same = nn.lenet_300_100(24, 5, seed=6)
    assert {name: weight.tobytes() for name, weight in net.weights.items()} == {
        name: weight.tobytes() for name, weight in same.weights.items()
    }


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_networks_are_built_of_all_that_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def family(depth: int, input_shape: tuple[int, ...], classes: int, *, seed: int) -> str:
        calls.append((depth, input_shape, classes, seed))
        return "a network"

    monkeypatch.setattr(nn, name.rstrip("0123456789"), family, raising=False)
    assert NETWORKS[name].build((1, 32, 32), 10, 3) == "a network"
    assert calls == [(int(name.lstrip("abcdefghijklmnopqrstuvwxyz")), (1, 32, 32), 10, 3)]
    assert NETWORKS[name].label.lower() == name


@pytest.mark.skipif(not hasattr(nn, "vgg"), reason="the engine has no convolutions yet")
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_networks_take_framed_fashion_mnist(name: str) -> None:
    kind = NETWORKS[name]
    side = max(28, kind.side)
    x = np.zeros((1, 1, side, side), np.float32)
    assert kind.build(x.shape[1:], 10, 0).predict(x).shape == (1, 10)


def test_frames_are_black_and_around_the_image(idx_folder: Path) -> None:
    data = idx_dataset(idx_folder, name="tiny")
    larger = framed(data, 7)
    assert larger.train_x.shape == (160, 1, 7, 7)
    assert larger.test_x.shape == (60, 1, 7, 7)
    np.testing.assert_array_equal(larger.train_x[..., 1:5, 1:5], data.train_x)
    pixels = larger.test_x * data.std + data.mean
    pixels[..., 1:5, 1:5] = 0
    assert np.abs(pixels).max() < 1e-6
    assert larger.train_x.dtype == np.float32
    assert larger.train_x.flags.c_contiguous
    assert larger.mean == data.mean


def test_each_channel_has_its_own_black() -> None:
    x = np.ones((2, 3, 4, 5), np.float32)
    y = np.zeros(2, np.int64)
    mean, std = (0.5, 0.25, 0.0), (0.5, 0.125, 1.0)
    larger = framed(Dataset(x, y, x, y, 1, "coloured", mean=mean, std=std), 6)
    assert larger.train_x.shape == (2, 3, 6, 6)
    for channel, black in enumerate((-1, -2, 0)):
        expected = np.full((6, 6), black)
        expected[1:5, :5] = 1
        np.testing.assert_array_equal(larger.train_x[1, channel], expected)


def test_images_that_are_large_enough_stay(idx_folder: Path) -> None:
    data = idx_dataset(idx_folder, name="tiny")
    assert framed(data, 4) is data
