"""The network engine: gradients as the oracle's, batches, masked training, and what is refused."""

from __future__ import annotations

import gc
import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from kinds import blobs
from oracle import assert_same_masks
from swiftforce import nn
from swiftforce.datasets import fashion_mnist
from swiftforce.errors import DatasetError

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

LAYERS = (nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


def network(seed: int = 1) -> nn.Network:
    """A small network whose biases matter."""
    net = nn.Network(LAYERS, seed=seed)
    rng = np.random.default_rng(seed)
    for bias in net.biases.values():
        bias[...] = 0.3 * rng.standard_normal(bias.shape)
    return net


def parameters(net: nn.Network) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in {**net.weights, **net.biases}.items()}


def half(net: nn.Network, seed: int = 0) -> dict[str, Any]:
    """Masks that remove half of the weights."""
    return sf.random(net.weights, sparsity=0.5, seed=seed).masks


def assert_gradients(found: dict[str, Any], net: nn.Network, weights: Any, x: Any, y: Any) -> None:
    expected = oracle.lenet_gradients(list(weights.values()), list(net.biases.values()), x, y)
    assert list(found) == list(net.weights)
    for gradient, wanted in zip(found.values(), expected, strict=True):
        assert gradient.dtype == np.float32
        np.testing.assert_allclose(gradient, wanted, rtol=2e-4, atol=2e-6)


# ------------------------------------------------------------------------- what a network is


def test_parameters_have_names_shapes_and_start_values() -> None:
    net = nn.Network([nn.Linear(400, 300), nn.ReLU(), nn.Linear(300, 10)], seed=3)
    assert {name: w.shape for name, w in net.weights.items()} == {
        "0.weight": (300, 400),
        "2.weight": (10, 300),
    }
    assert {name: b.shape for name, b in net.biases.items()} == {"0.bias": (300,), "2.bias": (10,)}
    assert not any(bias.any() for bias in net.biases.values())
    weight = net.weights["0.weight"]
    assert weight.dtype == np.float32
    assert weight.std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert abs(weight.mean()) < 0.001
    assert (net.features, net.classes, net.masks) == (400, 10, None)


def test_the_seed_selects_the_weights() -> None:
    assert parameters(nn.Network(LAYERS, seed=1)) == parameters(nn.Network(LAYERS, seed=1))
    assert parameters(nn.Network(LAYERS, seed=1)) != parameters(nn.Network(LAYERS, seed=2))
    first, second = nn.Network([nn.Linear(4, 4), nn.Linear(4, 4)], seed=1).weights.values()
    assert first.tobytes() != second.tobytes()


def test_weights_are_views_of_the_network() -> None:
    net, x = network(), blobs(9)[0]
    before = net.predict(x)
    net.weights["4.weight"] *= 2
    net.biases["4.bias"] *= 2
    np.testing.assert_allclose(net.predict(x), 2 * before, rtol=1e-5)
    assert all(weight.flags.writeable for weight in net.weights.values())


def test_weights_outlive_the_network() -> None:
    net = network()
    weight, expected = net.weights["0.weight"], net.weights["0.weight"].copy()
    del net
    gc.collect()
    others = [network(seed) for seed in range(50)]  # would take memory that was freed
    assert weight.tobytes() == expected.tobytes()
    weight += 1
    assert all(weight.tobytes() != other.weights["0.weight"].tobytes() for other in others)


def test_lenet() -> None:
    net = nn.lenet_300_100(20, 7, seed=2)
    assert [weight.shape for weight in net.weights.values()] == [(300, 20), (100, 300), (7, 100)]
    assert sum(w.size for w in nn.lenet_300_100().weights.values()) == 266_200


