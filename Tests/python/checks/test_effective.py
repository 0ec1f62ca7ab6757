"""Effective density: the weights on a path, counted exactly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from mask_data import counts
from swiftforce import checks, nn
from tiny_networks import TINY, drawn
from unit_graph import Graph

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> bool:
    return list(found) == list(expected) and all(
        np.array_equal(found[name], expected[name]) for name in expected
    )


@given(
    st.sampled_from(sorted(TINY)), st.sampled_from([0.05, 0.2, 0.5, 0.8, 1]), st.integers(0, 9999)
)
def test_paths_are_those_of_the_graph_of_units(kind: str, density: float, seed: int) -> None:
    net = TINY[kind]()
    masks = drawn(net, density, seed)
    found = checks.effective_density(net, masks)
    assert same(found.masks, Graph(net).effective(masks))
    assert [layer.kept for layer in found.layers] == counts(masks.values())
    assert [layer.effective for layer in found.layers] == counts(found.masks.values())


@given(st.sampled_from(sorted(TINY)), st.sampled_from([0.1, 0.3, 0.6]), st.integers(0, 9999))
def test_effective_masks_have_the_same_paths(kind: str, density: float, seed: int) -> None:
    net = TINY[kind]()
    masks = drawn(net, density, seed)
    found = checks.effective_density(net, masks)
    assert all((masks[name] | ~mask).all() for name, mask in found.masks.items())
    again = checks.effective_density(net, found.masks)
    assert same(again.masks, found.masks)
    assert again.kept == again.effective == found.effective
    more = {
        name: mask | (np.arange(mask.size) % 5 == 0).reshape(mask.shape)
        for name, mask in masks.items()
    }
    wider = checks.effective_density(net, more)
    assert all((wider.masks[name] | ~mask).all() for name, mask in found.masks.items())


@given(st.sampled_from(["linear", "residual"]), st.integers(0, 9999))
def test_weights_on_no_path_change_nothing(kind: str, seed: int) -> None:
    net = TINY[kind]()
    masks = drawn(net, 0.3, seed)
    x = np.random.default_rng(seed).standard_normal((4, net.features)).astype(np.float32)
    # Over kept weights, their number decides the order of sums.
    net.apply(masks, kernels="dense")
    before = net.predict(x)
    net.apply(checks.effective_density(net).masks, kernels="dense")
    assert np.array_equal(net.predict(x), before)


def test_a_weight_that_sees_padding_alone_is_on_no_path() -> None:
    net = nn.Network([nn.Conv2d(2, 2, 3, padding=1), nn.Linear(2, 2)], input_shape=(2, 1, 1))
    found = checks.effective_density(net)
    assert found.masks["0.weight"].sum(axis=(0, 1)).tolist() == [[0, 0, 0], [0, 4, 0], [0, 0, 0]]
    assert (found.kept, found.effective, found.size) == (40, 8, 40)


def test_a_path_does_not_begin_at_a_bias() -> None:
    net = nn.Network([nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)])
    net.biases["0.bias"] = [1, 1]
    masks = {"0.weight": np.zeros((2, 2), bool), "2.weight": np.ones((2, 2), bool)}
    assert checks.effective_density(net, masks).effective == 0


def test_masks_are_those_that_are_applied() -> None:
    net = TINY["linear"]()
    assert checks.effective_density(net).density == 1
    pruning = sf.random(net.weights, sparsity=0.5, seed=1)
    net.apply(pruning.masks)
    assert repr(checks.effective_density(net)) == repr(checks.effective_density(net, pruning))
    net.apply(checks.shuffle(pruning))
    assert checks.effective_density(net).kept == pruning.keep


def test_networks_of_the_literature_use_all_their_weights() -> None:
    for net in (nn.lenet5(), nn.small_vgg(), nn.resnet(20, (3, 16, 16))):
        found = checks.effective_density(net)
        assert found.density == found.direct_density == 1, net


@pytest.mark.slow
def test_a_large_network_at_an_extreme_sparsity() -> None:
    net = nn.resnet(18, (3, 8, 8))
    pruning = sf.random(net.weights, sparsity=0.999, seed=1)
    found = checks.effective_density(net, pruning)
    assert found.kept == pruning.keep > found.effective
    assert found.direct_density == pruning.density


def test_a_count_is_a_table() -> None:
    net = nn.Network([nn.Linear(3, 2), nn.Linear(2, 1)])
    masks = {"0.weight": np.array([[1, 0, 0], [0, 1, 1]], bool), "1.weight": np.ones((1, 2), bool)}
    masks["1.weight"][0, 1] = False
    found = checks.effective_density(net, masks)
    assert str(found).splitlines()[-1].split() == ["all", "8", "4", "2", "0.5", "0.25"]
    assert [layer.density for layer in found.layers] == [1 / 6, 1 / 2]
    assert [layer.direct_density for layer in found.layers] == [1 / 2, 1 / 2]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.layers = ()


def test_other_networks_and_masks_that_do_not_fit_are_refused() -> None:
    net = TINY["linear"]()
    with pytest.raises(sf.UnsupportedTypeError, match=r"swiftforce\.torch\.effective_density"):
        checks.effective_density(object())
    with pytest.raises(sf.StructureError, match=r"masks lack '2.weight'"):
        checks.effective_density(net, {"0.weight": np.ones((5, 4), bool)})
    masks = drawn(net, 0.5, 0)
    with pytest.raises(sf.ShapeError, match=r"masks\['0.weight'\]"):
        checks.effective_density(net, {**masks, "0.weight": np.ones((4, 5), bool)})
