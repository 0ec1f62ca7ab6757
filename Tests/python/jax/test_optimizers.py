"""With any optimizer of optax, and inside any of its wrappers, removed weights are zero."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")
pytest.importorskip("optax", reason="optax is an extra: pip install 'swiftforce[jax]'")

import jax
import jax.numpy as jnp
import optax
import swiftforce.jax as sfj
from pytree_models import Params, mlp, mlp_batches, mlp_loss

#: Compiled once for all optimizers.
GRADIENT = jax.jit(jax.grad(mlp_loss))

OPTIMIZERS = {
    "momentum": lambda: optax.sgd(0.1, momentum=0.9),
    "nesterov": lambda: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: optax.adam(0.01),
    "adamw": lambda: optax.adamw(0.01, weight_decay=0.1),
    "decayed": lambda: optax.chain(optax.add_decayed_weights(0.1), optax.rmsprop(0.01)),
}


def trained(optimizer: Any, params: Params, after: Callable[[Params], Params]) -> Params:
    state = optimizer.init(params)
    for batch in mlp_batches(8):
        updates, state = optimizer.update(GRADIENT(params, batch), state, params)
        params = after(optax.apply_updates(params, updates))
    return params


@pytest.fixture(scope="module")
def masks() -> Params:
    return sfj.force(mlp(), mlp_loss, mlp_batches(), sparsity=0.7, steps=4).masks


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_removed_weights_stay_zero_and_others_train_as_by_hand(name: str, masks: Params) -> None:
    optimizer, start = OPTIMIZERS[name](), sfj.apply(mlp(), masks)
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
    state = sfj.keep_removed_zero(masks).init(mlp())
    for leaf in jax.tree.leaves(state):
        leaf.delete()
    assert not any(mask.is_deleted() for mask in jax.tree.leaves(masks))


def test_updates_of_another_shape_are_refused(masks: Params) -> None:
    keeping = sfj.keep_removed_zero(masks)
    updates = mlp()
    updates["output"]["kernel"] = updates["output"]["kernel"].T
    with pytest.raises(sf.ShapeError, match="output/kernel"):
        keeping.update(updates, keeping.init(mlp()), mlp())
    with pytest.raises(sf.ShapeError, match="output/kernel"):
        keeping.init(updates)


def test_without_optax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(ImportError, match="keep_removed_zero needs optax"):
        sfj.keep_removed_zero({})
    with pytest.raises(ImportError, match="wrap_optax needs optax"):
        sfj.wrap_optax(optax.sgd(0.1), {})


#: All optimizers of optax that take gradients alone, by their names there.
RATES = """
    adabelief adadelta adafactor adagrad adam adamax adamaxw adamw adan amsgrad fromage lamb lars
    lbfgs lion nadam nadamw noisy_sgd novograd radam rmsprop rprop sgd sign_sgd signum sm3 yogi
