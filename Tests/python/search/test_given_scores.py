"""Scores of the caller's own, and each saliency and rule in place of those of a method."""

from __future__ import annotations

import itertools
import random
from typing import Any

import axes_oracle
import numpy as np
import oracle
import pytest
import swiftforce as sf
from kinds import gradient_function, network
from oracle import assert_same_masks

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

DTYPES = ("float16", "bfloat16", "float32", "float64")
SHAPES = ((7, 5), (0,), (5, 3), (11,), (2, 3, 2, 2))


def typed(array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        return array.astype(pytest.importorskip("ml_dtypes").bfloat16)
    return array.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", ["nested", "free", "free_then_nested"])
def test_scores_of_either_sign(rule: str, dtype: str) -> None:
    """The largest are kept, not the largest in magnitude, of all or of those that were kept."""
    rng = np.random.default_rng(DTYPES.index(dtype))
    weights, _ = network(3, SHAPES)
    weights = [typed(weight, dtype) for weight in weights]
    search = sf.MaskSearch(weights, saliency="given", rule=rule, keep=11, steps=6, schedule="cubic")
    assert not search.needs_gradients
    before = None
    for number, keep in enumerate(search.keeps, 1):
        # Rounded, so that there are ties, zeros of both signs among them.
        scores = [typed(np.round(rng.standard_normal(shape) * 4) / 4, dtype) for shape in SHAPES]
        step = search.step(scores=scores)
        nested = rule == "nested" or (rule == "free_then_nested" and number > 3)
        candidates = before if nested else None
        wide = [s.astype("float64" if dtype == "float64" else "float32") for s in scores]
        expected = oracle.select(wide, keep, candidates)
        assert_same_masks(search.masks, expected)
        assert step.threshold == oracle.join(wide)[oracle.join(expected)].min()
        assert (step.keep, step.objective, step.gradient_norm >= 0) == (keep, None, True)
        before = [mask.copy() for mask in search.masks]
    result = search.result()
    assert (result.saliency, result.rule, result.method) == ("given", rule, "force_nested")
    assert f"saliency given, rule {rule}" in str(result)
    assert "sum of all" not in str(result)


def test_a_function_is_called_with_the_masked_weights() -> None:
    weights, gradients = network(5, SHAPES)
    seen = []

    def scores(masked: list[np.ndarray]) -> list[np.ndarray]:
        seen.append([array.copy() for array in masked])
        return gradients(masked)

    found = sf.prune(weights, scores, saliency="given", rule="free", keep=9, steps=4)
    masks = [np.ones(w.shape, bool) for w in weights]
    for masked, keep in zip(seen, (step.keep for step in found.history), strict=True):
        for shown, weight, mask in zip(masked, weights, masks, strict=True):
            assert shown.tobytes() == np.where(mask, weight, 0).astype(np.float32).tobytes()
        masks = oracle.select(gradients(masked), keep)
    assert_same_masks(found.masks, masks)


def test_one_step_is_select() -> None:
    weights, _ = network(5, SHAPES)
    scores, _ = network(6, SHAPES)
    expected = sf.select(scores, keep=20)
    for method in ("snip", "magnitude", "random"):
        found = sf.prune(weights, scores, method=method, saliency="given", keep=20)
        assert_same_masks(found.masks, expected)
    found = sf.prune(weights, scores, saliency="given", keep=20, steps=1)
    assert_same_masks(found.masks, expected)


# ------------------------------------------------------------------- methods as ten lines


class Network:
    """Linear layers with tanh between them, the mean squared error, and derivatives of both."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        shapes = ((8, 6), (5, 8), (3, 5))
        self.weights = [rng.standard_normal(shape) / 2 for shape in shapes]
        self.x, self.y = rng.standard_normal((20, 6)), rng.standard_normal((20, 3))

    def gradients(self, weights: list[np.ndarray]) -> list[np.ndarray]:
        values = [self.x]
        for place, weight in enumerate(weights):
            product = values[-1] @ weight.T
            values.append(product if place == len(weights) - 1 else np.tanh(product))
        error, found = 2 * (values[-1] - self.y) / len(self.x), []
        for weight, before in zip(reversed(weights), reversed(values[:-1]), strict=True):
            found.append(error.T @ before)
            error = error @ weight * (1 - before**2)
        return found[::-1]

    def curvature(self, weights: list[np.ndarray], along: list[np.ndarray]) -> list[np.ndarray]:
        """The Hessian times a direction, by central differences."""
        width = 1e-5
        above, below = (
            self.gradients([w + sign * width * d for w, d in zip(weights, along, strict=True)])
            for sign in (1, -1)
        )
        return [(a - b) / (2 * width) for a, b in zip(above, below, strict=True)]


def test_grasp_in_steps() -> None:
    """Wang et al., "Picking Winning Tickets Before Training": w H g, the largest removed.

    Here, as in `swiftforce.torch`, the products that the gradient flow loses least by are kept.
    """
    net = Network(3)

    def grasp(masked: list[np.ndarray]) -> list[np.ndarray]:
        products = net.curvature(masked, net.gradients(masked))
        return [-w * p for w, p in zip(net.weights, products, strict=True)]

    found = sf.prune(net.weights, grasp, saliency="given", rule="nested", keep=20, steps=5)
    masks = [np.ones(w.shape, bool) for w in net.weights]
    for keep in oracle.schedule_keeps("exponential", 103, 20, 5):
        masks = oracle.select(grasp(oracle.masked(net.weights, masks)), keep, masks)
    assert_same_masks(found.masks, masks)
    assert any(step.threshold < 0 for step in found.history)
    once = sf.prune(net.weights, grasp(net.weights), saliency="given", keep=20, steps=1)
    assert any((a != b).any() for a, b in zip(found.masks, once.masks, strict=True)), (
        "the steps made no difference"
    )


def test_synflow_in_steps() -> None:
    """Tanaka et al., "Pruning neural networks without any data": no layer loses all weights."""
    net = Network(4)

    def synflow(masked: list[np.ndarray]) -> list[np.ndarray]:
        sizes = [np.abs(weight) for weight in masked]
        ahead = [np.ones(6)]
        for size in sizes:
            ahead.append(size @ ahead[-1])
        behind = [np.ones(3)]
        for size in reversed(sizes):
            behind.insert(0, behind[0] @ size)
        pairs = zip(sizes, behind[1:], ahead[:-1], strict=True)
        return [size * np.outer(after, before) for size, after, before in pairs]

    found = sf.prune(net.weights, synflow, saliency="given", rule="nested", keep=6, steps=40)
    masks = [np.ones(w.shape, bool) for w in net.weights]
    for keep in oracle.schedule_keeps("exponential", 103, 6, 40):
        masks = oracle.select(synflow(oracle.masked(net.weights, masks)), keep, masks)
    assert_same_masks(found.masks, masks)
    assert all(layer.kept for layer in found.layers)
    # The flow is conserved: what each layer's scores add up to is the same.
    totals = [float(score.sum()) for score in synflow(oracle.masked(net.weights, masks))]
    np.testing.assert_allclose(totals, totals[0])
    assert totals[0] > 0


# ---------------------------------------------------------------------------- what is refused


def test_damping_is_refused() -> None:
    weights, _ = network(5, SHAPES)
    for options, text in (
        ({"momentum": 0.5}, "momentum must be 0 for given scores, not 0.5"),
        ({"removed_factor": 0.5}, "removed_factor must be 0 or 1 for given scores, not 0.5"),
    ):
        with pytest.raises(sf.HyperparameterError, match=text):
            sf.MaskSearch(weights, saliency="given", keep=9, **options)
    search = sf.MaskSearch(weights, saliency="given", keep=9, steps=2, removed_factor=0)
    for _ in range(2):
        search.step(scores=weights)
    assert sum(step.revived for step in search.history) == 0


def test_what_a_step_is_passed_instead() -> None:
    weights, gradients = network(5, SHAPES)
    search = sf.MaskSearch(weights, saliency="given", keep=9, steps=2)
    bad = [weight.copy() for weight in weights]
    bad[2][1, 2] = np.nan
    for arguments, error, text in (
        ({}, sf.MissingGradientsError, "scores of the caller's own: pass scores="),
        ({"grads": weights}, sf.HyperparameterError, "pass scores=, not gradients"),
        ({"grads": weights, "scores": weights}, sf.HyperparameterError, "not gradients"),
        ({"scores": gradients}, sf.StructureError, "scores is a function: call it"),
        ({"scores": weights[:2]}, sf.StructureError, "scores"),
        ({"scores": [w[:1] for w in weights]}, sf.ShapeError, r"scores\[0\]"),
        (
            {"scores": bad},
            sf.NonFiniteError,
            r"scores\[2\] has 1 value .* the first, nan, is at element 5",
        ),
    ):
        with pytest.raises(error, match=text):
            search.step(**arguments)
        assert (search.taken, search.history) == (0, ())
    with pytest.raises(sf.HyperparameterError, match="objective is for methods"):
        search.objective(weights)
    search.step(scores=weights)
    masks = [mask.copy() for mask in search.masks]
    with pytest.raises(sf.NonFiniteError, match=r"scores\[2\]"):
        search.step(scores=bad)
    assert_same_masks(search.masks, masks)
    search.step(scores=weights)
    assert_same_masks(search.masks, oracle.select(weights, 9))
    with pytest.raises(sf.SearchDoneError):
        search.step(scores=weights)
    other = sf.MaskSearch(weights, keep=9, steps=2)
    with pytest.raises(sf.HyperparameterError, match="or make the search with saliency='given'"):
        other.step(scores=weights)


def test_what_a_call_is_passed_instead() -> None:
    weights, gradients = network(5, SHAPES)
    options = {"saliency": "given", "keep": 9, "steps": 2}
    text = "caller's own: pass a function from masked weights to scores as gradients"
    with pytest.raises(sf.MissingGradientsError, match=text):
        sf.prune(weights, **options)
    text = "new scores at each of its 2 steps: pass a function from masked weights to scores"
    with pytest.raises(sf.MissingGradientsError, match=text):
        sf.prune(weights, weights, **options)
    with pytest.raises(sf.MissingGradientsError, match="returned None"):
        sf.prune(weights, lambda masked: None, **options)
    with pytest.raises(sf.HyperparameterError, match="objective is for methods"):
        sf.prune(weights, gradients, objective=True, **options)
    with pytest.raises(sf.UnknownNameError, match="no saliency 'giver'; did you mean 'given'"):
        sf.prune(weights, gradients, keep=9, saliency="giver")
    with pytest.raises(sf.UnknownNameError, match="no rule 'neste'; did you mean 'nested'"):
        sf.prune(weights, gradients, keep=9, rule="neste")
    with pytest.raises(sf.HyperparameterError, match="no formula of given scores: pass them"):
        sf.saliency(weights, criterion="given")


# ------------------------------------------------------------------------ all combinations

SALIENCIES = (None, *oracle.SALIENCIES, "given")
RULES = (None, "nested", "free", "free_then_nested")
ALLOCATIONS: tuple[Any, ...] = (
    None,
    "uniform",
    "erk",
    {"0": 9, "*": 0.25},
    sf.Allocation(floor_per_output=1),
    sf.Allocation(cap={"0": 0.5}, n_m=(2, 4)),
)
PATTERNS: tuple[Any, ...] = (None, "outputs", "inputs", "kernels", (2, 2))


def combined(
    method: str, saliency: str | None, rule: str | None, allocation: Any, pattern: Any, dtype: str
) -> sf.Pruning:
    rng = np.random.default_rng(8)
    shapes = ((6, 8), (5,), (4, 3, 2, 2))
    arrays = [[rng.standard_normal(s).astype(np.float32) for s in shapes] for _ in range(3)]
    weights = [typed(array, dtype) for array in arrays[0]]
    slope = gradient_function(arrays[1], arrays[2])

    def gradients(masked: list[np.ndarray]) -> list[np.ndarray]:
        found = slope([np.asarray(array, np.float32) for array in masked])
        return [typed(array, dtype) for array in found]

    one_shot = oracle.METHODS[method][2]
    return sf.prune(
        weights,
        gradients,
        method=method,
        saliency=saliency,
        rule=rule,
        steps=1 if one_shot else 4,
        keep=None if isinstance(allocation, dict) else 31,
        allocation=allocation,
        pattern=pattern,
        seed=4,
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", oracle.METHODS)
def test_every_combination(method: str, restored_threads: None) -> None:
    """Exact numbers, rules that hold, and the same masks from one thread and from two.

    The types of weights are drawn for each combination of the other axes.
    """
    axes = itertools.product(SALIENCIES, RULES, ALLOCATIONS, PATTERNS)
    drawn = random.Random(method)
    for number, (saliency, rule, allocation, pattern) in enumerate(axes):
        dtype = drawn.choice(DTYPES)
        about = (saliency, rule, allocation, pattern, dtype)
        bounded = isinstance(allocation, sf.Allocation)
        sf.set_num_threads(1)
        if bounded and pattern is not None:
            with pytest.raises(sf.BoundsError):
                combined(method, saliency, rule, allocation, pattern, dtype)
            continue
        found = combined(method, saliency, rule, allocation, pattern, dtype)
        keep = 9 + 1 + 12 if isinstance(allocation, dict) else 31
        kept = [int(mask.sum()) for mask in found.masks]
        assert found.keep == sum(kept) == found.history[-1].keep, about
        assert kept == [layer.kept for layer in found.layers], about
        assert sum(kept) == keep if pattern is None else 0 < sum(kept) <= keep + 8, about
        if rule == "nested" or (rule is None and oracle.METHODS[method][1]):
            assert sum(step.revived for step in found.history) == 0, about
        if bounded:
            options = {k: v for k, v in allocation.to_json().items() if k != "shares"}
            bounds = [
                axes_oracle.bounds_of(options, str(place), mask.shape)
                for place, mask in enumerate(found.masks)
            ]
            assert axes_oracle.respected(found.masks, bounds), about
        assert (found.saliency, found.rule) == (saliency or "", rule or ""), about
        if number % 3 == 0:
            sf.set_num_threads(2)
            again = combined(method, saliency, rule, allocation, pattern, dtype)
            assert_same_masks(again.masks, found.masks)
            assert again.history == found.history, about