def test_a_copy_is_independent() -> None:
    net, (x, y) = network(), blobs(40)
    net.apply(half(net))
    net.fit(x, y, epochs=1, batch_size=8)
    twin = net.copy()
    assert parameters(twin) == parameters(net)
    assert_same_masks(twin.masks, net.masks)
    before = parameters(net)
    twin.fit(x, y, epochs=1, batch_size=8)
    twin.apply(None)
    assert parameters(net) == before
    assert net.masks is not None
    assert parameters(twin) != before


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([nn.Linear(4, 3), nn.Linear(2, 1)], "layer 1"),
        ([nn.Linear(0, 3)], "layer 0"),
        ([nn.Linear(3, -1)], "layer 0"),
        ([nn.Linear(3.0, 1)], "layer 0: inputs must be an integer, not 3.0"),
        ([nn.Linear(3, "1")], "layer 0: outputs must be an integer, not '1'"),
        ([nn.Linear(3, 2), "relu"], "layer 1 is a str, not a layer"),
        ([nn.ReLU], "layer 0 is a type, not a layer"),
        ([nn.Linear(2**62, 2**62)], "layer 0"),
        ([nn.ReLU()], "layer"),
    ],
)
def test_layers_that_do_not_fit(layers: list[Any], text: str) -> None:
    with pytest.raises(sf.ArchitectureError, match=text) as caught:
        nn.Network(layers)
    assert isinstance(caught.value, ValueError)


def test_no_layers_at_all() -> None:
    with pytest.raises(sf.SwiftForceError):
        nn.Network([])


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, None])
def test_seeds_that_are_refused(seed: Any) -> None:
    x, y = blobs(5)
    with pytest.raises(sf.SeedError):
        nn.Network(LAYERS, seed=seed)
    with pytest.raises(sf.SeedError):
        network().fit(x, y, seed=seed)
    if seed is not None:
        with pytest.raises(sf.SeedError):
            network().gradients_on(x, y, seed=seed)


# ------------------------------------------------------------------------- what it computes


@pytest.mark.parametrize("n", [1, 2, 7, 255, 256, 257, 600])
def test_gradients_as_the_oracle(n: int) -> None:
    net, (x, y) = network(), blobs(n)
    before = parameters(net)
    found = net.gradients_on(x, y)(net.weights)
    assert_gradients(found, net, net.weights, x, y)
    assert parameters(net) == before


def test_gradients_at_masked_weights_are_dense() -> None:
    net, (x, y) = network(), blobs(50)
    masked = sf.apply_masks(net.weights, half(net))
    found = net.gradients_on(x, y)(masked)
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


def test_predict_evaluate_and_the_oracle_agree() -> None:
    net, (x, y) = network(), blobs(300)
    logits = net.predict(x)
    assert (logits.shape, logits.dtype) == ((300, 3), np.float32)
    loss = oracle.lenet_loss(list(net.weights.values()), list(net.biases.values()), x, y)
    found = net.evaluate(x, y)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    assert found.correct == int((logits.argmax(axis=1) == y).sum())
    assert (found.count, found.accuracy) == (300, found.correct / 300)
    assert net(x).tobytes() == logits.tobytes()
    assert net.predict(x.reshape(300, 3, 2)).tobytes() == logits.tobytes()


def test_logits_by_hand() -> None:
    net = nn.Network([nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)])
    net.weights["0.weight"][...] = [[1, -1], [2, 0]]
    net.biases["0.bias"][...] = [0, -1]
    net.weights["2.weight"][...] = [[1, 10]]
    net.biases["2.bias"][...] = [0.5]
    found = net.predict(np.float32([[3, 1], [1, 3], [0, 0]]))
    assert found.tolist() == [[52.5], [10.5], [0.5]]


