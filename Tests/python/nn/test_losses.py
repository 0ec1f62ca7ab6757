"""The losses that gradients for a search are taken of."""

from __future__ import annotations

import pickle
from typing import Any, get_args

import numpy as np
import pytest
import swiftforce as sf
from dense_network import network
from kinds import blobs
from swiftforce import nn
from swiftforce.inputs import LossName
from swiftforce.inputs.vocabulary import case_names

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def linear(classes: int = 3) -> nn.Network:
    return nn.Network([nn.Linear(4, classes)], seed=1)


def samples(n: int = 50) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(n, 4)).astype(np.float32), rng.integers(0, 3, n)


def test_names_are_the_cores() -> None:
    assert get_args(LossName) == case_names("loss")


def test_target_logit_of_a_linear_network() -> None:
    """Minus the mean of the samples of each class."""
    (x, y), net = samples(), linear()
    found = net.gradients_on(x, y, loss="target_logit")(net.weights)["0.weight"]
    expected = [-x[y == label].sum(axis=0) / len(x) for label in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 2, np.float32(100)])
def test_temperature_of_a_linear_network(temperature: float) -> None:
    """That of a network whose outputs are divided, once more."""
    (x, y), net = samples(), linear()
    net.biases["0.bias"][...] = 0
    gradients = net.gradients_on(x, y, loss="cross_entropy", temperature=temperature)
    cooler = {"0.weight": net.weights["0.weight"] / np.float32(temperature)}
    expected = net.gradients_on(x, y, loss="cross_entropy")(cooler)["0.weight"] / temperature
    found = gradients(net.weights)["0.weight"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"loss": "cross_entropy", "temperature": 3.0}])
def test_as_torch(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    net, (x, y) = network(), blobs(40)
    found = net.gradients_on(x, y, **options)(net.weights)
    parts = [torch.tensor(array, requires_grad=True) for array in net.weights.values()]
    out = torch.tensor(x.reshape(len(x), -1))
    for place, (weight, bias) in enumerate(zip(parts, net.biases.values(), strict=True)):
        out = out @ weight.T + torch.tensor(bias)
        out = out.relu() if place < len(parts) - 1 else out
    labels = torch.tensor(y, dtype=torch.int64)
    if options:
        loss = torch.nn.functional.cross_entropy(out / options["temperature"], labels)
    else:
        loss = torch.nn.functional.nll_loss(out, labels)
    for array, part in zip(found.values(), torch.autograd.grad(loss, parts), strict=True):
        np.testing.assert_allclose(array, part.numpy(), rtol=1e-4, atol=1e-6)


def test_the_loss_goes_with_a_copy_and_to_of_nonzero() -> None:
    (x, y), net = samples(), linear()
    gradients = net.gradients_on(x, y, loss="cross_entropy")
    expected = gradients(net.weights)["0.weight"].tobytes()
    assert pickle.loads(pickle.dumps(gradients))(net.weights)["0.weight"].tobytes() == expected
    assert gradients.of_nonzero(net.weights)["0.weight"].tobytes() == expected


def test_masks_differ_by_the_loss() -> None:
    net, (x, y) = network(), blobs(200)
    cross = sf.force(net.weights, net.gradients_on(x, y, loss="cross-entropy"), keep=12, steps=5)
    logit = sf.force(net.weights, net.gradients_on(x, y), keep=12, steps=5)
    assert any((a != b).any() for a, b in zip(*map(masks_of, (cross, logit)), strict=True))


def masks_of(pruning: sf.Pruning[Any]) -> list[Any]:
    return list(pruning.masks.values())


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"loss": "hinge"}, sf.UnknownNameError, "there is no loss 'hinge'.*target_logit"),
        ({"loss": None}, sf.UnknownNameError, "no loss"),
        ({"loss": "cross_entropy", "temperature": 0}, sf.HyperparameterError, "above 0"),
        ({"temperature": -1.0}, sf.HyperparameterError, "above 0"),
        ({"temperature": float("nan")}, sf.HyperparameterError, "above 0"),
        ({"temperature": 1e-300}, sf.HyperparameterError, "above 0"),
        ({"temperature": "2"}, sf.HyperparameterError, "a number"),
        ({"temperature": True}, sf.HyperparameterError, "a number"),
        ({"loss": "target_logit", "temperature": 2}, sf.HyperparameterError, "only scale"),
        ({"temperature": 2}, sf.HyperparameterError, "loss='cross_entropy'"),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        linear().gradients_on(*samples(), **options)
