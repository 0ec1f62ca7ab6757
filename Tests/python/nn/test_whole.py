"""A call that raises leaves the network as it was, or as its documentation says."""

from __future__ import annotations

import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from dense_network import half, network, parameters
from interrupts import interrupted_calls
from kinds import blobs
from oracle import assert_same_masks
from swiftforce import _core, nn

Samples = tuple[np.ndarray, np.ndarray]


def normalised() -> nn.Network:
    """With running statistics, which training changes, too."""
    return nn.Network(
        [
            nn.Conv2d(1, 3, 3, bias=False),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(12, 3),
        ],
        input_shape=(1, 4, 4),
        seed=3,
    )


def images(n: int) -> Samples:
    rng = np.random.default_rng(4)
    return rng.standard_normal((n, 1, 4, 4)).astype(np.float32), rng.integers(0, 3, n)


NETWORKS: dict[str, tuple[Callable[[], nn.Network], Callable[[int], Samples]]] = {
    "dense": (network, blobs),
    "normalised": (normalised, images),
}


# ------------------------------------------------------------------------- training


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 3e38, "momentum": 0},
        {"learning_rate": 1e19, "momentum": 0.9},
        {"learning_rate": 0.01, "milestones": (2,), "gamma": 1e36},
    ],
)
def test_training_that_diverges_puts_all_parameters_back(kind: str, options: Any) -> None:
    make, samples = NETWORKS[kind]
    net, (x, y) = make(), samples(64)
    net.fit(x, y, epochs=1, batch_size=16)
    masks = half(net)
    net.apply(masks)
    before, epochs = parameters(net), []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(sf.DivergedError, match="lower the learning rate"):
            net.fit(x, y, batch_size=16, epochs=9, on_epoch=epochs.append, **options)
    assert ("milestones" in options) == (len(epochs) == 2)
    assert parameters(net) == before
    assert_same_masks(net.masks, masks)
    # And it learns with other settings as if nothing had been.
    other = net.copy()
    assert net.fit(x, y, learning_rate=0.01) == other.fit(x, y, learning_rate=0.01)
    assert parameters(net) == parameters(other)


def test_a_parameter_that_overflows_in_the_last_step_is_put_back() -> None:
    net, (x, y) = network(), blobs(10)
    before = parameters(net)
    with pytest.raises(sf.DivergedError, match=r"the largest of \d\.\w+ is (inf|nan) in epoch 1"):
        net.fit(x, y, batch_size=10, learning_rate=3e38, weight_decay=3e38)
    assert parameters(net) == before


def test_masks_that_a_callback_applied_hold_after_a_divergence() -> None:
    net, (x, y) = network(), blobs(64)
    masks = half(net)

    def prune(epoch: nn.Epoch) -> None:
        net.apply(masks)

    before = {name: array.copy() for name, array in net.parameters.items()}
    with pytest.raises(sf.DivergedError):
        net.fit(x, y, epochs=9, milestones=(1,), gamma=1e38, learning_rate=1.0, on_epoch=prune)
    for name, array in net.parameters.items():
        kept = masks.get(name, True)
        assert array.tobytes() == np.where(kept, before[name], np.float32(0)).tobytes()


