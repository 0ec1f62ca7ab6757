"""Masked networks compute the same over kept weights alone; their plan says which layers do."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from swiftforce import nn

BATCHES = (200, 20, 7, 1)


def networks(kind: str) -> list[nn.Network]:
    """Two that are equal."""
    layers: dict[str, Any] = {
        "linear": [nn.Linear(192, 40), nn.ReLU(), nn.Linear(40, 30, bias=False), nn.Linear(30, 5)],
        "images": [
            nn.Conv2d(3, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Residual([nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]),
            nn.Conv2d(16, 24, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(24, 24, 1),
            nn.Flatten(),
            nn.Linear(384, 5),
        ],
    }
    return [nn.Network(layers[kind], input_shape=(3, 8, 8), seed=3) for _ in range(2)]


def masks(net: nn.Network, density: float) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    return {name: rng.random(weight.shape) < density for name, weight in net.weights.items()}


def with_biases(net: nn.Network, rng: np.random.Generator) -> nn.Network:
    """No output of a layer is zero then, where a rectifier has a kink."""
    for name, bias in net.biases.items():
        net.biases[name] = rng.standard_normal(bias.shape)
    return net


def without_zeros(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The same weights to rounding, which only dense kernels take."""
    return {name: np.where(w == 0, np.float32(1e-30), w) for name, w in weights.items()}


def data(rng: np.random.Generator, count: int = 227) -> tuple[Any, Any]:
    return rng.standard_normal((count, 3, 8, 8), dtype=np.float32), rng.integers(0, 5, count)


@pytest.mark.filterwarnings("ignore::swiftforce.UnreachableClassWarning")
@pytest.mark.parametrize("kind", ["linear", "images"])
@pytest.mark.parametrize("density", [0, 0.05, 0.2])
def test_it_computes_what_dense_kernels_do(
    kind: str, density: float, rng: np.random.Generator
) -> None:
    (dense, sparse), (x, y) = networks(kind), data(rng)
    dense.apply(masks(dense, density), kernels="dense")
    sparse.apply(masks(sparse, density))
    assert all(layer.kernels == "dense" for layer in dense.plan())
    assert all(layer.kernels == "sparse" for layer in sparse.plan())
    for net in (dense, sparse):
        net.fit(x, y, epochs=2, batch_size=32, learning_rate=0.02, progress=False)
    for name, weight in sparse.parameters.items():
        np.testing.assert_allclose(weight, dense.parameters[name], rtol=1e-3, atol=1e-4)
    for name, mask in masks(sparse, density).items():
        assert not sparse.weights[name][~mask].any()
    for count in BATCHES:
        np.testing.assert_allclose(
            sparse.predict(x[:count]), dense.predict(x[:count]), rtol=1e-3, atol=1e-3
        )


