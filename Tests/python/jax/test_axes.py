"""Allocations and patterns of pytrees, where the last axis counts output units."""

from __future__ import annotations

from typing import Any

import axes_oracle
import numpy as np
import oracle
import pytest
import swiftforce as sf

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")

import jax
import jax.numpy as jnp
import swiftforce.jax as sfj
from pytree_models import (
    NETWORKS,
    Params,
    Read,
    assert_masks,
    by_path,
    convnet,
    mlp,
    mlp_batches,
    mlp_loss,
    normal,
)

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

ALLOCATIONS: dict[str, dict[str, Any]] = {
    "floors": {"floor_per_output": 1},
    "caps": {"cap_per_output": 0.25},
    "n_m": {"n_m": (1, 2), "floor_per_output": 1},
    "axis": {"output_axis": 0, "floor_per_output": 1},
}


def kernels(params: Params) -> dict[str, np.ndarray]:
    return {name: leaf for name, leaf in by_path(params).items() if name.endswith("kernel")}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALLOCATIONS)
@pytest.mark.parametrize(
    ("method", "network"),
    [("force", "mlp"), ("iterative_snip", "mlp"), ("magnitude", "mlp"), ("magnitude", "convnet")],
)
def test_masks_of_the_greedy_loop(
    method: Any, kind: str, network: str, gradients_read: Read
) -> None:
    make, loss, batches = NETWORKS[network]
    params, steps = make(), 1 if method == "magnitude" else 3
    weights = kernels(params)
    size = sum(weight.size for weight in weights.values())
    options = ALLOCATIONS[kind]
    found = sfj.prune(
        params,
        *((loss, batches()) if method != "magnitude" else ()),
        method=method,
        keep=size // 6,
        steps=steps,
        allocation=sf.Allocation(**options),
    )
    arrays = list(weights.values())
    bounds = [
        axes_oracle.bounds_of(options, name, weight.shape, -1) for name, weight in weights.items()
    ]
    masks = None
    for step in found.history:
        scores = [np.abs(weight) for weight in arrays]
        if method != "magnitude":
            read = gradients_read[step.step - 1]
            grads = [read[name] for name in weights]
            scores = oracle.scores("connection_sensitivity", arrays, grads)
        candidates = masks if method == "iterative_snip" else None
        masks = axes_oracle.greedy(scores, step.keep, bounds, candidates).masks
    assert masks is not None
    assert_masks(found, params, dict(zip(weights, masks, strict=True)))


@pytest.mark.parametrize("score", ["sum", "mean"])
@pytest.mark.parametrize("pattern", ["outputs", "inputs", "kernels", (2, 2)])
@pytest.mark.parametrize("network", NETWORKS)
def test_masks_of_the_loop_over_units(network: str, pattern: Any, score: str) -> None:
    params = jax.tree.map(lambda leaf: jnp.round(leaf * 4) / 4, NETWORKS[network][0]())
    weights = kernels(params)
    scores = [np.abs(weight) for weight in weights.values()]
    units = [axes_oracle.unit_numbers(s.shape, pattern, s.ndim - 1, s.ndim - 2) for s in scores]
    for keep in (1, 60, 150):
        found = sfj.prune(params, method="magnitude", keep=keep, pattern=sf.Pattern(pattern, score))
        expected = axes_oracle.best_units(scores, units, keep, mean=score == "mean")
        assert_masks(found, params, dict(zip(weights, expected, strict=True)))
        assert found.pattern == sf.Pattern(pattern, score)


def test_two_of_four_along_the_inputs() -> None:
    """Of a kernel (inputs, outputs), each output unit has at most two of four neighbours."""
    params = {"a": {"kernel": normal(0, 16, 6)}, "b": {"kernel": normal(1, 8, 4)}}
    found = sfj.prune(params, method="magnitude", allocation=sf.Allocation(n_m=(2, 4)))
    for name, mask in kernels(found.masks).items():
        inputs, outputs = mask.shape
        counts = mask.reshape(inputs // 4, 4, outputs).sum(1)
        assert (counts == 2).all(), name


def test_names_of_leaves() -> None:
    found = sfj.prune(
        convnet(),
        method="magnitude",
        allocation={"0/*": 1.0, "1/kernel": 30, "*": 0.25},
    )
    assert [layer.kept for layer in found.layers] == [72, 30, 8]
    with pytest.raises(
        sf.BoundsError, match=r"cap has '9/kernel', which no tensor is called.*0/ke"
    ):
        sfj.prune(
            convnet(), method="magnitude", keep=9, allocation=sf.Allocation(cap={"9/kernel": 1})
        )
    with pytest.raises(sf.BoundsError, match="the floors demand 23"):
        sfj.prune(
            mlp(),
            mlp_loss,
            mlp_batches(),
            method="force",
            keep=9,
            steps=2,
            allocation=sf.Allocation(floor_per_output=1),
        )


def test_layers_of_a_stack_have_output_units_of_their_own() -> None:
    params = {"blocks": {"kernel": normal(0, 3, 6, 5)}, "head": {"kernel": normal(1, 5, 4)}}
    found = sfj.prune(
        params,
        method="magnitude",
        keep=24,
        stacked="blocks/*",
        allocation=sf.Allocation(floor_per_output=1, cap={"blocks/kernel[[]1]": 5}),
    )
    masks = kernels(found.masks)
    assert masks["blocks/kernel"].sum(1).min() == 1
    assert masks["blocks/kernel"][1].sum() == 5
    assert masks["head/kernel"].sum(0).min() >= 1
    units = sfj.prune(params, method="magnitude", keep=40, stacked="blocks/*", pattern="outputs")
    for layer in [*kernels(units.masks)["blocks/kernel"], kernels(units.masks)["head/kernel"]]:
        assert (layer.all(0) == layer.any(0)).all()


@pytest.mark.parametrize("allocation", ["uniform", "erk"])
def test_shares(allocation: str) -> None:
    params = convnet()
    weights = kernels(params)
    found = sfj.prune(params, method="magnitude", keep=200, allocation=allocation)
    counts = [layer.kept for layer in found.layers]
    starts = [float(w.size if allocation == "uniform" else sum(w.shape)) for w in weights.values()]
    ranges = [(0, weight.size) for weight in weights.values()]
    assert sum(counts) == 200
    assert axes_oracle.follows_shares(counts, starts, [np.e] * 3, ranges)
