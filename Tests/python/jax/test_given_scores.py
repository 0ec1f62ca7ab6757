"""Saliencies and rules in place of those of a method, and scores of the caller's own.

`sf.prune` finds the expected masks, from gradients that JAX computes at the same numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")

import jax
import jax.numpy as jnp
import swiftforce.jax as sfj
from oracle import assert_same_masks
from pytree_models import Params, assert_masks, by_path, mlp, mlp_batches, mlp_loss, normal
from swiftforce.jax import pytrees

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

Arrays = dict[str, np.ndarray]
gradient = jax.jit(jax.grad(mlp_loss))


def kernels(params: Params) -> Arrays:
    return {name: leaf for name, leaf in by_path(params).items() if name.endswith("kernel")}


def at(params: Params, masked: Arrays) -> Params:
    leaves = pytrees.Leaves(params)
    put = {name: jnp.asarray(array.copy()) for name, array in masked.items()}
    return leaves.restore({**leaves.by_name, **put})


def gradients_of(params: Params) -> Callable[[Arrays], Arrays]:
    """Gradients of the next batch at masked weights."""
    data = itertools.cycle(mlp_batches())
    return lambda masked: kernels(gradient(at(params, masked), next(data)))


def own_scores() -> Callable[[Params], Params]:
    """Of either sign: the weight times its gradient in the next batch."""
    data = itertools.cycle(mlp_batches())
    return lambda params: jax.tree.map(jnp.multiply, params, gradient(params, next(data)))


def products_of(params: Params) -> Callable[[Arrays], Arrays]:
    scores = own_scores()
    return lambda masked: kernels(scores(at(params, masked)))


def assert_found(found: sf.Pruning, expected: sf.Pruning, params: Params) -> None:
    assert_masks(found, params, expected.masks)
    assert (found.method, found.saliency, found.rule, found.history) == (
        expected.method,
        expected.saliency,
        expected.rule,
        expected.history,
    )


@pytest.mark.parametrize("rule", [None, "nested", "free", "free_then_nested"])
@pytest.mark.parametrize("saliency", ["squared_gradient", "magnitude", "random"])
@pytest.mark.parametrize("method", ["force", "snip"])
def test_axes_are_those_of_numpy(method: Any, saliency: Any, rule: Any) -> None:
    """Without batches where no gradients are needed."""
    params = mlp()
    options = {"method": method, "saliency": saliency, "rule": rule, "keep": 17, "seed": 4}
    if method == "force":
        options |= {"steps": 5, "schedule": "cubic"}
    if saliency != "squared_gradient":
        found = sfj.prune(params, **options)
        assert_found(found, sf.prune(kernels(params), **options), params)
        return
    read: list[Arrays] = []
    step = sf.MaskSearch.step

    def noted(self: sf.MaskSearch, grads: Any = None) -> sf.Step:
        read.append({name: grad.copy() for name, grad in grads.items()})
        return step(self, grads)

    # The compiled gradients of both may differ in their last bits, so numpy gets those of JAX.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sf.MaskSearch, "step", noted)
        found = sfj.prune(params, mlp_loss, mlp_batches(), **options)
    near, position = gradients_of(params), iter(read)

    def gradients(masked: Arrays) -> Arrays:
        given, true = next(position), near(masked)
        for name, array in true.items():
            np.testing.assert_allclose(given[name], array, rtol=1e-4, atol=1e-6)
        return given

    assert_found(found, sf.prune(kernels(params), gradients, **options), params)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rule": "nested", "schedule": "linear"},
        {"method": "snip", "steps": None},
        {"allocation": sf.Allocation(floor_per_output=1, output_axis=1), "keep": 40},
        {"pattern": (2, 2)},
    ],
)
def test_scores_are_those_of_numpy(options: dict[str, Any]) -> None:
    params = mlp()
    options = {"saliency": "given", "keep": 20, "steps": 6} | options
    found = sfj.prune(params, scores=own_scores(), **options)
    assert_found(found, sf.prune(kernels(params), products_of(params), **options), params)


def test_what_the_function_sees() -> None:
    """Masked parameters with everything beside them, and parts of scores suffice."""
    params = {**mlp(), "tokens": normal(7, 4), "name": "a text"}
    seen, scores = [], own_scores()

    def noted(given: Params) -> Params:
        assert given["name"] == "a text"
        assert given["tokens"] is params["tokens"]
        kept = [int(jnp.count_nonzero(given[name]["kernel"])) for name in ("hidden", "output")]
        seen.append(sum(kept))
        found = scores({name: given[name] for name in ("hidden", "output")})
        return {name: {"kernel": one["kernel"], "bias": None} for name, one in found.items()}

    found = sfj.prune(params, saliency="given", scores=noted, keep=20, steps=3)
    assert seen == [180, *(step.keep for step in found.history[:-1])]
    other = sfj.prune(mlp(), saliency="given", scores=own_scores(), keep=20, steps=3)
    assert_same_masks(kernels(found.masks), kernels(other.masks))


def test_layers_of_a_stack() -> None:
    params = {"blocks": {"kernel": normal(0, 3, 4, 5)}, "head": {"kernel": normal(1, 4, 2)}}
    options = {"saliency": "given", "keep": 15, "steps": 3, "stacked": "blocks/*"}
    found = sfj.prune(params, scores=lambda given: params, exclude="blocks/kernel[[]1]", **options)
    arrays = by_path(params)
    weights = {f"blocks/kernel[{i}]": arrays["blocks/kernel"][i] for i in (0, 2)}
    weights["head/kernel"] = arrays["head/kernel"]
    expected = sf.select(weights, keep=15)
    masks = by_path(found.masks)
    assert masks["blocks/kernel"][1].all()
    parts = {f"blocks/kernel[{i}]": masks["blocks/kernel"][i] for i in (0, 2)}
    assert_same_masks({**parts, "head/kernel": masks["head/kernel"]}, expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_scores_of_any_type_from_jax_or_numpy(dtype: str) -> None:
    values = np.random.default_rng(0).permutation(48).reshape(6, 8) - 20
    for given in (jnp.asarray(values, dtype), np.asarray(jnp.asarray(values, dtype))):
        found = sfj.prune(
            [normal(0, 6, 8)], saliency="given", scores=lambda _, one=given: [one], keep=7, steps=2
        )
        assert_same_masks([np.asarray(found.masks[0])], [values > 20])


# ---------------------------------------------------------------------------- what is refused


def test_arguments_that_contradict_each_other() -> None:
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({}, sf.MissingGradientsError, r"pass a function scores\(params\)"),
        ({"scores": own_scores(), "loss": mlp_loss}, sf.HyperparameterError, "loss has no use"),
        ({"scores": own_scores(), "batches": []}, sf.HyperparameterError, "batches has no use"),
        ({"scores": own_scores(), "batch_size": 3}, sf.HyperparameterError, "batch_size has no"),
        (
            {"scores": own_scores(), "batches_per_step": 2},
            sf.HyperparameterError,
            "batches_per_step has no use",
        ),
        ({"scores": own_scores(), "objective": True}, sf.HyperparameterError, "objective is for"),
        ({"scores": own_scores(), "momentum": 0.5}, sf.HyperparameterError, "momentum must be 0"),
        ({"scores": own_scores(), "saliency": None}, sf.HyperparameterError, "saliency='given'"),
        ({"saliency": "giver"}, sf.UnknownNameError, "did you mean 'given'"),
        ({"saliency": None, "rule": "neste"}, sf.UnknownNameError, "did you mean 'nested'"),
    ]
    for options, error, text in cases:
        with pytest.raises(error, match=text):
            sfj.prune(mlp(), **({"saliency": "given", "keep": 9} | options))


def test_scores_that_are_refused() -> None:
    good = mlp()

    def with_kernel(kernel: Any) -> Params:
        return {**good, "output": {"kernel": kernel, "bias": None}}

    kernel = good["output"]["kernel"]
    cases: list[tuple[Any, type[Exception], str]] = [
        (None, sf.MissingGradientsError, "returned None"),
        ({"hidden": good["hidden"]}, sf.StructureError, "returned no scores of 'output/kernel'"),
        (with_kernel(None), sf.StructureError, "returned no scores of 'output/kernel'"),
        (with_kernel(kernel.T), sf.ShapeError, r"have shape \(3, 20\) where the leaf"),
        (
            with_kernel(kernel > 0),
            sf.UnsupportedTypeError,
            "floating-point numbers, not dtype bool",
        ),
        (with_kernel(3.0), sf.UnsupportedTypeError, "floating-point numbers, not float"),
        (
            with_kernel(kernel.at[1, 2].set(jnp.nan)),
            sf.NonFiniteError,
            r"scores\['output/kernel'\] has 1 value",
        ),
    ]
    for returned, error, text in cases:
        with pytest.raises(error, match=text):
            sfj.prune(
                mlp(), saliency="given", scores=lambda _, value=returned: value, keep=9, steps=2
            )
    assert sfj.prune(mlp(), saliency="given", scores=lambda _: good, keep=9).keep == 9