def test_one_step_of_training_by_hand() -> None:
    net, (x, y) = network(), blobs(20)
    weights = {name: array.astype(np.float64) for name, array in net.weights.items()}
    biases = {name: array.astype(np.float64) for name, array in net.biases.items()}
    velocity: dict[str, Any] = {}
    net.fit(x, y, epochs=3, batch_size=20, learning_rate=0.1, momentum=0.8, weight_decay=0.01)
    for _ in range(3):
        _, of_weights, of_biases = oracle.lenet_backward(
            list(weights.values()), list(biases.values()), x, y
        )
        for values, gradients in ((weights, of_weights), (biases, of_biases)):
            for name, gradient in zip(values, gradients, strict=True):
                step = gradient + 0.01 * values[name]
                velocity[name] = 0.8 * velocity.get(name, 0) + step
                values[name] = values[name] - 0.1 * velocity[name]
    for name, array in {**net.weights, **net.biases}.items():
        np.testing.assert_allclose(array, {**weights, **biases}[name], rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------------- batches


def rows_used(net: nn.Network, n: int, calls: int, **options: Any) -> list[list[int]]:
    """Which samples each call takes the gradients of: sample i alone has feature i."""
    wide = nn.Network([nn.Linear(n, 2)], seed=1)
    x, y = np.eye(n, dtype=np.float32), np.zeros(n, np.int64)
    gradients = wide.gradients_on(x, y, **options)
    found = []
    for _ in range(calls):
        weight = gradients(wide.weights)["0.weight"]
        # Softmax at sample i moves column i by its share of the batch, and no other.
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
    together = net.gradients_on(x, y, batch_size=10, batches_per_step=3)(net.weights)
    assert_gradients(together, net, net.weights, x, y)


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


# ------------------------------------------------------------------------- masks and training


def assert_exact_zeros(net: nn.Network, masks: dict[str, Any]) -> None:
    for name, mask in masks.items():
        removed = net.weights[name][~mask]
        assert removed.tobytes() == bytes(removed.nbytes)  # not even -0
        assert (net.weights[name][mask] != 0).all()


def test_removed_weights_stay_zero_through_all_training() -> None:
    net, (x, y) = network(), blobs(60)
    masks = half(net)
    net.apply(masks)
    assert_exact_zeros(net, masks)
    epochs = net.fit(
        x,
        y,
        epochs=30,
        batch_size=7,
        momentum=0.95,
        weight_decay=0.01,
        learning_rate=0.02,
        milestones=(5, 10, 20),
        on_epoch=lambda _: assert_exact_zeros(net, masks),
    )
    assert len(epochs) == 30
    assert_exact_zeros(net, masks)
    assert_same_masks(net.masks, masks)


def test_what_is_written_at_removed_weights_does_not_last() -> None:
    net, (x, y) = network(), blobs(60)
    masks = half(net)
    net.apply(masks)
    for weight in net.weights.values():
        weight[weight == 0] = 5
    net.fit(x, y, epochs=1, learning_rate=0.0)
    assert_exact_zeros(net, masks)


def test_what_is_written_at_removed_weights_has_no_part_in_the_gradient() -> None:
    net, (x, y) = network(), blobs(60)
    net.apply(half(net))
    twin = net.copy()
    for weight in twin.weights.values():
        weight[weight == 0] = 5
    net.fit(x, y, batch_size=60)
    twin.fit(x, y, batch_size=60)
    assert parameters(twin) == parameters(net)


def test_momentum_from_before_the_mask_moves_nothing() -> None:
    net, (x, y) = network(), blobs(60)
    masks = half(net)
    net.fit(x, y, epochs=2, momentum=0.9, on_epoch=lambda e: net.apply(masks))
    assert_exact_zeros(net, masks)


@pytest.mark.parametrize("masked_for", [0, 3])
def test_a_removed_weight_has_no_momentum_when_the_masks_are_lifted(masked_for: int) -> None:
    """Neither from before it was removed nor from the time when it was."""
    net, (x, y) = network(), blobs(60)
    masks = half(net)
    at_lifting: dict[str, Any] = {}

    def change(epoch: nn.Epoch) -> None:
        if epoch.epoch == 2:
            net.apply(masks)
        if epoch.epoch == 2 + masked_for:
            net.apply(None)
            at_lifting.update(net.gradients_on(x, y)(net.weights))

    net.fit(
        x,
        y,
        epochs=3 + masked_for,
        batch_size=60,
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=0.0,
        on_epoch=change,
    )
    for name, weight in net.weights.items():
        removed = ~masks[name]
        expected = -0.1 * at_lifting[name][removed]
        np.testing.assert_allclose(weight[removed], expected, rtol=1e-4, atol=1e-7)


def test_masks_are_copied_and_replaced_and_lifted() -> None:
    net, (x, y) = network(), blobs(60)
    masks = half(net)
    net.apply(masks)
    masks["0.weight"][...] = False
    assert net.masks["0.weight"].any()
    net.masks["0.weight"][...] = False
    assert net.masks["0.weight"].any()

    start = network().weights
    first, second = half(net, seed=1), half(net, seed=2)
    net = network()
    net.apply(first)
    net.apply(second)
    both = {name: first[name] & second[name] for name in first}
    for name, weight in net.weights.items():
        assert weight.tobytes() == np.where(both[name], start[name], np.float32(0)).tobytes()

    net.apply(None)
    assert net.masks is None
    removed = net.weights["0.weight"] == 0
    assert removed.any()
    net.fit(x, y, epochs=2, batch_size=8)
    assert (net.weights["0.weight"][removed] != 0).any()


def test_masks_of_a_search_fit() -> None:
    net, (x, y) = network(), blobs(60)
    found = sf.force(net.weights, net.gradients_on(x, y), sparsity=0.7, steps=5)
    net.apply(found.masks)
    assert sum(int((w != 0).sum()) for w in net.weights.values()) == found.keep


@pytest.mark.parametrize(
    ("masks", "error"),
    [
        ({}, sf.StructureError),
        ([], sf.StructureError),
        ({name: np.ones(1, bool) for name in ("0.weight", "2.weight", "4.weight")}, sf.ShapeError),
        (dict.fromkeys(("0.weight", "2.weight", "4.weight"), 1.0), sf.UnsupportedTypeError),
    ],
)
def test_masks_that_are_refused(masks: Any, error: type) -> None:
    net = network()
    before = parameters(net)
    with pytest.raises(error, match="masks"):
        net.apply(masks)
    assert parameters(net) == before
    assert net.masks is None


# ------------------------------------------------------------------------- fit


def test_it_learns() -> None:
    net, (x, y) = nn.Network(LAYERS, seed=5), blobs(600)
    test = blobs(300, seed=9)
    start = net.evaluate(*test)
    history = net.fit(x, y, epochs=15, batch_size=32, learning_rate=0.05)
    assert start.accuracy < 0.7
    assert net.evaluate(*test).accuracy > 0.97
    assert history[-1].loss < 0.2 * history[0].loss
    assert [epoch.epoch for epoch in history] == list(range(1, 16))


def test_fit_is_the_same_for_the_same_seed_only() -> None:
    x, y = blobs(100)
    runs = []
    for seed in (1, 1, 2):
        net = network()
        history = net.fit(x, y, epochs=3, batch_size=16, seed=seed)
        runs.append((history, parameters(net)))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_each_fit_starts_without_momentum() -> None:
    x, y = blobs(50)
    net = network()
    net.fit(x, y, epochs=2)
    fresh = net.copy()
    net.fit(x, y, epochs=1)
    fresh.fit(x, y, epochs=1)
    assert parameters(net) == parameters(fresh)


def test_epochs_report_what_was_before_their_steps() -> None:
    net, (x, y) = network(), blobs(30)
    before = net.evaluate(x, y)
    (epoch,) = net.fit(x, y, batch_size=30)
    assert epoch.loss == pytest.approx(before.loss, rel=1e-6)
    assert epoch.accuracy == before.accuracy


def test_a_short_last_batch_counts_by_its_size_in_the_loss() -> None:
    net, (x, y) = network(), blobs(25)
    before = net.evaluate(x, y)
    (epoch,) = net.fit(x, y, batch_size=10, learning_rate=0.0)
    assert epoch.loss == pytest.approx(before.loss, rel=1e-6)
    assert epoch.accuracy == before.accuracy


def test_each_epoch_uses_every_sample_once() -> None:
    """Without decay and at a tiny rate the steps add up to one step on the whole set."""
    x, y = blobs(21)
    net = network()
    start = {name: weight.astype(np.float64) for name, weight in net.weights.items()}
    gradient = net.gradients_on(x, y)(net.weights)
    net.fit(x, y, batch_size=1, learning_rate=1e-4, momentum=0.0, weight_decay=0.0)
    for name, weight in net.weights.items():
        moved = (start[name] - weight) / 1e-4 / 21
        np.testing.assert_allclose(moved, gradient[name], atol=0.02)


def test_milestones_lower_the_learning_rate() -> None:
    net, (x, y) = network(), blobs(10)
    history = net.fit(x, y, epochs=5, learning_rate=0.1, milestones=(1, 3, 3), gamma=0.5)
    rates = [epoch.learning_rate for epoch in history]
    assert rates == pytest.approx([0.1, 0.05, 0.05, 0.0125, 0.0125])
    still = net.fit(x, y, epochs=3, learning_rate=0.1, milestones=(0,), gamma=0.0)
    assert [epoch.learning_rate for epoch in still] == [0.0, 0.0, 0.0]


def test_a_learning_rate_of_zero_changes_nothing() -> None:
    net, (x, y) = network(), blobs(10)
    before = parameters(net)
    net.fit(x, y, epochs=2, learning_rate=0.0)
    assert parameters(net) == before


def test_on_epoch_is_called_as_each_ends_and_may_stop() -> None:
    net, (x, y) = network(), blobs(10)
    seen: list[nn.Epoch] = []

    def stop(epoch: nn.Epoch) -> None:
        seen.append(epoch)
        if epoch.epoch == 2:
            raise StopIteration

    with pytest.raises(StopIteration):
        net.fit(x, y, epochs=5, on_epoch=stop)
    assert [epoch.epoch for epoch in seen] == [1, 2]
    assert len(net.fit(x, y, epochs=2, on_epoch=seen.append)) == 2
    assert [epoch.epoch for epoch in seen] == [1, 2, 1, 2]


def test_no_epochs() -> None:
    net = network()
    before = parameters(net)
    assert net.fit(*blobs(10), epochs=0) == []
    assert parameters(net) == before


def test_a_loss_that_is_not_finite() -> None:
    net, (x, y) = network(), blobs(40)
    with pytest.raises(sf.DivergedError, match=r"the loss is (nan|inf) in epoch \d: ") as caught:
        net.fit(1e20 * x, y, epochs=5, learning_rate=1e9)
    assert isinstance(caught.value, ArithmeticError)
    net = network()
    before = parameters(net)
    x[3, 2] = np.nan
    with pytest.raises(sf.DivergedError, match="in epoch 1: look for samples that are not finite"):
        net.fit(x, y, batch_size=40)
    assert parameters(net) == before


def test_samples_that_are_not_finite_stop_a_search() -> None:
    net, (x, y) = network(), blobs(40)
    x[3, 2] = np.inf
    with pytest.raises(sf.NonFiniteError, match=r"gradients\['\d.weight'\]"):
        sf.snip(net.weights, net.gradients_on(x, y), sparsity=0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": -0.1},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"momentum": -1.0},
        {"momentum": float("nan")},
        {"weight_decay": -1e-4},
        {"weight_decay": float("inf")},
        {"gamma": -1.0, "milestones": (0,)},
        {"batch_size": 0},
        {"batch_size": 2.0},
        {"batch_size": True},
        {"epochs": 1.5},
        {"epochs": None},
        {"epochs": -1},
        {"gamma": -1.0},
        {"gamma": float("nan")},
        {"learning_rate": "x"},
    ],
    ids=str,
)
def test_settings_that_are_refused(options: dict[str, Any]) -> None:
    net = network()
    before = parameters(net)
    with pytest.raises(sf.HyperparameterError) as caught:
        net.fit(*blobs(10), **options)
    assert isinstance(caught.value, ValueError)
    assert parameters(net) == before


