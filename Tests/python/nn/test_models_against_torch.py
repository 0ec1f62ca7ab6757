"""Networks of the literature against torch, and their numbers of parameters by definition."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from swiftforce import nn

torch = pytest.importorskip("torch")

import torch_twin  # noqa: E402
from torch_comparison import (  # noqa: E402
    CLOSE,
    as_arrays,
    assert_close,
    batch,
    copied,
    errors,
    plain_step,
    settled,
    trained,
    truth,
    values,
)

#: Faster tests of layers are in test_layers.py and test_images.py.
pytestmark = pytest.mark.slow

NETWORKS = {
    "lenet5": (lambda: nn.lenet5(seed=4), (1, 28, 28), 16),
    "vgg11": (lambda: nn.vgg(11, seed=4), (3, 32, 32), 8),
    "resnet18": (lambda: nn.resnet(18, seed=4), (3, 32, 32), 8),
    "resnet20": (lambda: nn.resnet(20, seed=4), (3, 32, 32), 8),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks(name: str) -> None:
    make, shape, n = NETWORKS[name]
    net = settled(make())
    least: dict[str, float] = {}
    for seed in range(12):
        x, y = batch(shape, n, seed, 10)
        module = torch_twin.twin(net)
        loss, wanted = truth(module, x, y)
        of_training, stepped = plain_step(net, x, y)
        found = net.gradients_on(x, y, loss="cross_entropy")(net.weights)
        assert of_training == pytest.approx(loss, rel=1e-4)
        for gradients in (stepped, found):
            for key, share in errors(gradients, wanted).items():
                least[key] = min(share, least.get(key, share))
                assert share < 0.3, (key, seed)
        if max(least.values()) <= CLOSE:
            break
    assert set(least) == set(values(net))
    assert max(least.values()) <= CLOSE, least
    logits = torch_twin.twin(net).eval()(torch.from_numpy(x).double()).detach()
    assert_close({"logits": net.predict(x)}, {"logits": logits.numpy()}, 1e-4)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(np.int64(y))).item()
    assert net.evaluate(x, y).loss == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks_train(name: str) -> None:
    make, shape, n = NETWORKS[name]
    net = make()
    x, y = batch(shape, n, 1, 10)
    options = {"momentum": 0.9, "weight_decay": 0.05}
    module = trained(torch_twin.twin(net), x, y, 3, lr=0.002, **options)
    before = copied(values(net))
    net.fit(x, y, epochs=3, batch_size=n, learning_rate=0.002, **options)
    for key, theirs in as_arrays(torch_twin.parameters(module)).items():
        moved, wanted = np.float64(values(net)[key]) - before[key], theirs - before[key]
        assert np.linalg.norm(moved - wanted) <= 0.03 * np.linalg.norm(wanted), key
    if net.statistics:
        assert_close(net.statistics, as_arrays(torch_twin.statistics(module)), 1e-2)


def convolution(channels: int, out: int, kernel: int = 3) -> int:
    """A convolution without bias, and the scale and bias of the batch norm after it."""
    return channels * out * kernel * kernel + 2 * out


def of_vgg(*per_stage: int) -> int:
    """This many 3 by 3 convolutions of 64, 128, 256, 512 and 512 channels, and a classifier."""
    widths = [
        width
        for width, count in zip((64, 128, 256, 512, 512), per_stage, strict=True)
        for _ in range(count)
    ]
    convolutions = itertools.starmap(convolution, itertools.pairwise([3, *widths]))
    return sum(convolutions) + 512 * 10 + 10


def of_basic_blocks(widths: Sequence[int], counts: Sequence[int]) -> int:
    """Two 3 by 3 convolutions per block, and a 1 by 1 shortcut if the width changes."""
    total, channels = convolution(3, widths[0]), widths[0]
    for width, count in zip(widths, counts, strict=True):
        total += convolution(channels, width) + convolution(width, width)
        total += convolution(channels, width, 1) if channels != width else 0
        total += (count - 1) * 2 * convolution(width, width)
        channels = width
    return total + channels * 10 + 10


def of_bottlenecks(widths: Sequence[int], counts: Sequence[int]) -> int:
    """1 by 1, 3 by 3, and 1 by 1 to four times the width; a 1 by 1 shortcut at each stage."""
    total, channels = convolution(3, 64), 64
    for width, count in zip(widths, counts, strict=True):
        total += convolution(channels, 4 * width, 1)
        for _ in range(count):
            total += convolution(channels, width, 1) + convolution(width, width)
            total += convolution(width, 4 * width, 1)
            channels = 4 * width
    return total + channels * 10 + 10


FOUR = (64, 128, 256, 512)
SIZES = [
    ("vgg", 11, 9_228_362, of_vgg(1, 1, 2, 2, 2)),
    ("vgg", 13, 9_413_066, of_vgg(2, 2, 2, 2, 2)),
    ("vgg", 16, 14_724_042, of_vgg(2, 2, 3, 3, 3)),
    ("vgg", 19, 20_035_018, of_vgg(2, 2, 4, 4, 4)),
    ("resnet", 18, 11_173_962, of_basic_blocks(FOUR, (2, 2, 2, 2))),
    ("resnet", 34, 21_282_122, of_basic_blocks(FOUR, (3, 4, 6, 3))),
    ("resnet", 50, 23_520_842, of_bottlenecks(FOUR, (3, 4, 6, 3))),
    ("resnet", 20, 272_474, of_basic_blocks((16, 32, 64), (3, 3, 3))),
    ("resnet", 56, 855_770, of_basic_blocks((16, 32, 64), (9, 9, 9))),
]


@pytest.mark.parametrize(("family", "depth", "total", "by_definition"), SIZES)
def test_numbers_of_parameters(family: str, depth: int, total: int, by_definition: int) -> None:
    assert by_definition == total
    net = getattr(nn, family)(depth)
    assert sum(array.size for array in values(net).values()) == total
    module = torch_twin.sequence(net.layers)
    assert sum(value.numel() for value in module.parameters()) == total


@pytest.mark.parametrize(("family", "depth", "classes"), [("vgg", 16, 100), ("resnet", 34, 200)])
def test_classes_add_a_row_each(family: str, depth: int, classes: int) -> None:
    few, many = (getattr(nn, family)(depth, classes=number) for number in (10, classes))
    sizes = [sum(array.size for array in values(net).values()) for net in (few, many)]
    assert sizes[1] - sizes[0] == (classes - 10) * 513
    assert many.predict(np.zeros((1, 3, 32, 32), np.float32)).shape == (1, classes)
