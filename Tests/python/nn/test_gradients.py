"""Gradients of a network: equal to the oracle's, at masked weights, over batches."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from dense_network import assert_gradients, half, network, parameters
from kinds import blobs
from oracle import assert_same_masks
from swiftforce import nn

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


@pytest.mark.parametrize("n", [1, 2, 7, 255, 256, 257, 600])
def test_gradients_as_the_oracle(n: int) -> None:
    net, (x, y) = network(), blobs(n)
    before = parameters(net)
    found = net.gradients_on(x, y, loss="cross_entropy")(net.weights)
    assert_gradients(found, net, net.weights, x, y)
    assert parameters(net) == before


def test_by_default_gradients_are_those_of_the_target_logit() -> None:
    net, (x, y) = network(), blobs(50)
    default, logit, cross = (
        net.gradients_on(x, y, **options)(net.weights)
        for options in ({}, {"loss": "target_logit"}, {"loss": "cross_entropy"})
    )
    assert all(default[name].tobytes() == logit[name].tobytes() for name in net.weights)
    assert all((default[name] != cross[name]).any() for name in net.weights)


def test_gradients_at_masked_weights_are_dense() -> None:
    net, (x, y) = network(), blobs(50)
    masked = sf.apply_masks(net.weights, half(net))
    found = net.gradients_on(x, y, loss="cross_entropy")(masked)
    assert_gradients(found, net, masked, x, y)
    assert all((found[name][masked[name] == 0] != 0).any() for name in masked)


def test_gradients_of_images_and_small_labels() -> None:
    net, (x, y) = network(), blobs(30)
    images = x.reshape(30, 1, 2, 3)
    plain = net.gradients_on(x, y)(net.weights)
    for labels in (y.astype(np.uint8), y.astype(">i4"), y.tolist(), np.repeat(y, 2)[::2]):
        found = net.gradients_on(images, labels)(net.weights)
        assert all(found[name].tobytes() == plain[name].tobytes() for name in plain)


def test_the_search_of_a_network_is_the_oracles() -> None:
    net, (x, y) = network(), blobs(64)
    gradients = net.gradients_on(x, y)
    names = list(net.weights)

    def listed(weights: list[Any]) -> list[Any]:
        return list(gradients(dict(zip(names, weights, strict=True))).values())

    keeps = sf.schedule_keeps("exponential", 62, keep=10, steps=6)
    masks, _ = oracle.search(list(net.weights.values()), listed, "force", keeps)
    found = sf.force(net.weights, gradients, keep=10, steps=6)
    assert_same_masks(found.masks, dict(zip(names, masks[-1], strict=True)))


def rows_used(net: nn.Network, n: int, calls: int, **options: Any) -> list[list[int]]:
    """Which samples each call uses. Only sample i has feature i."""
    wide = nn.Network([nn.Linear(n, 2)], seed=1)
    x, y = np.eye(n, dtype=np.float32), np.zeros(n, np.int64)
    gradients = wide.gradients_on(x, y, **options)
    found = []
    for _ in range(calls):
        weight = gradients(wide.weights)["0.weight"]
        # Sample i has a gradient in column i alone.
        counts = np.abs(weight[0])
        found.append([i for i in range(n) if counts[i] > 0])
    return found


def test_by_default_all_samples_at_every_call() -> None:
    assert rows_used(network(), 5, 2) == [[0, 1, 2, 3, 4]] * 2


def test_batches_come_in_order_and_start_again() -> None:
    found = rows_used(network(), 7, 6, batch_size=3)
    assert found == [[0, 1, 2], [3, 4, 5], [6], [0, 1, 2], [3, 4, 5], [6]]


def test_a_batch_larger_than_all_samples() -> None:
    assert rows_used(network(), 3, 2, batch_size=10) == [[0, 1, 2]] * 2


def test_several_batches_in_a_call() -> None:
    assert rows_used(network(), 7, 2, batch_size=2, batches_per_step=3) == [
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, 6],
    ]


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_shuffled_batches_use_each_sample_once_in_a_pass(seed: int) -> None:
    found = rows_used(network(), 10, 8, batch_size=3, seed=seed)
    passes = [found[:4], found[4:]]
    for batches in passes:
        assert [len(batch) for batch in batches] == [3, 3, 3, 1]
        assert Counter(itertools.chain(*batches)) == Counter(range(10))
    assert passes[0] != passes[1]
    assert found == rows_used(network(), 10, 8, batch_size=3, seed=seed)


def test_shuffled_batches_differ_by_seed() -> None:
    orders = {str(rows_used(network(), 10, 4, batch_size=3, seed=seed)) for seed in range(8)}
    assert len(orders) == 8


def test_a_short_last_batch_weighs_by_its_size() -> None:
    net, (x, y) = network(), blobs(25)
    gradients = net.gradients_on(x, y, batch_size=10, batches_per_step=3, loss="cross_entropy")
    assert_gradients(gradients(net.weights), net, net.weights, x, y)


def test_functions_do_not_share_their_place() -> None:
    net, (x, y) = network(), blobs(8)
    first, second = (net.gradients_on(x, y, batch_size=4) for _ in range(2))
    start = first(net.weights)
    first(net.weights)
    again = second(net.weights)
    assert all(start[name].tobytes() == again[name].tobytes() for name in start)


def test_what_gradients_returns_is_new_every_time() -> None:
    net, (x, y) = network(), blobs(8)
    gradients = net.gradients_on(x, y)
    first = gradients(net.weights)
    kept = first["0.weight"].copy()
    gradients(sf.apply_masks(net.weights, half(net)))
    assert first["0.weight"].tobytes() == kept.tobytes()


@pytest.mark.parametrize("option", ["batch_size", "batches_per_step"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_batches_that_are_refused(option: str, value: Any) -> None:
    with pytest.raises(sf.HyperparameterError, match=option) as caught:
        network().gradients_on(*blobs(5), **{option: value})
    assert isinstance(caught.value, ValueError)


def test_gradients_at_weights_that_do_not_fit() -> None:
    net = network()
    gradients = net.gradients_on(*blobs(5))
    with pytest.raises(sf.StructureError, match=r"lack '2.weight', '4.weight'"):
        gradients({"0.weight": net.weights["0.weight"]})
    with pytest.raises(sf.ShapeError, match=r"weights\['4.weight'\] has shape \(1,\)"):
        gradients({**net.weights, "4.weight": np.zeros(1, np.float32)})


def test_samples_that_are_not_finite_stop_a_search() -> None:
    net, (x, y) = network(), blobs(40)
    x[3, 2] = np.inf
    with pytest.raises(sf.NonFiniteError, match=r"gradients\['\d.weight'\]"):
        sf.snip(net.weights, net.gradients_on(x, y), sparsity=0.5)
