"""Networks and gradient functions that are pickled or copied compute as the original does."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from dense_network import half, network, parameters
from kinds import blobs
from oracle import assert_same_masks
from swiftforce import nn

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "method": lambda value: value.copy(),
    **{
        f"pickle {protocol}": lambda value, protocol=protocol: pickle.loads(
            pickle.dumps(value, protocol)
        )
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}
NETWORKS = {
    "dense": lambda: nn.lenet_300_100(6, 3),
    "flat": lambda: network(2),
    "convolutions": lambda: nn.lenet5(seed=4),
    "residuals": lambda: nn.resnet(20, (1, 8, 8), 3),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("masked", [False, True])
def test_a_copy_is_the_same_and_independent(way: str, kind: str, masked: bool) -> None:
    net = NETWORKS[kind]()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, *net.input_shape)).astype(np.float32)
    y = rng.integers(0, net.classes, 16)
    if masked:
        net.apply(half(net))
    net.fit(x, y, batch_size=8)
    copied = WAYS[way](net)
    assert type(copied) is nn.Network
    assert (copied.layers, copied.input_shape) == (net.layers, net.input_shape)
    assert (copied.features, copied.classes) == (net.features, net.classes)
    assert parameters(copied) == parameters(net)
    assert (copied.masks is None) == (net.masks is None)
    if masked:
        assert_same_masks(copied.masks, net.masks)
    assert copied.predict(x).tobytes() == net.predict(x).tobytes()
    before = parameters(net)
    history = copied.fit(x, y, batch_size=8)
    assert parameters(net) == before
    assert net.fit(x, y, batch_size=8) == history
    assert parameters(copied) == parameters(net)


class Named(nn.Network):
    """A network with something of its own, and another constructor."""

    def __init__(self, name: str) -> None:
        super().__init__([nn.Linear(4, 3)])
        self.names = [name]


@pytest.mark.parametrize("way", WAYS)
def test_what_a_subclass_adds_is_copied(way: str) -> None:
    net = Named("mine")
    copied = WAYS[way](net)
    assert (type(copied), copied.names) == (Named, ["mine"])
    assert parameters(copied) == parameters(net)
    assert (copied.names is net.names) == (way in ("copy", "method"))


def test_a_copy_in_a_list_with_the_original() -> None:
    """What was one network is one network in the copy."""
    net = network()
    for first, second in (copy.deepcopy([net, net]), pickle.loads(pickle.dumps([net, net]))):
        assert first is second is not net


def trained(net: nn.Network, x: Any, y: Any) -> tuple[nn.Network, list[nn.Epoch]]:
    return net, net.fit(x, y)


def test_another_process_trains_a_network_and_returns_it() -> None:
    net, (x, y) = network(), blobs(30)
    net.apply(half(net))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there, history = pool.submit(trained, net, x, y).result(timeout=100)
    assert history == net.fit(x, y)
    assert parameters(there) == parameters(net)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "method"])
def test_gradients_go_on_with_the_same_batches(way: str) -> None:
    net, (x, y) = network(), blobs(30)
    gradients = net.gradients_on(x, y, batch_size=8, seed=3)
    gradients(net.weights)
    copied: Any = WAYS[way](gradients)
    for _ in range(5):
        found, expected = copied(net.weights), gradients(net.weights)
        assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)


def test_a_search_and_its_gradients_go_on_together() -> None:
    net, (x, y) = network(), blobs(30)
    gradients = net.gradients_on(x, y, batch_size=8, seed=3)
    search = sf.MaskSearch(net.weights, sparsity=0.8, steps=5)
    search.step(gradients(search.masked_weights))
    pair = pickle.loads(pickle.dumps((search, gradients)))
    for one, at in ((search, gradients), pair):
        while not one.done:
            one.step(at(one.masked_weights))
    assert pair[0].history == search.history
    assert_same_masks(pair[0].masks, search.masks)
