"""Removed weights are zero, and any optimizer keeps them zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")

import jax
import jax.numpy as jnp
import swiftforce.jax as sfj


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


def test_a_result_is_accepted_as_masks() -> None:
    params = {"w": jnp.arange(4.0).reshape(2, 2)}
    pruning = sfj.prune(params, method="magnitude", sparsity=0.5)
    assert sfj.apply(params, pruning)["w"].tolist() == [[0, 0], [2, 3]]


def test_masks_must_be_bool() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match="mask of w has dtype float32"):
        sfj.apply({"w": jnp.ones(2)}, {"w": jnp.ones(2)})


def test_paths_decide_what_belongs_together() -> None:
    params = {"a": (jnp.ones(2), None), "b": {"n": 3}}
    masks = {"a": [jnp.array([True, False]), jnp.ones(3, bool)], "b": {"n": jnp.array(True)}}
    applied = sfj.apply(params, masks)
    assert applied["a"][0].tolist() == [1, 0]
    assert (applied["a"][1], applied["b"]["n"]) == (None, 3)
    with pytest.raises(sf.StructureError, match="a/0 has no mask"):
        sfj.apply(params, {"b": masks["b"]})
    with pytest.raises(sf.StructureError, match="there is a mask of c"):
        sfj.apply(params, {**masks, "c": jnp.ones(2, bool)})


@pytest.mark.parametrize("boxed", ["params", "masks"])
def test_boxes_do_not_matter(boxed: str) -> None:
    @jax.tree_util.register_dataclass
    @dataclass
    class Box:
        value: jax.Array

    params, masks = {"w": jnp.ones(2)}, {"w": jnp.array([True, False])}
    if boxed == "params":
        assert sfj.apply({"w": Box(params["w"])}, masks)["w"].value.tolist() == [1, 0]
    else:
        assert sfj.apply(params, {"w": Box(masks["w"])})["w"].tolist() == [1, 0]


# ------------------------------------------------------------------------------ BCOO


def test_kept_weights_become_sparse_arrays() -> None:
    sparse = pytest.importorskip("jax.experimental.sparse")
    weights = jnp.arange(24.0).reshape(2, 3, 4)
    masks = {"w": weights % 5 == 0, "b": jnp.ones(3, bool)}
    params = {"w": weights - 5, "b": jnp.ones(3)}  # A kept weight is zero.
    found = sfj.to_bcoo(params, masks)
    assert found["b"] is params["b"]
    assert isinstance(found["w"], sparse.BCOO)
    assert found["w"].nse == int(masks["w"].sum())
    assert found["w"].indices.dtype == jnp.int32
    assert found["w"].unique_indices
    assert found["w"].indices_sorted
    assert found["w"].todense().tolist() == sfj.apply(params, masks)["w"].tolist()


def test_sparse_arrays_multiply_and_are_differentiated_under_jit() -> None:
    params, masks = {"w": jnp.arange(6.0).reshape(2, 3)}, {"w": jnp.eye(2, 3) > 0}
    sparse, x = sfj.to_bcoo(params, masks), jnp.array([1.0, 2.0, 3.0])
    assert jax.jit(lambda p, x: p["w"] @ x)(sparse, x).tolist() == [0, 8]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_sparse_arrays_have_the_type_of_the_leaf(dtype: Any) -> None:
    leaf = jnp.ones((2, 2), dtype)
    assert sfj.to_bcoo([leaf], [jnp.eye(2) > 0])[0].dtype == dtype


def test_leaves_whose_mask_keeps_nothing_are_empty() -> None:
    found = sfj.to_bcoo([jnp.ones((2, 3))], [jnp.zeros((2, 3), bool)])[0]
    assert found.nse == 0
    assert found.todense().tolist() == [[0, 0, 0]] * 2


@pytest.mark.parametrize(
    ("masks", "error"),
    [
        ({"w": jnp.ones((3, 2), bool)}, sf.ShapeError),
        ({"w": jnp.ones((2, 3))}, sf.UnsupportedTypeError),
        ({"v": jnp.ones((2, 3), bool)}, sf.StructureError),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        sfj.to_bcoo({"w": jnp.ones((2, 3))}, masks)