"""
CONTRIBUTED = "acprop ademamix adopt cocob dadapt_adamw dog dowg madgrad muon prodigy"
SCHEDULE_FREE = ("schedule_free_sgd", "schedule_free_adamw")


def by_name(name: str) -> Any:
    kind = getattr(optax.contrib if name in (*CONTRIBUTED.split(), *SCHEDULE_FREE) else optax, name)
    if name == "lbfgs":
        return kind(0.05, linesearch=None)
    options = {"key": 0} if name == "noisy_sgd" else {}
    return kind() if name == "cocob" else kind(0.05, **options)


def keeping(optimizer: Any, masks: Params) -> Any:
    return optax.chain(optimizer, sfj.keep_removed_zero(masks))


FORMS = {"chain": keeping, "wrapped": sfj.wrap_optax}


def removed_left(params: Params, masks: Params) -> int:
    """How many removed weights are not exactly zero."""
    left = jax.tree.map(lambda leaf, mask: int(jnp.count_nonzero(leaf[~mask])), params, masks)
    return sum(jax.tree.leaves(left))


def steps(optimizer: Any, params: Params, count: int = 5) -> tuple[Params, Any]:
    """Parameters and state after compiled steps."""

    @jax.jit
    def step(grads: Params, state: Any, params: Params) -> tuple[Params, Any]:
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for batch in mlp_batches(count):
        params, state = step(GRADIENT(getattr(params, "fast", params), batch), state, params)
    return params, state


@pytest.fixture(scope="module")
def half() -> Params:
    return sfj.prune(mlp(), method="random", sparsity=0.5).masks


def in_turn() -> list[tuple[str, str]]:
    """Each optimizer in one of the forms, and those whose parameters are a state in both."""
    names = [*RATES.split(), *CONTRIBUTED.split()]
    found = [(name, list(FORMS)[place % len(FORMS)]) for place, name in enumerate(names)]
    return [*found, *((name, form) for name in SCHEDULE_FREE for form in FORMS)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), in_turn())
def test_weights_that_come_in_dense_are_zero_after_the_steps_of_any_optimizer(
    name: str, form: str, half: Params
) -> None:
    assert removed_left(mlp(), half)
    params, _ = steps(FORMS[form](by_name(name), half), mlp())
    assert not removed_left(params, half)
    moved = jax.tree.map(lambda leaf, first: bool((leaf != first).any()), params, mlp())
    assert any(jax.tree.leaves(moved))


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULE_FREE)
def test_parameters_for_evaluation_are_zero_too(name: str, half: Params) -> None:
    for start in (mlp(), sfj.apply(mlp(), half)):
        params, state = steps(sfj.wrap_optax(by_name(name), half), start)
        inner = state.inner_state
        assert not removed_left(optax.contrib.schedule_free_eval_params(inner, params), half)
    # Behind the optimizer alone, its own sequence of parameters is dense; `apply` removes that.
    params, state = steps(keeping(by_name(name), half), sfj.apply(mlp(), half))
    dense = optax.contrib.schedule_free_eval_params(state[0], params)
    assert removed_left(dense, half) and not removed_left(sfj.apply(dense, half), half)


def grouped(masks: Params) -> Any:
    inner = optax.chain(optax.adamw(0.1), sfj.keep_removed_zero(masks))
    return optax.multi_transform(
        {"a": inner, "b": optax.chain(optax.sgd(0.1), sfj.keep_removed_zero(masks))},
        {"hidden": "a", "output": "b"},
    )


def by_leaf(masks: Params) -> Any:
    inner = optax.chain(optax.adamw(0.1), sfj.keep_removed_zero(masks))
    weights = jax.tree.map(lambda leaf: leaf.ndim == 2, masks)
    return optax.masked(inner, weights)


PLACES = {
    "masked": by_leaf,
    "multi_transform": grouped,
    "flatten": lambda masks: optax.flatten(keeping(optax.adamw(0.1), masks)),
    "multi_steps": lambda masks: optax.MultiSteps(keeping(optax.adamw(0.1), masks), 2),
    "after_multi_steps": lambda masks: keeping(
        optax.MultiSteps(optax.adamw(0.1), 2).gradient_transformation(), masks
    ),
    "apply_if_finite": lambda masks: optax.apply_if_finite(keeping(optax.adamw(0.1), masks), 3),
    "schedule_free": lambda masks: optax.contrib.schedule_free(keeping(optax.sgd(0.1), masks), 0.1),
    "inject_hyperparams": lambda masks: optax.inject_hyperparams(
        lambda rate: keeping(optax.adamw(rate), masks)
    )(rate=0.1),
    "before_and_after": lambda masks: optax.chain(
        sfj.keep_removed_zero(masks),
        optax.clip_by_global_norm(1.0),
        optax.adamw(0.1),
        sfj.keep_removed_zero(masks),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_wrappers_of_optax_may_be_around_it(place: str, half: Params) -> None:
    params, _ = steps(PLACES[place](half), mlp(), count=6)
    assert not removed_left(params, half)


@pytest.mark.slow
def test_lookahead_from_inside_and_from_outside(half: Params) -> None:
    start = optax.LookaheadParams.init_synced(sfj.apply(mlp(), half))
    inside = optax.lookahead(keeping(optax.adamw(0.1), half), 2, 0.5)
    params, _ = steps(inside, start)
    assert not removed_left(params.fast, half) and not removed_left(params.slow, half)
    dense = optax.LookaheadParams.init_synced(mlp())
    for outside in FORMS.values():
        params, _ = steps(outside(optax.lookahead(optax.adamw(0.1), 2, 0.5), half), dense)
        assert not removed_left(params.fast, half) and not removed_left(params.slow, half)


def test_clipping_inside_sees_the_norm_of_kept_weights(half: Params) -> None:
    params = mlp()
    grads = jax.tree.map(lambda mask: jnp.where(mask, 0.1, 100.0), half)
    optimizer = sfj.wrap_optax(optax.clip_by_global_norm(1e3), half)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert all(jax.tree.leaves(jax.tree.map(lambda u, m: bool((u[m] == 0.1).all()), updates, half)))


def test_what_is_none_or_missing_is_passed_through() -> None:
    masks = {"a": jnp.array([True, False]), "b": jnp.array([False, True]), "c": jnp.ones(2, bool)}
    optimizer = sfj.keep_removed_zero(masks)
    params = {"a": jnp.ones(2), "b": None, "new": jnp.ones(3), "count": 7}
    updates = {"a": jnp.full(2, 0.5), "b": None, "new": jnp.ones(3), "count": None}
    updates, _ = optimizer.update(updates, optimizer.init(params), params)
    assert updates["a"].tolist() == [0.5, -1] and updates["new"].tolist() == [1, 1, 1]
    assert updates["b"] is None and updates["count"] is None
    with pytest.raises(sf.StructureError, match="no mask is of new"):
        optimizer.init({"new": jnp.ones(3)})


@pytest.mark.parametrize("form", FORMS)
def test_parameters_are_needed(form: str) -> None:
    masks = {"w": jnp.array([True, False])}
    optimizer = FORMS[form](optax.sgd(0.1), masks)
    state = optimizer.init({"w": jnp.ones(2)})
    with pytest.raises(sf.StructureError, match=r"call optimizer.update\(updates, state, params"):
        optimizer.update({"w": jnp.ones(2)}, state)
    with pytest.raises(sf.StructureError, match="params have no leaf w of shape"):
        sfj.keep_removed_zero(masks).update(
            {"w": jnp.ones(2)}, sfj.keep_removed_zero(masks).init({"w": jnp.ones(2)}), {}
        )


@pytest.mark.parametrize(("update", "weight"), [("bfloat16", "float32"), ("float16", "bfloat16")])
def test_updates_of_a_narrower_type_remove_exactly(update: str, weight: str) -> None:
    params = {"w": jnp.array([1 / 3, 1e-6], weight)}
    optimizer = sfj.keep_removed_zero({"w": jnp.zeros(2, bool)})
    updates = {"w": jnp.ones(2, update)}
    updates, _ = optimizer.update(updates, optimizer.init(params), params)
    assert optax.apply_updates(params, updates)["w"].tolist() == [0, 0]


def test_states_map_as_those_of_other_transformations(half: Params) -> None:
    optimizer = keeping(optax.adam(0.1), half)
    seen: list[str] = []

    def noted(leaf: Any, param: Any) -> Any:
        assert leaf.shape == param.shape
        seen.append(str(leaf.dtype))
        return leaf

    optax.tree_map_params(optimizer, noted, optimizer.init(mlp()), mlp())
    assert seen.count("bool") == len(jax.tree.leaves(half))


def test_numpy_masks_are_accepted() -> None:
    optimizer = sfj.keep_removed_zero({"w": np.array([True, False])})
    params = {"w": np.float32([1, 2])}
    state = optimizer.init(params)
    updates, _ = optimizer.update({"w": np.float32([3, 4])}, state, params)
    assert updates["w"].tolist() == [3, -2]
