"""Gradients of every layer against central differences of the loss, without another library.

A loss in binary32 is coarse, so what is compared is the slope along a direction that changes it
much: the gradient's own with another mixed in. The two agree only where every number that counts
does, since a wrong one is long along its own direction but does not descend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from swiftforce import nn

Array = Any

SHAPE = (3, 9, 7)
CLASSES = 4
#: Largest relative error of the slope.
CLOSE = 1e-2
#: The longest step along a direction, relative to the norm of the array, and the change of the loss
#: to aim at: so small that few ReLUs switch, and far above rounding.
REACH, CHANGE = 5e-4, 1e-3

NETWORKS: dict[str, Callable[[], list[Any]]] = {
    "linear": lambda: [nn.Flatten(), nn.Linear(189, 20), nn.ReLU(), nn.Linear(20, CLASSES)],
    "convolution": lambda: [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 5, 2, stride=2, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(60, CLASSES),
    ],
    "depthwise": lambda: [
        nn.Conv2d(3, 8, 1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.ReLU(),
        nn.GlobalAvgPool2d(),
        nn.Linear(8, CLASSES),
    ],
    "batch norm": lambda: [
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.GlobalAvgPool2d(),
        nn.Linear(8, CLASSES),
    ],
    "largest": lambda: [
        nn.Conv2d(3, 8, 3),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 1),
        nn.MaxPool2d(2, 1),
        nn.Flatten(),
        nn.Linear(16, CLASSES),
    ],
    "mean": lambda: [
        nn.Conv2d(3, 8, 3),
        nn.AvgPool2d(2),
        nn.ReLU(),
        nn.AvgPool2d(2, 1),
        nn.Flatten(),
        nn.Linear(16, CLASSES),
    ],
    "residual": lambda: [
        nn.Conv2d(3, 8, 1),
        nn.Residual([nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)]),
        nn.ReLU(),
        nn.Residual([nn.Conv2d(8, 5, 3, stride=2, padding=1)], [nn.Conv2d(8, 5, 1, stride=2)]),
        nn.GlobalAvgPool2d(),
        nn.Linear(5, CLASSES),
    ],
}


def network(layers: Sequence[Any], shape: Sequence[int] = SHAPE) -> nn.Network:
    """A network whose biases, scales and statistics have an effect."""
    net = nn.Network(layers, input_shape=tuple(shape), seed=1)
    rng = np.random.default_rng(2)
    for name, values in {**net.biases, **net.statistics}.items():
        if name.endswith(("scale", "variance")):
            values[...] = rng.uniform(0.5, 1.5, values.shape)
        else:
            values[...] = 0.2 * rng.standard_normal(values.shape)
    return net


def samples(n: int, shape: Sequence[int] = SHAPE) -> tuple[Array, Array]:
    rng = np.random.default_rng([n, *shape])
    return rng.standard_normal((n, *shape), dtype=np.float32), rng.integers(0, CLASSES, n)


def parameters(net: nn.Network) -> dict[str, Array]:
    return {**net.weights, **net.biases}


def loss(net: nn.Network, x: Array, y: Array, mode: str) -> float:
    """The loss of training, from a step of a copy, or the loss of evaluation."""
    if mode == "eval":
        return net.evaluate(x, y).loss
    options = {"learning_rate": 0, "momentum": 0, "weight_decay": 0}
    (epoch,) = net.copy().fit(x, y, epochs=1, batch_size=len(y), **options)
    return epoch.loss


def slope(net: nn.Network, name: str, along: Array, change: Callable[[], float]) -> float:
    """The slope of a loss along a direction in one array, by central differences."""
    values = parameters(net)[name]
    before = values.copy()
    found = []
    for sign in (1, -1):
        values[...] = before + sign * along
        found.append(change())
    values[...] = before
    return (found[0] - found[1]) / (2 * float(np.linalg.norm(along)))


def check(
    net: nn.Network, x: Array, y: Array, mode: str, gradients: dict[str, Array], *, seed: int = 0
) -> None:
    rng = np.random.default_rng(seed)
    largest = max(float(np.linalg.norm(gradient)) for gradient in gradients.values())
    judged = 0
    for name, gradient in gradients.items():
        length = float(np.linalg.norm(gradient))
        if length < 1e-3 * largest:
            continue  # the loss does not change enough
        judged += 1
        other = rng.standard_normal(gradient.shape)
        direction = gradient / length + 0.5 * other / np.linalg.norm(other)
        direction /= np.linalg.norm(direction)
        expected = float((gradient * direction).sum())
        size = float(np.linalg.norm(parameters(net)[name]))
        along = direction * min(REACH * size, CHANGE / length)
        found = slope(net, name, along, lambda: loss(net, x, y, mode))
        assert found == pytest.approx(expected, abs=CLOSE * length), name
    assert judged >= len(gradients) - 1


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_weights(name: str, mode: str) -> None:
    net, (x, y) = network(NETWORKS[name]()), samples(40)
    gradients = net.gradients_on(x, y, mode=mode, loss="cross_entropy")
    check(net, x, y, mode, gradients(net.weights))


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_biases(name: str) -> None:
    """Gradients from a step of plain descent, so long that rounding does not matter."""
    net, (x, y) = network(NETWORKS[name]()), samples(40)
    twin, rate = net.copy(), 1024
    twin.fit(x, y, epochs=1, batch_size=40, learning_rate=rate, momentum=0, weight_decay=0)
    moved = {
        name: (np.float64(array) - twin.biases[name]) / rate for name, array in net.biases.items()
    }
    check(net, x, y, "train", moved)


def test_a_wrong_gradient_is_noticed() -> None:
    net, (x, y) = network(NETWORKS["convolution"]()), samples(40)
    gradients = net.gradients_on(x, y, loss="cross_entropy")(net.weights)
    wrong = {**gradients, "2.weight": np.flip(gradients["2.weight"], (2, 3))}
    with pytest.raises(AssertionError, match=r"2\.weight"):
        check(net, x, y, "train", wrong)
    with pytest.raises(AssertionError, match=r"0\.weight"):
        check(net, x, y, "train", {**gradients, "0.weight": 1.05 * gradients["0.weight"]})