@pytest.mark.parametrize("error", [sf.AllocationError, sf.InUseError, MemoryError])
@pytest.mark.parametrize("masked", [False, True])
def test_an_error_of_the_engine_puts_all_parameters_back(
    error: type[Exception], masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, (x, y) = network(), blobs(64)
    before = {name: array.copy() for name, array in net.parameters.items()}
    masks = half(net) if masked else {}
    native, calls = _core.network_train, []

    def train(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 6:
            raise error("no memory")
        return native(*arguments)

    monkeypatch.setattr(_core, "network_train", train)
    with pytest.raises(error):
        net.fit(
            x, y, epochs=3, batch_size=16, on_epoch=lambda _: net.apply(masks) if masked else None
        )
    for name, array in net.parameters.items():
        kept = masks.get(name, True)
        assert array.tobytes() == np.where(kept, before[name], np.float32(0)).tobytes()


def test_rates_that_would_overflow_are_refused_before_the_first_step() -> None:
    net, (x, y) = network(), blobs(20)
    before = parameters(net)
    for gamma, milestones in ((1e300, (1, 2)), (1e308, (1,)), (1e40, (2,))):
        with pytest.raises(sf.HyperparameterError, match=r"rate of epoch \d would be"):
            net.fit(x, y, epochs=4, gamma=gamma, milestones=milestones)
    with pytest.raises(sf.HyperparameterError, match="epoch 1"):
        net.fit(x, y, learning_rate=1e39)
    assert parameters(net) == before
    # Milestones that are never reached do not matter.
    assert len(net.fit(x, y, epochs=1, gamma=1e300, milestones=(1, 2))) == 1


def test_what_a_callback_raises_keeps_whole_epochs() -> None:
    (x, y), net, other = blobs(40), network(), network()

    def stop(epoch: nn.Epoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.fit(x, y, epochs=5, on_epoch=stop)
    other.fit(x, y, epochs=2)
    assert parameters(net) == parameters(other)


# ------------------------------------------------------------------------- calls within calls


def test_fit_within_fit_is_refused() -> None:
    (x, y), net, other = blobs(40), network(), network()
    errors = []

    def nested(epoch: nn.Epoch) -> None:
        before = parameters(net)
        with pytest.raises(sf.InUseError, match="fit on this network is under way in this thread"):
            net.fit(x, y, learning_rate=0.5)
        assert parameters(net) == before
        errors.append(epoch)

    assert net.fit(x, y, epochs=3, on_epoch=nested) == other.fit(x, y, epochs=3)
    assert len(errors) == 3
    assert parameters(net) == parameters(other)
    net.fit(x, y)


def test_a_callback_may_ask_and_prune() -> None:
    (x, y), net = blobs(40), network()
    masks, copies = half(net), []

    def work(epoch: nn.Epoch) -> None:
        net.evaluate(x, y)
        net.predict(x)
        net.gradients_on(x, y)(net.weights)
        net.apply(masks)
        copies.append(net.copy())
        copies[-1].fit(x, y)

    net.fit(x, y, epochs=2, on_epoch=work)
    assert_same_masks(net.masks, masks)
    assert len(copies) == 2


def test_fits_of_two_threads_take_turns() -> None:
    (x, y), net, other = blobs(64), network(), network()

    def trained(target: nn.Network) -> None:
        target.fit(x, y, epochs=5, batch_size=4, on_epoch=lambda _: time.sleep(0.005))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(trained, [net, net]))
    trained(other)
    trained(other)
    assert parameters(net) == parameters(other)


def test_other_calls_go_between_the_batches_of_a_fit() -> None:
    (x, y), net = blobs(64), network()
    asked = threading.Event()

    def ask() -> None:
        net.evaluate(x, y)
        asked.set()

    def wait(_: nn.Epoch) -> None:
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        assert asked.wait(20)

    net.fit(x, y, on_epoch=wait)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_signal_handler_may_not_apply_within_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    masks, others = half(net), {name: np.ones(w.shape, bool) for name, w in net.weights.items()}
    errors = []

    def handler(number: int, frame: FrameType | None) -> None:
        try:
            net.apply(others)
        except sf.InUseError as error:
            errors.append(error)

    native = _core.network_apply

    def apply_with_signals(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGUSR1)
        native(*arguments)
        signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(_core, "network_apply", apply_with_signals)
            net.apply(masks)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(errors) == 2
    assert_same_masks(net.masks, masks)


# ------------------------------------------------------------------------- masks


def test_masks_that_warn_as_errors_are_not_applied() -> None:
    net = network()
    first = half(net)
    net.apply(first)
    before = parameters(net)
    none = {name: np.zeros(weight.shape, bool) for name, weight in net.weights.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(sf.UnreachableClassWarning, match="3 of 3 classes"):
            net.apply(none)
    assert parameters(net) == before
    assert_same_masks(net.masks, first)
    with pytest.warns(sf.UnreachableClassWarning):
        net.apply(none)
    assert_same_masks(net.masks, none)


def test_masks_are_applied_or_are_not() -> None:
    made = network()
    first, second = half(made), {name: ~mask for name, mask in half(made).items()}

    def make() -> nn.Network:
        net = network()
        net.apply(first)
        return net

    applied = []
    for net in interrupted_calls(make, lambda net: net.apply(second)):
        masks = net.masks
        applied.append(all((masks[name] == second[name]).all() for name in second))
        expected = make()
        if applied[-1]:
            expected.apply(second)
        assert_same_masks(masks, expected.masks)
        assert parameters(net) == parameters(expected)
        # The core has the same masks: training keeps to them.
        net.fit(*blobs(20))
        expected.fit(*blobs(20))
        assert parameters(net) == parameters(expected)
    assert set(applied) == {False, True}


# ------------------------------------------------------------------------- interrupts elsewhere


@pytest.mark.parametrize(
    "call",
    [
        lambda net, x, y: net.evaluate(x, y),
        lambda net, x, y: net.predict(x),
        lambda net, x, y: net.copy(),
        lambda net, x, y: net.gradients_on(x, y)(net.weights),
    ],
)
def test_interrupted_questions_change_nothing(call: Any) -> None:
    x, y = blobs(10)
    before = parameters(network())
    for net in interrupted_calls(network, lambda net: call(net, x, y)):
        assert parameters(net) == before


def test_interrupted_training_keeps_its_steps() -> None:
    (x, y), stages, net = blobs(8), [], network()
    stages.append(parameters(net))
    for _ in range(4):
        net = network()
        net.fit(x, y, batch_size=8, epochs=len(stages))
        stages.append(parameters(net))
    reached = set()
    for net in interrupted_calls(network, lambda net: net.fit(x, y, batch_size=8, epochs=4)):
        reached.add(stages.index(parameters(net)))
        # It is free for another call.
        net.fit(x, y, epochs=1)
    assert reached == {0, 1, 2, 3, 4}


def test_a_parameter_is_written_or_is_not() -> None:
    new = np.arange(6 * 8, dtype=float)
    written = []

    def write(net: nn.Network) -> None:
        net.weights["0.weight"] = new.reshape(net.weights["0.weight"].shape)

    size = network().weights["0.weight"].size
    new = np.arange(size, dtype=float)
    before = network().weights["0.weight"].tobytes()
    for net in interrupted_calls(network, write):
        found = net.weights["0.weight"]
        written.append(found.tobytes() != before)
        assert not written[-1] or (found.reshape(-1) == new).all()
    assert not written[0]


@pytest.mark.parametrize(
    ("value", "error"),
    [(1e300, RuntimeWarning), (1j, sf.UnsupportedTypeError), ("1", sf.UnsupportedTypeError)],
)
def test_values_that_a_parameter_does_not_take(value: Any, error: type[Exception]) -> None:
    net = network()
    before = parameters(net)
    shape = net.weights["0.weight"].shape
    values = np.full(shape, 1, object)
    values.flat[-1] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error):
            net.weights["0.weight"] = np.array(values.tolist())
    with pytest.raises(sf.UnsupportedTypeError, match="real numbers"):
        net.weights["0.weight"] = values
    assert parameters(net) == before


# ------------------------------------------------------------------------- gradients


def test_gradients_that_fail_leave_their_batches_to_the_next_call() -> None:
    (x, y), net = blobs(24), network()
    expected = net.gradients_on(x, y, batch_size=8, batches_per_step=2, seed=1)
    gradients = net.gradients_on(x, y, batch_size=8, batches_per_step=2, seed=1)
    bad = {name: weight.copy() for name, weight in net.weights.items()}
    bad["0.weight"].flat[0] = np.nan
    for _ in range(4):
        with pytest.raises(sf.StructureError):
            gradients({})
        found, right = gradients(net.weights), expected(net.weights)
        assert all(found[name].tobytes() == right[name].tobytes() for name in right)


def test_interrupted_gradients_leave_their_batches_to_the_next_call() -> None:
    (x, y), net = blobs(24), network()
    first, second = (
        gradients(net.weights)
        for gradients in [net.gradients_on(x, y, batch_size=8, seed=1)]
        for _ in range(2)
    )
    seen = set()
    for gradients in interrupted_calls(
        lambda: net.gradients_on(x, y, batch_size=8, seed=1), lambda g: g(net.weights)
    ):
        found = gradients(net.weights)["0.weight"].tobytes()
        assert found in (first["0.weight"].tobytes(), second["0.weight"].tobytes())
        seen.add(found)
        assert gradients._next in (1, 2)
    assert first["0.weight"].tobytes() in seen


def test_gradients_that_overflow_are_found_by_the_search() -> None:
    """No warning of numpy reaches the user first, also where warnings are errors."""
    net, (x, y) = normalised(), images(12)
    gradients = net.gradients_on(x, y, batch_size=8, batches_per_step=2)
    big = {name: np.full(weight.shape, 3e38, np.float32) for name, weight in net.weights.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gradients(big)
        with pytest.raises(sf.NonFiniteError):
            sf.snip(net.weights, found, sparsity=0.5)