# ------------------------------------------------------------------------- samples

X, Y = blobs(4)


@pytest.mark.parametrize(
    ("x", "y", "error", "text"),
    [
        (X[:, :5].copy(), Y, sf.ShapeError, "x has 5 features per sample where .* takes 6"),
        (X.ravel(), Y, sf.ShapeError, r"x must have shape \(n, ...\)"),
        (X[:0], Y[:0], sf.ShapeError, r"n of at least 1, not \(0, 6\)"),
        (X.astype(np.float64), Y, sf.UnsupportedTypeError, "x has dtype float64"),
        (X.tolist(), Y, sf.UnsupportedTypeError, "x is a list"),
        (X[:, ::-1], Y, sf.LayoutError, "x is not C-contiguous"),
        (X, Y[:3], sf.ShapeError, r"y has shape \(3,\) where x has 4 samples"),
        (X, Y[:, None], sf.ShapeError, r"y has shape \(4, 1\)"),
        (X, 1, sf.ShapeError, r"y has shape \(\)"),
        (X, Y.astype(float), sf.UnsupportedTypeError, "y must hold integers, not float64"),
        (X, Y > 0, sf.UnsupportedTypeError, "not bool"),
        (X, ["a", "b", "c", "d"], sf.UnsupportedTypeError, "not <U1"),
        (X, None, sf.UnsupportedTypeError, "not object"),
        (X, [0, 3, 1, 5], sf.LabelError, r"y\[1\] is 3, outside 0 ... 2 \(2 such labels\)"),
        (X, [0, 1, -1, 0], sf.LabelError, r"y\[2\] is -1, outside"),
        (X, np.uint64([0, 1, 2**63, 0]), sf.LabelError, r"y\[2\] is 9223372036854775808"),
    ],
)
def test_samples_that_are_refused(x: Any, y: Any, error: type, text: str) -> None:
    net = network()
    before = parameters(net)
    for call in (net.fit, net.evaluate, net.gradients_on):
        with pytest.raises(error, match=text) as caught:
            call(x, y)
        assert isinstance(caught.value, (ValueError, TypeError))
        assert isinstance(caught.value, sf.SwiftForceError)
    if text.startswith(("x ", "n of")):
        with pytest.raises(error, match=text):
            net.predict(x)
    assert parameters(net) == before


