"""Shuffled and inverted masks of a pytree are those of the core, in the same structure."""

from __future__ import annotations

import numpy as np
import pytest
import swiftforce as sf
from swiftforce import checks

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
import swiftforce.jax as sfj  # noqa: E402

PARAMS = {
    "hidden": {"kernel": jnp.arange(1.0, 13).reshape(3, 4), "bias": jnp.ones(4)},
    "output": [{"kernel": jnp.arange(8.0, 0, -1).reshape(4, 2)}],
}


def leaves(tree: object) -> list[list[bool]]:
    return [np.asarray(leaf).ravel().tolist() for leaf in jax.tree_util.tree_leaves(tree)]


@pytest.mark.slow
def test_shuffle_and_invert_match_the_core() -> None:
    pruning = sfj.prune(PARAMS, method="magnitude", sparsity=0.7)
    arrays = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(pruning.masks)]
    scores = jax.tree_util.tree_map(jnp.abs, PARAMS)
    ranked = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(scores)]
    for found, expected in (
        (sfj.shuffle(pruning, 5), checks.shuffle(arrays, 5)),
        (sfj.invert(pruning.masks, seed=5), checks.invert(arrays, seed=5)),
        (sfj.invert(pruning, scores=scores), checks.invert(arrays, scores=ranked)),
    ):
        assert leaves(found) == [array.ravel().tolist() for array in expected]
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree_util.tree_leaves(found))
        assert found["hidden"]["bias"].all()
        masked = sfj.apply(PARAMS, found)
        kernels = (masked["hidden"]["kernel"], masked["output"][0]["kernel"])
        assert sum(int((kernel != 0).sum()) for kernel in kernels) == pruning.keep
    assert checks.layer_densities(pruning) == {
        layer.name: layer.density for layer in pruning.layers
    }


def test_arrays_that_are_not_masks_are_refused() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match=r"masks\['a/b'\] has dtype float32"):
        sfj.shuffle({"a": {"b": jnp.ones(3)}})


def test_overlap_counts_searched_leaves_alone() -> None:
    a = sfj.prune(PARAMS, method="random", sparsity=0.5, seed=1)
    b = sfj.prune(PARAMS, method="random", sparsity=0.7, seed=2)
    found = sfj.overlap(a, b)
    assert [layer.name for layer in found.layers] == [layer.name for layer in a.layers]
    assert (found.size, found.kept_a, found.kept_b) == (a.size, a.keep, b.keep)
    assert sfj.overlap(a.masks, b) == sfj.overlap(a, b.masks) == found
    both = [
        np.logical_and(first, second).sum()
        for first, second in zip(
            jax.tree_util.tree_leaves(a.masks), jax.tree_util.tree_leaves(b.masks), strict=True
        )
    ]
    biases = PARAMS["hidden"]["bias"].size
    every_leaf = sfj.overlap(a.masks, b.masks)
    assert every_leaf.kept_both == sum(both) == found.kept_both + biases


def test_overlaps_of_masks_that_do_not_fit_are_refused() -> None:
    masks = {"a": {"b": jnp.ones(3, bool)}}
    with pytest.raises(sf.UnsupportedTypeError, match=r"masks b\['a/b'\] has dtype float32"):
        sfj.overlap(masks, {"a": {"b": jnp.ones(3)}})
    with pytest.raises(sf.StructureError, match="masks b lack 'a/b'"):
        sfj.overlap(masks, {"a": jnp.ones(3, bool)})
    with pytest.raises(sf.ShapeError, match=r"masks b\['a/b'\] has shape \(4,\)"):
        sfj.overlap(masks, {"a": {"b": jnp.ones(4, bool)}})
