"""Each layer against torch in binary64: logits, losses and gradients are the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from swiftforce import nn

torch = pytest.importorskip("torch")

import torch_twin  # noqa: E402
from torch_comparison import (  # noqa: E402
    CLOSE,
    assert_close,
    block,
    check_clear,
    clear_batch,
    network,
    truth,
)

#: Faster tests of layers are in test_layers.py and test_images.py.
pytestmark = pytest.mark.slow

IMAGES = ((7, 5), (8, 8), (5, 9), (12, 12), (6, 7))
CHANNELS = (1, 3, 8, 9, 17)
BATCHES = (1, 2, 5, 16, 33)


def convolutions() -> Iterator[Any]:
    """Every kernel, stride, padding and grouping, with varying sizes of images and batches."""
    grid = itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 2), ("one group", "depthwise"))
    for i, (kernel, stride, padding, groups) in enumerate(grid):
        if padding >= kernel:
            continue  # windows of padding alone, which the engine refuses
        channels = CHANNELS[i % 5]
        out = channels if groups == "depthwise" else CHANNELS[(i // 5 + 2 * i) % 5]
        shape = (channels, *IMAGES[(i // 3) % 5])
        options = {"stride": stride, "padding": padding, "bias": i % 4 < 2}
        if groups == "depthwise":
            options["groups"] = channels
        layer = nn.Conv2d(channels, out, kernel, **options)
        yield pytest.param(layer, shape, BATCHES[(i // 2) % 5], i, id=f"{layer}-{shape}")


def around(layer: Any, shape: Sequence[int], n: int, i: int) -> list[Any]:
    """A convolution, first or in the middle, with or without batch norm, ReLU and pools."""
    with torch.no_grad():
        _, out, height, width = torch_twin.module_of(layer)(torch.zeros(1, *shape)).shape
    layers = [layer]
    if i % 2:
        layers = [nn.Conv2d(shape[0], shape[0], 1), nn.ReLU(), layer]
    # Over few numbers normalisation is ill-conditioned, and it cancels a single factor.
    factors = layer.kernel_size**2 * layer.in_channels // layer.groups
    if i % 3 and n * height * width >= 16 and factors > 1:
        layers.append(nn.BatchNorm2d(out))
    layers.append(nn.ReLU())
    if min(height, width) >= 2 and i % 5:
        layers.append(nn.MaxPool2d(2) if i % 5 < 3 else nn.AvgPool2d(2))
    return layers


@pytest.mark.parametrize(("layer", "shape", "n", "i"), list(convolutions()))
def test_convolutions(layer: Any, shape: tuple[int, ...], n: int, i: int) -> None:
    check_clear(network(around(layer, shape, n, i), shape), shape, n)


@pytest.mark.parametrize("n", BATCHES)
@pytest.mark.parametrize("out", CHANNELS)
@pytest.mark.parametrize("channels", CHANNELS)
def test_convolutions_of_every_width(channels: int, out: int, n: int) -> None:
    i = channels + out + n
    shape = (channels, *IMAGES[i % 5])
    layer = nn.Conv2d(channels, out, 3, padding=1, bias=bool(i % 2))
    check_clear(network(around(layer, shape, n, i), shape), shape, n)


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("stride", [None, 1, 2, 3])
@pytest.mark.parametrize("image", IMAGES, ids=str)
@pytest.mark.parametrize("pool", [nn.MaxPool2d, nn.AvgPool2d])
def test_pools(pool: Any, image: tuple[int, int], stride: int | None, kernel: int) -> None:
    shape = (3, *image)
    for layers in (
        [nn.Conv2d(3, 9, 3, padding=1), pool(kernel, stride)],
        [nn.Conv2d(3, 8, 1), nn.ReLU(), pool(kernel, stride), nn.Conv2d(8, 3, 1)],
    ):
        check_clear(network(layers, shape), shape, 5)


@pytest.mark.parametrize("n", BATCHES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_global_pools(channels: int, n: int) -> None:
    shape = (channels, *IMAGES[n % 5])
    layers = [nn.Conv2d(channels, channels, 3), nn.ReLU(), nn.GlobalAvgPool2d()]
    check_clear(network(layers, shape), shape, n)


@pytest.mark.parametrize("n", [2, 5, 16, 33])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("options", [{}, {"momentum": 0.5, "epsilon": 1e-2}], ids=str)
def test_batch_norms(options: dict[str, float], channels: int, n: int) -> None:
    shape = (2, *IMAGES[channels % 5])
    layers = [
        nn.BatchNorm2d(2, **options),
        nn.Conv2d(2, channels, 3, padding=1),
        nn.BatchNorm2d(channels, **options),
        nn.ReLU(),
    ]
    check_clear(network(layers, shape), shape, n)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n", BATCHES)
@pytest.mark.parametrize("outputs", CHANNELS)
def test_linear_layers(outputs: int, n: int, bias: bool) -> None:
    shape = (3, 4, 5)
    layers = [nn.Flatten(), nn.Linear(60, outputs, bias=bias), nn.ReLU()]
    check_clear(network(layers, shape), shape, n)


@pytest.mark.parametrize("n", [2, 5, 16])
@pytest.mark.parametrize(
    "layers",
    [
        [block(3, 3, 1)],
        [block(3, 8, 2), nn.ReLU()],
        [nn.Conv2d(3, 8, 1), nn.ReLU(), block(8, 8, 1), nn.ReLU(), block(8, 9, 2), nn.ReLU()],
        [nn.Conv2d(3, 8, 1), nn.Residual([nn.ReLU(), nn.Residual([nn.Conv2d(8, 8, 1)])])],
        [nn.Conv2d(3, 8, 1), nn.Residual([nn.ReLU()], [nn.AvgPool2d(1), nn.Conv2d(8, 8, 1)])],
        [nn.Residual([nn.Conv2d(3, 3, 1)], [nn.BatchNorm2d(3)]), nn.GlobalAvgPool2d()],
    ],
    ids=["identity", "projection", "chain", "nested", "shortcut with a pool", "at the ends"],
)
def test_residuals(layers: list[Any], n: int) -> None:
    check_clear(network(layers, (3, 8, 7)), (3, 8, 7), n)


def test_gradients_at_masked_weights() -> None:
    shape = (3, 8, 8)
    net = network([nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), block(8, 9, 2)], shape)
    rng = np.random.default_rng(2)
    masked = {
        name: np.where(rng.random(array.shape) < 0.5, array, np.float32(0))
        for name, array in net.weights.items()
    }
    pruned = net.copy()
    for name, array in masked.items():
        pruned.weights[name] = array
    x, y = clear_batch(pruned, shape, 16, "train")
    found = net.gradients_on(x, y, loss="cross_entropy")(masked)
    assert_close(found, truth(torch_twin.twin(pruned), x, y)[1], CLOSE)
    assert all((found[name][array == 0] != 0).any() for name, array in masked.items())


def test_another_batch_norm_is_noticed() -> None:
    shape = (3, 8, 7)
    net = network([block(3, 8, 1)], shape)
    x, y = clear_batch(net, shape, 5, "train")
    module = torch_twin.twin(net)
    with torch.no_grad():
        torch_twin.parameters(module)["0.body.1.scale"][2] *= 1.001
    with pytest.raises(AssertionError):
        assert_close(
            net.gradients_on(x, y, loss="cross_entropy")(net.weights), truth(module, x, y)[1], CLOSE
        )
