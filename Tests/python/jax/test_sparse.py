"""Removed weights are zero, and any optimizer keeps them zero."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")

import jax
import jax.numpy as jnp
import swiftforce.jax as sfj
from pytree_models import Params, mlp, mlp_batches, mlp_loss


def test_apply_selects_and_never_multiplies() -> None:
    params = {"w": jnp.array([jnp.nan, -jnp.inf, -1.0, -2.0]), "n": jnp.arange(2)}
    masks = {"w": jnp.array([False, False, False, True]), "n": jnp.ones(2, bool)}
    for applied in (sfj.apply(params, masks), jax.jit(sfj.apply)(params, masks)):
        assert np.asarray(applied["w"]).tobytes() == np.float32([0, 0, 0, -2]).tobytes()
        assert applied["n"].tolist() == [0, 1]


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (6,)])
def test_apply_broadcasts_nothing(shape: tuple[int, ...]) -> None:
    with pytest.raises(sf.ShapeError, match=r"^a/w has shape \(3, 2\) and its mask"):
        sfj.apply({"a": {"w": jnp.ones((3, 2))}}, {"a": {"w": jnp.ones(shape, bool)}})


def test_apply_needs_the_same_structure() -> None:
    with pytest.raises(ValueError, match=r"structure|key"):
        sfj.apply({"a": jnp.ones(2)}, {"b": jnp.ones(2, bool)})


OPTIMIZERS = {
    "momentum": lambda optax: optax.sgd(0.1, momentum=0.9),
    "nesterov": lambda optax: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": lambda optax: optax.adam(0.01),
    "adamw": lambda optax: optax.adamw(0.01, weight_decay=0.1),
    "decayed": lambda optax: optax.chain(optax.add_decayed_weights(0.1), optax.rmsprop(0.01)),
}


def trained(optimizer: Any, params: Params, after: Callable[[Params], Params]) -> Params:
    import optax

    state = optimizer.init(params)
    for batch in mlp_batches(8):
        updates, state = optimizer.update(jax.grad(mlp_loss)(params, batch), state, params)
        params = after(optax.apply_updates(params, updates))
    return params


@pytest.fixture
def masks() -> Params:
    return sfj.force(mlp(), mlp_loss, mlp_batches(), sparsity=0.7, steps=4).masks


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_removed_weights_stay_zero_and_others_train_as_by_hand(name: str, masks: Params) -> None:
    optax = pytest.importorskip("optax", reason="optax is not installed")
    optimizer, start = OPTIMIZERS[name](optax), sfj.apply(mlp(), masks)
    kept = trained(optax.chain(optimizer, sfj.keep_removed_zero(masks)), start, lambda p: p)
    by_hand = trained(optimizer, start, lambda p: jax.tree.map(jnp.where, masks, p, zeros(p)))
    moved = trained(optimizer, start, lambda p: p)
    for layer in ("hidden", "output"):
        removed = ~np.asarray(masks[layer]["kernel"])
        assert not np.asarray(kept[layer]["kernel"])[removed].any()
        assert np.asarray(moved[layer]["kernel"])[removed].any()  # without masks they change
    same = jax.tree.map(np.array_equal, kept, by_hand)
    assert all(jax.tree.leaves(same)), same


def zeros(tree: Params) -> Params:
    return jax.tree.map(jnp.zeros_like, tree)


@pytest.mark.slow
def test_a_compiled_step_may_donate_its_buffers(masks: Params) -> None:
    optax = pytest.importorskip("optax", reason="optax is not installed")
    optimizer = optax.chain(optax.adamw(0.01, weight_decay=0.1), sfj.keep_removed_zero(masks))
    params = sfj.apply(mlp(), masks)
    by_hand = trained(optimizer, params, lambda p: p)

    def step(params: Params, state: Any, batch: Any) -> tuple[Params, Any]:
        updates, state = optimizer.update(jax.grad(mlp_loss)(params, batch), state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))
    state = jax.jit(optimizer.init)(params)
    for batch in mlp_batches(8):
        params, state = compiled(params, state, batch)
    for leaf, hand, mask in zip(*map(jax.tree.leaves, (params, by_hand, masks)), strict=True):
        assert not np.asarray(leaf)[~np.asarray(mask)].any()  # the masks were not donated
        np.testing.assert_allclose(leaf, hand, rtol=1e-4, atol=1e-6)


def test_masks_in_the_state_are_copies(masks: Params) -> None:
    pytest.importorskip("optax", reason="optax is not installed")
    state = sfj.keep_removed_zero(masks).init(mlp())
    for leaf in jax.tree.leaves(state):
        leaf.delete()
    assert not any(mask.is_deleted() for mask in jax.tree.leaves(masks))


def test_updates_of_another_shape_are_refused(masks: Params) -> None:
    pytest.importorskip("optax", reason="optax is not installed")
    keeping = sfj.keep_removed_zero(masks)
    updates = mlp()
    updates["output"]["kernel"] = updates["output"]["kernel"].T
    with pytest.raises(sf.ShapeError, match="output/kernel"):
        keeping.update(updates, keeping.init(updates))


def test_without_optax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(ImportError, match="keep_removed_zero needs optax"):
        sfj.keep_removed_zero({})


def test_a_result_is_accepted_as_masks() -> None:
    params = {"w": jnp.arange(4.0).reshape(2, 2)}
    pruning = sfj.prune(params, method="magnitude", sparsity=0.5)
    assert sfj.apply(params, pruning)["w"].tolist() == [[0, 0], [2, 3]]
    update = sfj.keep_removed_zero(pruning)
    assert update.update(params, update.init(params))[0]["w"].tolist() == [[0, 0], [2, 3]]


def test_masks_must_be_bool() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match="mask of w has dtype float32"):
        sfj.apply({"w": jnp.ones(2)}, {"w": jnp.ones(2)})
