"""Damped searches of a pytree, their objective, and the loss of the published code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs jax")
import jax.numpy as jnp  # noqa: E402
import swiftforce as sf  # noqa: E402
import swiftforce.jax as sfj  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

RNG = np.random.default_rng(0)
PARAMS = {
    "a": {"kernel": jnp.asarray(RNG.standard_normal((6, 50)), jnp.float32)},
    "b": {"kernel": jnp.asarray(RNG.standard_normal((50, 3)), jnp.float32)},
}
BATCHES = [RNG.standard_normal((8, 6)).astype(np.float32) for _ in range(4)]
OPTIONS: dict[str, Any] = {"keep": 20, "steps": 6}


def loss(tree: Any, batch: Any) -> Any:
    return jnp.mean((jnp.tanh(batch @ tree["a"]["kernel"]) @ tree["b"]["kernel"] - 1) ** 2)


def as_numpy(tree: Any) -> dict[str, Any]:
    return {name: np.asarray(tree[name]["kernel"]) for name in tree}


def gradients() -> Any:
    batches = iter(BATCHES * 3)

    def at(masked: dict[str, Any]) -> dict[str, Any]:
        tree = {name: {"kernel": jnp.asarray(array)} for name, array in masked.items()}
        return as_numpy(jax.jit(jax.grad(loss))(tree, next(batches)))

    return at


@pytest.mark.parametrize(
    "damping", [{}, {"momentum": 0.9}, {"nested_from": 0.5, "removed_factor": 0.25}], ids=str
)
def test_masks_are_those_of_the_numpy_function(damping: dict[str, Any]) -> None:
    found = sfj.force(PARAMS, loss, BATCHES, **OPTIONS, **damping, objective=True)
    expected = sf.force(as_numpy(PARAMS), gradients(), **OPTIONS, **damping, objective=True)
    for name, mask in expected.masks.items():
        assert (np.asarray(found.masks[name]["kernel"]) == mask).all(), name
    assert found.damping == expected.damping
    assert found.objective == pytest.approx(expected.objective, rel=1e-5)
    assert sfj.force(PARAMS, loss, BATCHES, **OPTIONS, **damping).objective is None


def test_other_methods() -> None:
    for method in ("iterative_snip", "grasp_it"):
        found = sfj.prune(PARAMS, loss, BATCHES, method=method, **OPTIONS, momentum=0.5)
        assert found.damping == sf.Damping(0.5)
    assert sfj.iterative_snip(PARAMS, loss, BATCHES, **OPTIONS, momentum=0.5, objective=True)


@pytest.mark.parametrize(
    ("method", "options", "why"),
    [
        ("magnitude", {"objective": True}, "objective is for"),
        ("magnitude", {"momentum": 0.5}, "momentum must be 0"),
        ("iterative_snip", {"removed_factor": 0.5}, "removed_factor must be 1"),
    ],
)
def test_what_is_refused(method: Any, options: dict[str, Any], why: str) -> None:
    with pytest.raises(sf.HyperparameterError, match=why):
        sfj.prune(PARAMS, loss, BATCHES, method=method, keep=20, **options)


@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4), (4,)])
def test_target_logit(shape: tuple[int, ...]) -> None:
    logits = RNG.standard_normal(shape).astype(np.float32)
    labels = RNG.integers(0, 4, shape[:-1])
    chosen = logits.reshape(-1, 4)[np.arange(labels.size), labels.reshape(-1)]
    assert float(sfj.losses.target_logit(logits, labels)) == pytest.approx(-chosen.mean())
    slopes = jax.grad(lambda z: sfj.losses.target_logit(z, labels))(jnp.asarray(logits))
    assert float(slopes.sum()) == pytest.approx(-1)
    assert np.count_nonzero(np.asarray(slopes)) == labels.size
