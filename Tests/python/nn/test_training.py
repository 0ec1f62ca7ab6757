"""Training: steps by hand, masks during training, reports of epochs, wrong settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from dense_network import LAYERS, assert_exact_zeros, half, network, parameters
from kinds import blobs
from oracle import assert_same_masks
from swiftforce import nn

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


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
    """Neither from before it was removed nor from while it was removed."""
    net, (x, y) = network(), blobs(60)
    masks = half(net)
    at_lifting: dict[str, Any] = {}

    def change(epoch: nn.Epoch) -> None:
        if epoch.epoch == 2:
            net.apply(masks)
        if epoch.epoch == 2 + masked_for:
            net.apply(None)
            at_lifting.update(net.gradients_on(x, y, loss="cross_entropy")(net.weights))

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
    """Without decay and at a tiny rate, the steps sum to one step on all samples."""
    x, y = blobs(21)
    net = network()
    start = {name: weight.astype(np.float64) for name, weight in net.weights.items()}
    gradient = net.gradients_on(x, y, loss="cross_entropy")(net.weights)
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


def test_progress_shows_a_bar_or_none(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    net, (x, y) = network(), blobs(40)
    net.fit(x, y, epochs=2, progress=True)
    shown = capsys.readouterr().err
    assert "epoch 1/2" in shown
    assert "epoch 2/2" in shown
    net.fit(x, y, epochs=2, progress=False)
    net.fit(x, y, epochs=2)
    assert capsys.readouterr().err == ""