def test_samples_are_not_written() -> None:
    net, (x, y) = network(), blobs(30)
    before = x.tobytes(), y.tobytes()
    x.flags.writeable = y.flags.writeable = False
    net.fit(x, y, epochs=2, batch_size=7)
    net.evaluate(x, y)
    net.predict(x)
    net.gradients_on(x, y, batch_size=4)(net.weights)
    assert (x.tobytes(), y.tobytes()) == before


# ------------------------------------------------------------------------- threads


def test_threads_may_share_a_network() -> None:
    net, (x, y) = nn.lenet_300_100(6, 3), blobs(200)
    logits, expected = net.predict(x), net.evaluate(x, y)

    def hammer(_: int) -> None:
        for _ in range(10):
            assert net.predict(x).tobytes() == logits.tobytes()
            assert net.evaluate(x, y) == expected

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hammer, range(8)))


def test_threads_with_a_network_each_train_as_alone() -> None:
    x, y = blobs(100)

    def trained(seed: int) -> dict[str, bytes]:
        net = network(seed)
        net.fit(x, y, epochs=3, batch_size=10, seed=seed)
        return parameters(net)

    alone = [trained(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(trained, range(8))) == alone


# ------------------------------------------------------------------------- from end to end


@pytest.mark.slow
def test_fashion_mnist_from_end_to_end() -> None:
    try:
        data = fashion_mnist().subset(train=2000, test=1000)
    except DatasetError as error:
        pytest.skip(f"needs Fashion-MNIST: {error}")
    net = nn.lenet_300_100(seed=1)
    gradients = net.gradients_on(data.train_x, data.train_y, batch_size=128, seed=1)
    found = sf.force(net.weights, gradients, sparsity=0.9, steps=10)
    assert found.keep == 26_620
    net.apply(found.masks)
    net.fit(data.train_x, data.train_y, epochs=3, learning_rate=0.05)
    assert sum(int((w != 0).sum()) for w in net.weights.values()) <= 26_620
    assert net.evaluate(data.test_x, data.test_y).accuracy > 0.65


def test_a_class_without_weights_is_named() -> None:
    net = network()
    masks = {name: np.ones(weight.shape, bool) for name, weight in net.weights.items()}
    masks["4.weight"][1] = False
    with pytest.warns(
        sf.UnreachableClassWarning, match=r"no path .* to 1 of \d classes: 1$"
    ) as caught:
        net.apply(masks)
    assert caught[0].filename == __file__


def test_classes_that_no_path_leads_to_are_named_though_they_keep_weights() -> None:
    net = nn.Network([nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4)])
    masks = {"0.weight": np.zeros((3, 2), bool), "2.weight": np.eye(4, 3, dtype=bool)}
    masks["0.weight"][1, 0] = True
    with pytest.warns(sf.UnreachableClassWarning, match=r"to 3 of 4 classes: 0, 2, 3$"):
        net.apply(masks)
    assert (np.ptp(net.predict(np.float32([[1, 2], [-3, 4], [5, 6]])), axis=0) > 0).tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_parameters_take_arrays_in() -> None:
    net = network()
    weight = net.weights["0.weight"]
    net.weights["0.weight"] = np.full(weight.shape, 2)
    assert (weight == 2).all()
    with pytest.raises(sf.ShapeError, match=r"0\.weight has shape"):
        net.weights["0.weight"] = np.zeros(3)
    with pytest.raises(KeyError):
        net.weights["9.weight"] = weight


def test_the_orders_of_neighbouring_seeds_have_nothing_in_common() -> None:
    orders = {
        tuple(sf.permutation(40, seed, stream).tolist())
        for seed in range(4)
        for stream in (0, 1, 1 << 32, (1 << 32) + 1, 2 << 32)
    }
    assert len(orders) == 20


def test_networks_without_layers_are_refused() -> None:
    with pytest.raises(sf.ArchitectureError, match="at least one layer"):
        nn.Network([])
