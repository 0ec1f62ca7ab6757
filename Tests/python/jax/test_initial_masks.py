"""Searches of a pytree that begin at masks, and results of pytrees in the numpy functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs jax")
import jax.numpy as jnp  # noqa: E402
import swiftforce as sf  # noqa: E402
import swiftforce.jax as sfj  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def params() -> Any:
    rng = np.random.default_rng(0)
    return {
        "body": [{"kernel": jnp.asarray(rng.standard_normal((6, 5)), jnp.float32)}],
        "head": {
            "kernel": jnp.asarray(rng.standard_normal((5, 3)), jnp.float32),
            "bias": jnp.ones(3),
        },
    }


def loss(tree: Any, batch: Any) -> Any:
    hidden = jnp.tanh(batch @ tree["body"][0]["kernel"])
    return jnp.mean((hidden @ tree["head"]["kernel"] + tree["head"]["bias"]) ** 2)


BATCHES = [np.random.default_rng(1).standard_normal((8, 6)).astype(np.float32)]


def equal(first: Any, second: Any) -> bool:
    return bool(jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), first, second)))


@pytest.mark.parametrize("method", ["force", "iterative_snip", "grasp_it"])
@pytest.mark.parametrize("steps", [1, 2])
def test_the_rest_of_a_search(method: Any, steps: int) -> None:
    tree, keeps = params(), [30, 20, 10]
    whole = sfj.prune(tree, loss, BATCHES, method=method, schedule=keeps)
    first = sfj.prune(tree, loss, BATCHES, method=method, schedule=keeps[:-steps])
    for masks in (first, first.masks):
        rest = sfj.prune(
            tree, loss, BATCHES, method=method, schedule=keeps[-steps:], initial_masks=masks
        )
        assert equal(rest.masks, whole.masks)
        assert [step.keep for step in rest.history] == keeps[-steps:]


def test_each_function_passes_them_on() -> None:
    tree = params()
    first = sfj.prune(tree, method="magnitude", keep=20)
    for function in (sfj.force, sfj.iterative_snip):
        found = function(tree, loss, BATCHES, keep=5, steps=2, initial_masks=first)
        assert found.history[0].keep == 10
    assert equal(jax.tree.map(jnp.logical_and, found.masks, first.masks), found.masks)


def test_what_is_refused() -> None:
    tree = params()
    masks = sfj.prune(tree, method="magnitude", keep=20).masks
    less = {"head": masks["head"]}
    biased = {**masks, "head": {**masks["head"], "bias": jnp.array([True, False, True])}}
    for wrong, error, text in (
        (less, sf.StructureError, "initial_masks lack 'body/0/kernel'"),
        (biased, sf.StructureError, "remove weights of 'head/bias', which is not searched"),
        (jax.tree.map(lambda m: m.astype(float), masks), sf.UnsupportedTypeError, "bool"),
    ):
        with pytest.raises(error, match=text):
            sfj.force(tree, loss, BATCHES, keep=5, steps=2, initial_masks=wrong)
    with pytest.raises(sf.StepsError, match="cannot begin at initial_masks"):
        sfj.prune(tree, loss, BATCHES, method="snip", keep=5, initial_masks=masks)


def test_a_result_is_applied_to_numpy_weights_of_the_same_paths() -> None:
    tree = params()
    found = sfj.prune(tree, method="magnitude", keep=20)
    copies = jax.tree.map(np.array, tree)
    expected = sfj.apply(tree, found)
    assert equal(sf.apply_masks(copies, found), expected)
    assert equal(sf.apply_masks(copies, found.masks), expected)
    searched = {"body": copies["body"], "head": {"kernel": copies["head"]["kernel"]}}
    assert sf.apply_masks(searched, found, out=searched) is searched
    assert equal(searched["head"]["kernel"], expected["head"]["kernel"])
    with pytest.raises(sf.WeightsDifferError, match="'body/0/kernel', 'head/kernel' missing"):
        sf.apply_masks(copies["head"], found)
    with pytest.raises(sf.UnsupportedTypeError, match="only a numpy array can be written"):
        sf.apply_masks(copies, found, out=tree)


def test_numpy_searches_of_nested_params_have_the_same_names() -> None:
    tree = params()
    copies = jax.tree.map(np.array, tree)
    del copies["head"]["bias"]
    mine = sf.magnitude(copies, keep=20)
    assert mine.layers == sfj.prune(tree, method="magnitude", keep=20).layers
