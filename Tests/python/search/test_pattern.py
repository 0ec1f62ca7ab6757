"""Patterns: the units of a loop over sorted units, in every step of a search."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import axes_oracle
import numpy as np
import oracle
import pytest
import swiftforce as sf
from kinds import network
from oracle import assert_same_masks

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

PATTERNS: tuple[Any, ...] = ("weights", "outputs", "inputs", "kernels", (2, 2), (1, 4), (3, 1))
SHAPES: tuple[tuple[int, ...], ...] = ((5, 6), (4, 3, 2, 2), (6,), (), (7, 4), (0, 3))
DTYPES = ("float16", "bfloat16", "float32", "float64")


def units_of(shapes: Any, pattern: Any, axis: int) -> list[np.ndarray]:
    """The units of each tensor. The axis of inputs is the one beside that of outputs."""
    found = []
    for shape in shapes:
        last = len(shape) - 1
        output = axis % len(shape) if len(shape) > 1 else 0
        beside = 1 if output == 0 else last - 1 if output == last else 0
        found.append(axes_oracle.unit_numbers(shape, pattern, output, beside))
    return found


def typed(array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        return np.asarray(array).astype(pytest.importorskip("ml_dtypes").bfloat16)
    return np.asarray(array).astype(dtype)


def whole_units(masks: list[np.ndarray], units: list[np.ndarray], among: Any = None) -> bool:
    """Whether of each unit all weights are kept that are among others, or none."""
    for place, (mask, unit) in enumerate(zip(masks, units, strict=True)):
        part = np.ones(mask.shape, bool) if among is None else among[place]
        for number in np.unique(unit[part]):
            kept = mask[part & (unit == number)]
            if kept.any() != kept.all():
                return False
    return True


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("score", ["sum", "mean"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_masks_are_those_of_sorted_units(pattern: Any, score: str, dtype: str) -> None:
    """Many ties, both signs, and any number to keep."""
    rng = np.random.default_rng([PATTERNS.index(pattern), DTYPES.index(dtype)])
    size = sum(math.prod(shape) for shape in SHAPES)
    for trial in range(16):
        axis, signed = (0, -1)[trial % 2], trial % 4 > 1
        plain = [rng.integers(-9 if signed else 0, 9, shape) / 2 for shape in SHAPES]
        scores = [typed(array, dtype) for array in plain]
        keep = int(rng.integers(1, size + 1))
        wide = [array.astype("float64" if dtype == "float64" else "float32") for array in plain]
        units = units_of(SHAPES, pattern, axis)
        expected = axes_oracle.best_units(wide, units, keep, mean=score == "mean")
        call = {
            "keep": keep,
            "pattern": sf.Pattern(pattern, score),
            "allocation": sf.Allocation(output_axis=axis),
        }
        assert_same_masks(sf.select(scores, **call), expected)
        assert whole_units(expected, units)
        found = sf.prune(scores, scores, saliency="given", steps=1, **call)
        assert_same_masks(found.masks, expected)
        step = found.history[0]
        kept = sum(int(mask.sum()) for mask in expected)
        assert (step.keep, step.removed, step.candidates) == (kept, size - kept, size)
        pairs = zip(expected, units, strict=True)
        assert kept <= keep or sum(len(np.unique(unit[mask])) for mask, unit in pairs) == 1


@pytest.mark.parametrize("axis", [1, 2])
def test_an_output_axis_in_the_middle(axis: int) -> None:
    rng = np.random.default_rng(axis)
    scores = [rng.integers(0, 30, (4, 3, 6, 2)).astype(np.float32)]
    allocation = sf.Allocation(output_axis=axis)
    for pattern in ("outputs", "inputs", "kernels", (2, 1), (2, 2)):
        units = units_of([(4, 3, 6, 2)], pattern, axis)
        for keep in (1, 20, 50, 90):
            found = sf.select(scores, keep=keep, pattern=pattern, allocation=allocation)
            assert_same_masks(found, axes_oracle.best_units(scores, units, keep, mean=False))
    with pytest.raises(sf.BoundsError, match=r"scores\[0\]: blocks of 5 columns do not divide"):
        sf.select(scores, keep=9, pattern=(1, 5), allocation=allocation)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("pattern", ["outputs", "inputs", "kernels", (4, 8)])
def test_large_tensors(pattern: Any, threads: int, restored_threads: None) -> None:
    """Units that lie in several chunks have one score, whatever the number of threads."""
    sf.set_num_threads(threads)
    rng = np.random.default_rng(1)
    shape = (96, 64, 5, 9)
    scores = rng.integers(-60, 90, shape).astype(np.float32)
    (units,) = units_of([shape], pattern, 0)
    counts = np.bincount(units.ravel())
    sums = np.bincount(units.ravel(), scores.astype(np.float64).ravel())
    keep = scores.size // 5
    # Blocks at the end of a row are smaller.
    best = np.argsort(-sums, kind="stable")
    kept = best[np.cumsum(counts[best]) <= keep]
    assert_same_masks(sf.select(scores, keep=keep, pattern=pattern), np.isin(units, kept))


@pytest.mark.parametrize("score", ["sum", "mean"])
@pytest.mark.parametrize("method", ["force", "iterative_snip", "force_nested"])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("begins", [False, True])
def test_searches(begins: bool, pattern: Any, method: str, score: str) -> None:
    """Also from masks that cut through units: what is left of a unit competes as one."""
    shapes = ((6, 8), (4, 3, 2, 2), (6,), (0, 3))
    weights, gradients = network(7, shapes)
    rng = np.random.default_rng(2)
    initial = [rng.random(shape) < 0.8 for shape in shapes] if begins else None
    search = sf.MaskSearch(
        weights,
        method=method,
        keep=25,
        steps=5,
        pattern=sf.Pattern(pattern, score),
        initial_masks=initial,
    )
    units = units_of(shapes, pattern, 0)
    size = sum(array.size for array in weights)
    started = size if initial is None else sum(int(mask.sum()) for mask in initial)
    assert search.keeps == oracle.schedule_keeps("exponential", started, 25, 5)
    before = initial
    for number, keep in enumerate(search.keeps, 1):
        grads = gradients(search.masked_weights)
        step = search.step(grads)
        nested = method == "iterative_snip" or (method == "force_nested" and number >= 3)
        candidates = before if nested else None
        scores = oracle.scores("connection_sensitivity", weights, grads)
        expected = axes_oracle.best_units(
            scores, units, keep, mean=score == "mean", candidates=candidates
        )
        assert_same_masks(search.masks, expected)
        assert step.keep == sum(step.layer_kept) == sum(int(mask.sum()) for mask in expected)
        assert whole_units(search.masks, units, candidates)
        for shown, weight, mask in zip(search.masked_weights, weights, expected, strict=True):
            assert shown.tobytes() == np.where(mask, weight, 0).astype(np.float32).tobytes()
        before = [mask.copy() for mask in search.masks]


@pytest.mark.parametrize("shares", ["uniform", "erk", {"0": 0.5, "1": 9, "*": 2}, {"0": 0, "*": 6}])
@pytest.mark.parametrize("pattern", ["outputs", "kernels", (2, 2)])
def test_shares_of_tensors(pattern: Any, shares: Any) -> None:
    """Each tensor keeps the best of its units that fit into its number; one, if it is not 0."""
    shapes = ((6, 8), (4, 3, 2, 2), (6,))
    weights, gradients = network(9, shapes)
    amount = {} if isinstance(shares, dict) else {"keep": 40}
    plain = sf.prune(weights, gradients, steps=4, method="force", allocation=shares, **amount)
    search = sf.MaskSearch(
        weights, method="force", steps=4, allocation=shares, pattern=pattern, **amount
    )
    units = units_of(shapes, pattern, 0)
    for reference in plain.history:
        grads = gradients(search.masked_weights)
        step = search.step(grads)
        scores = oracle.scores("connection_sensitivity", weights, grads)
        # The numbers of the tensors are those of single weights.
        expected = [
            axes_oracle.best_units([s], [u], count, mean=False)[0]
            if count
            else np.zeros(s.shape, bool)
            for s, u, count in zip(scores, units, reference.layer_kept, strict=True)
        ]
        assert_same_masks(search.masks, expected)
        assert step.layer_kept == tuple(int(mask.sum()) for mask in expected)


def test_one_unit_at_least() -> None:
    scores = np.float32([[1, 2, 3], [9, 9, 9], [4, 5, 6]])
    for keep in (1, 2, 3, 5):
        found = sf.select(scores, keep=keep, pattern="outputs")
        assert found.tolist() == [[False] * 3, [True] * 3, [False] * 3]
    masks = sf.select([scores, scores], pattern="outputs", allocation={"0": 1, "1": 0})
    assert [int(mask.sum()) for mask in masks] == [3, 0]


def test_the_first_unit_that_does_not_fit_ends_the_choice() -> None:
    """Although a smaller unit of a lower score would fit."""
    scores = [np.float32([[9, 9, 9], [5, 5, 5]]), np.float32([[1], [2]])]
    found = sf.select(scores, keep=4, pattern="outputs")
    assert [mask.any(axis=1).tolist() for mask in found] == [[True, False], [False, False]]
    found = sf.select(scores, keep=4, pattern=sf.Pattern("outputs", "mean"))
    assert [mask.any(axis=1).tolist() for mask in found] == [[True, False], [False, False]]


def test_a_sum_that_no_score_can_be() -> None:
    """Sums beyond float32 are compared in float64."""
    scores = np.float32([[3e38, 3e38], [1e38, 1], [3.2e38, 3.2e38], [-3e38, -3e38]])
    assert np.flatnonzero(sf.select(scores, keep=2, pattern="outputs").any(axis=1)).tolist() == [2]
    assert np.flatnonzero(sf.select(scores, keep=6, pattern="outputs").any(axis=1)).tolist() == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"floor": 1},
        lambda: {"cap": 0.5},
        lambda: {"floor_per_output": 1},
        lambda: {"cap_per_output": {"*": 3}},
        lambda: {"n_m": (2, 4)},
    ],
)
def test_floors_and_caps_are_refused(make: Callable[[], dict[str, Any]]) -> None:
    weights = np.ones((4, 6), np.float32)
    for call in (sf.MaskSearch, sf.select):
        with pytest.raises(sf.BoundsError, match="for single weights: leave them out, or the patt"):
            call(weights, keep=9, pattern="outputs", allocation=sf.Allocation(**make()))
    found = sf.select(weights, keep=4, pattern="weights", allocation=sf.Allocation(**make()))
    assert found.sum() == 4


@pytest.mark.parametrize(
    ("pattern", "error", "text"),
    [
        ("output", sf.UnknownNameError, "no pattern 'output'; did you mean 'outputs'"),
        ("blocks", sf.UnknownNameError, "no pattern 'blocks'.* weights, outputs, inputs, kernels"),
        (3, sf.UnknownNameError, "no pattern 3"),
        ((2,), sf.BoundsError, r"a block must be \(rows, columns\), both at least 1, not \(2,\)"),
        ((0, 2), sf.BoundsError, r"not \(0, 2\)"),
        ((2.0, 2), sf.BoundsError, r"not \(2.0, 2\)"),
        ((True, 2), sf.BoundsError, r"not \(True, 2\)"),
        ((2, 2, 2), sf.BoundsError, r"not \(2, 2, 2\)"),
        ((1 << 63, 1), sf.BoundsError, "a block must be"),
    ],
)
def test_patterns_that_are_none(pattern: Any, error: type[Exception], text: str) -> None:
    weights = np.ones((4, 6), np.float32)
    for call in (
        lambda: sf.Pattern(pattern),
        lambda: sf.MaskSearch(weights, keep=4, pattern=pattern),
        lambda: sf.select(weights, keep=4, pattern=pattern),
    ):
        with pytest.raises(error, match=text):
            call()


def test_unknown_scores() -> None:
    with pytest.raises(sf.UnknownNameError, match=r"no score of a unit 'max'.* sum, mean"):
        sf.Pattern("outputs", "max")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "weights"),
        (("Outputs",), "outputs"),
        (("kernels", "mean"), "kernels by their mean"),
        (((4, 2),), "4 x 2 blocks"),
        (([1, 8], "mean"), "1 x 8 blocks by their mean"),
    ],
)
def test_text_and_json(arguments: tuple[Any, ...], text: str) -> None:
    pattern = sf.Pattern(*arguments)
    assert str(pattern) == text
    assert sf.Pattern(**json.loads(json.dumps(pattern.to_json()))) == pattern
    assert eval(repr(pattern), {"Pattern": sf.Pattern}) == pattern
    assert hash(pattern) == hash(sf.Pattern(*arguments))
    with pytest.raises(FrozenInstanceError):
        pattern.score = "sum"  # type: ignore[misc]


def test_a_block_that_is_larger_than_a_tensor_is_the_tensor() -> None:
    scores = [np.float32([[1, 2], [3, 4]]), np.float32([5, 1])]
    masks = sf.select(scores, keep=5, pattern=(100, 1 << 40))
    assert [mask.sum() for mask in masks] == [4, 1]
