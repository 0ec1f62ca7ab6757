"""A small network of linear layers, and comparisons for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
import swiftforce as sf
from swiftforce import nn

LAYERS = (nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


def network(seed: int = 1) -> nn.Network:
    """A small network with biases that are not zero."""
    net = nn.Network(LAYERS, seed=seed)
    rng = np.random.default_rng(seed)
    for bias in net.biases.values():
        bias[...] = 0.3 * rng.standard_normal(bias.shape)
    return net


def parameters(net: nn.Network) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in net.parameters.items()}


def half(net: nn.Network, seed: int = 0) -> dict[str, Any]:
    """Masks that remove half of the weights."""
    return sf.random(net.weights, sparsity=0.5, seed=seed).masks


def assert_gradients(found: dict[str, Any], net: nn.Network, weights: Any, x: Any, y: Any) -> None:
    expected = oracle.lenet_gradients(list(weights.values()), list(net.biases.values()), x, y)
    assert list(found) == list(net.weights)
    for gradient, wanted in zip(found.values(), expected, strict=True):
        assert gradient.dtype == np.float32
        np.testing.assert_allclose(gradient, wanted, rtol=2e-4, atol=2e-6)


def assert_exact_zeros(net: nn.Network, masks: dict[str, Any]) -> None:
    for name, mask in masks.items():
        removed = net.weights[name][~mask]
        assert removed.tobytes() == bytes(removed.nbytes)  # not even -0
        assert (net.weights[name][mask] != 0).all()
