"""Mask files of a pytree: saved, and loaded into the structure of parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")

import jax
import jax.numpy as jnp
import swiftforce.jax as sfj
from pytree_models import assert_masks, by_path, mlp, mlp_batches, mlp_loss


def test_masks_are_saved_and_loaded(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    params, path = mlp(), tmp_path / "masks.safetensors"
    pruning = sfj.force(params, mlp_loss, mlp_batches(), keep=9, steps=4)
    pruning.save(path)
    found = sfj.load(path, params)
    assert_masks(found, params, {n: by_path(pruning.masks)[n] for n in sf.load(path).masks})
    assert (found.history, found.layers) == (pruning.history, pruning.layers)
    assert str(found) == str(pruning)
    found.save(path)
    plain = sf.load(path)
    assert list(plain.masks) == ["hidden/kernel", "output/kernel"]
    assert plain.keep == 9
    with pytest.raises(sf.WeightsDifferError, match="mask of 'hidden/kernel', which params lack"):
        sfj.load(path, {"output": params["output"]})
    params["output"]["kernel"] = params["output"]["kernel"].T
    with pytest.raises(
        sf.WeightsDifferError, match=r"shape \(20, 3\) for 'output/kernel' .* \(3, 20\)"
    ):
        sfj.load(path, params)


def test_masks_that_numpy_found_are_loaded(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    weights = [np.float32([[1, 4]]), np.float32([[2], [3]])]
    sf.magnitude(weights, keep=2).save(tmp_path / "masks")
    found = sfj.load(tmp_path / "masks", [jnp.asarray(weight) for weight in weights]).masks
    assert jax.tree.map(lambda mask: mask.tolist(), found) == [[[False, True]], [[False], [True]]]
