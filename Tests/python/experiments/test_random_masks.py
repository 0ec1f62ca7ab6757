"""Random masks: densities of layers are exact, positions are random by seed and layer."""

from __future__ import annotations

import numpy as np
import pytest
import swiftforce as sf
from oracle import assert_same_masks
from swiftforce.experiments.random_masks import erk_random, uniform_random

WEIGHTS = {"a": np.zeros((30, 10)), "b": np.zeros(1000, np.float32), "c": np.zeros((3, 1))}


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.995])
def test_uniform_random_keeps_the_same_density_in_each_layer(sparsity: float) -> None:
    masks = uniform_random(WEIGHTS, sparsity=sparsity, seed=1)
    assert {name: mask.shape for name, mask in masks.items()} == {
        name: weight.shape for name, weight in WEIGHTS.items()
    }
    for name, mask in masks.items():
        assert mask.sum() == sf.keep_count(WEIGHTS[name].size, sparsity) >= 1


@pytest.mark.parametrize("draw", [uniform_random, erk_random])
def test_masks_are_random_by_seed_and_layer(draw) -> None:
    weights = {"a": np.zeros(1000), "b": np.zeros(1000)}
    masks = draw(weights, sparsity=0.9, seed=1)
    other = draw(weights, sparsity=0.9, seed=2)
    assert not np.array_equal(masks["a"], masks["b"])
    assert not np.array_equal(masks["a"], other["a"])
    assert_same_masks(masks, draw(weights, sparsity=0.9, seed=1))
    assert 0 < np.flatnonzero(masks["a"])[0] < 100
    assert np.flatnonzero(masks["a"])[-1] > 900


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.9, 0.99, 0.9999])
def test_erk_densities_are_proportional_to_the_sum_of_the_axes(sparsity: float) -> None:
    weights = {
        "first": np.zeros((64, 3, 3, 3)),
        "middle": np.zeros((128, 64, 3, 3)),
        "last": np.zeros((10, 128)),
        "one": np.zeros((1, 1)),
    }
    masks = erk_random(weights, sparsity=sparsity, seed=0)
    density = {name: masks[name].sum() / masks[name].size for name in weights}
    factor = {name: density[name] * w.size / sum(w.shape) for name, w in weights.items()}
    partial = [name for name in weights if density[name] < 1 and masks[name].sum() > 1]
    for name in partial:
        # All layers that are not full have the same factor, but for rounding of one weight each.
        assert factor[name] == pytest.approx(factor[partial[0]], abs=1 / 15)
    for name in set(weights) - set(partial):
        # A full layer would have a larger share.
        assert density[name] == 1 or masks[name].sum() == 1
    total = sum(w.size for w in weights.values())
    kept = sum(int(mask.sum()) for mask in masks.values())
    assert kept == pytest.approx((1 - sparsity) * total, abs=len(weights))
    assert all(mask.any() for mask in masks.values())