@pytest.mark.filterwarnings("ignore::swiftforce.UnreachableClassWarning")
@pytest.mark.parametrize("make", [lambda: nn.vgg(11), lambda: nn.resnet(18), lambda: nn.resnet(50)])
@pytest.mark.parametrize("density", [0.02, 0.3])
def test_samples_alone_are_computed_as_together(
    make: Callable[[], nn.Network], density: float, rng: np.random.Generator
) -> None:
    net = make()
    net.apply(masks(net, density))
    assert any(layer.kernels == "sparse" for layer in net.plan())
    x = rng.standard_normal((64, 3, 32, 32), dtype=np.float32)
    together = net.predict(x)
    scale = np.abs(together).max()
    for count in (1, 3, 8, 15):
        parts = [net.predict(x[start : start + count]) for start in range(0, 30, count)]
        found = np.concatenate(parts)
        np.testing.assert_allclose(found, together[: len(found)], rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize("kind", ["linear", "images"])
def test_gradients_at_weights_with_zeros(kind: str, rng: np.random.Generator) -> None:
    """A search passes masked weights: zeros are left out of what does not need them."""
    net, (x, y) = with_biases(networks(kind)[0], rng), data(rng, 50)
    kept = masks(net, 0.1)
    masked = {name: weight * kept[name] for name, weight in net.weights.items()}
    tiny = {
        name: np.where(kept[name], weight, np.float32(1e-30)) for name, weight in masked.items()
    }
    found = net.gradients_on(x, y)(masked)
    expected = net.gradients_on(x, y)(tiny)  # no zeros: dense kernels
    of_nonzero = net.gradients_on(x, y).of_nonzero(masked)
    for name, gradient in expected.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(found[name], gradient, rtol=0, atol=1e-5 * scale)
        np.testing.assert_allclose(
            of_nonzero[name], np.where(kept[name], gradient, 0), rtol=0, atol=1e-5 * scale
        )


@pytest.mark.parametrize("method", ["iterative_snip", "force"])
def test_searches_find_masks_of_dense_gradients(method: str, rng: np.random.Generator) -> None:
    net, (x, y) = with_biases(networks("images")[0], rng), data(rng, 64)
    options: dict[str, Any] = {"method": method, "sparsity": 0.85, "steps": 8}
    found = sf.prune(net.weights, net.gradients_on(x, y), **options)
    gradients = net.gradients_on(x, y)
    expected = sf.prune(net.weights, lambda w: gradients(without_zeros(w)), **options)
    for name, mask in expected.masks.items():
        assert np.mean(mask != found.masks[name]) < 2e-3  # sums in another order


def test_the_plan_follows_the_density() -> None:
    net = networks("images")[0]
    assert [layer.name for layer in net.plan()] == list(net.weights)
    assert all(layer.density == 1 and layer.kernels == "dense" for layer in net.plan())
    assert {layer.reason for layer in net.plan()} == {"no masks"}
    net.apply(masks(net, 0.95))
    assert all(layer.kernels == "dense" for layer in net.plan())
    limits = {"v2": {65, 55, 35}, "v3": {50, 35}, "v4": {70, 55, 35}}[sf.cpu_levels()[0][-2:]]
    assert {layer.reason for layer in net.plan()} <= {f"more than {n}% kept" for n in limits}
    net.apply(masks(net, 0.05), kernels="dense")
    assert {layer.reason for layer in net.plan()} == {"kernels='dense'"}
    net.apply(masks(net, 0.05))
    plan = net.plan()
    assert all(layer.kernels == "sparse" for layer in plan)
    assert [layer.kept for layer in plan] == [m.sum() for m in masks(net, 0.05).values()]
    assert "sparse" in repr(plan) and "<table" in plan._repr_html_()
    card = net._repr_html_()
    kept, size = sum(layer.kept for layer in plan), net.weights.size
    assert f"{size:,} weights, {kept:,} kept" in card and plan._repr_html_() in card
    assert len(plan) == len(plan[:]) == len(list(plan))
    net.apply(None, kernels="dense")
    assert {layer.reason for layer in net.plan()} == {"no masks"}


def test_depthwise_layers_have_no_sparse_kernels() -> None:
    net = nn.Network(
        [nn.Conv2d(4, 4, 3, groups=4), nn.Flatten(), nn.Linear(16, 2)], input_shape=(4, 4, 4)
    )
    net.apply(
        {name: np.arange(np.prod(s)).reshape(s) % 4 == 0 for name, s in net.weights.shapes.items()}
    )
    assert [layer.reason for layer in net.plan()] == ["no sparse kernels", "at most 35% kept"]


def test_copies_and_pickles_compute_likewise() -> None:
    net = networks("linear")[0]
    for kernels in ("auto", "dense"):
        net.apply(masks(net, 0.1), kernels=kernels)
        for other in (net.copy(), pickle.loads(pickle.dumps(net))):
            assert other.plan() == net.plan()
            assert hash(other.plan()) == hash(net.plan())


def test_other_kernels_are_refused() -> None:
    net = networks("linear")[0]
    with pytest.raises(sf.HyperparameterError, match="'auto' or 'dense', not 'fast'"):
        net.apply(masks(net, 0.1), kernels="fast")  # type: ignore[arg-type]
    assert net.masks is None


def test_momentum_and_masks_change_during_training(rng: np.random.Generator) -> None:
    """Masks that a callback applies, from dense to sparse and back, leave momentum as it is."""
    nets, (x, y) = networks("images"), data(rng, 96)
    for net, kernels in zip(nets, ("dense", "auto"), strict=True):

        def change(epoch: nn.Epoch, net: nn.Network = net, kernels: Any = kernels) -> None:
            net.apply(masks(net, [0.6, 0.2, 0.1, 0.7][epoch.epoch - 1]), kernels=kernels)

        net.fit(x, y, epochs=4, batch_size=32, learning_rate=0.02, on_epoch=change, progress=False)
    for name, weight in nets[0].weights.items():
        np.testing.assert_allclose(nets[1].weights[name], weight, rtol=1e-3, atol=1e-4)
