"""Bounds and patterns beside damping, and steps that fail: what each must leave as it was."""

from __future__ import annotations

from typing import Any

import axes_oracle
import numpy as np
import oracle
import pytest
import swiftforce as sf
from kinds import network
from matrix import DAMPINGS
from oracle import assert_same_masks

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

SHAPES = ((6, 8), (4, 3, 2, 2), (0, 3), (7,))
BOUNDS: dict[str, Any] = {"floor_per_output": 1, "cap": {"0": 0.6}, "n_m": {"1": (2, 3)}}
LIMITS: dict[str, dict[str, Any]] = {
    "bounds": {"allocation": sf.Allocation(**BOUNDS)},
    "shares": {"allocation": "erk"},
    "outputs": {"pattern": "outputs"},
    "blocks": {"pattern": sf.Pattern((2, 3), "mean")},
}


def chosen(kind: str, scores: Any, step: sf.Step, candidates: Any) -> list[np.ndarray]:
    """The masks of the oracle; of numbers by ERK, those that the step reports."""
    if kind == "bounds":
        bounds = [
            axes_oracle.bounds_of(BOUNDS, str(place), shape) for place, shape in enumerate(SHAPES)
        ]
        return axes_oracle.greedy(scores, step.keep, bounds, candidates).masks
    if kind == "shares":
        bounds = [axes_oracle.Bounds(count, count) for count in step.layer_kept]
        return axes_oracle.greedy(scores, step.keep, bounds, candidates).masks
    pattern = LIMITS[kind]["pattern"]
    shape = pattern if kind == "outputs" else pattern.shape
    units = [axes_oracle.unit_numbers(one, shape, 0, 1) for one in SHAPES]
    mean = kind == "blocks"
    return axes_oracle.best_units(scores, units, step.keep, mean=mean, candidates=candidates)


@pytest.mark.parametrize("damping", DAMPINGS)
@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("method", ["force", "iterative_snip", "grasp_it"])
def test_damped_searches(method: str, kind: str, damping: oracle.Damping) -> None:
    """Weights compete by the scores that they have without limits, damped."""
    nested = method != "force"
    if nested:
        damping = oracle.Damping(damping.momentum)
    weights, gradients = network(13, SHAPES)
    search = sf.MaskSearch(
        weights, method=method, keep=24, steps=5, **LIMITS[kind], **vars(damping)
    )
    before = [np.ones(shape, bool) for shape in SHAPES]
    sums = oracle.stored([np.zeros(shape) for shape in SHAPES], before, weights)
    for number in range(1, 6):
        grads = gradients(search.masked_weights)
        step = search.step(grads)
        plain = oracle.scores(oracle.METHODS[method][0], weights, grads)
        new = oracle.accumulated(plain, sums, damping.momentum)
        scores, candidates = oracle.competing(new, before, number, nested, damping)
        sums = oracle.stored(new, candidates, weights)
        expected = chosen(kind, scores, step, candidates)
        assert_same_masks(search.masks, expected)
        assert step.candidates == sum(int(mask.sum()) for mask in candidates)
        after = oracle.join(expected)
        changes = (
            int((oracle.join(before) & ~after).sum()),
            int((~oracle.join(before) & after).sum()),
        )
        assert (step.removed, step.revived) == changes
        before = [mask.copy() for mask in search.masks]


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_step_that_fails_leaves_the_search_as_it_was(
    taken: int, kind: str, momentum: float
) -> None:
    """Masks, masked weights in the caller's arrays, and sums: the step may be tried again."""
    weights, gradients = network(13, SHAPES)
    options = {"keep": 24, "steps": 5, "momentum": momentum, **LIMITS[kind]}
    masked = [weight.copy() for weight in weights]
    search = sf.MaskSearch(weights, masked_weights=masked, **options)
    whole = sf.prune(weights, gradients, **options)
    for _ in range(taken):
        search.step(gradients(search.masked_weights))
    shown = [array.tobytes() for array in masked]
    masks = [mask.copy() for mask in search.masks]
    for place, value in ((0, np.nan), (1, np.inf), (3, -np.inf)):
        grads = [np.array(grad) for grad in gradients(search.masked_weights)]
        grads[place].reshape(-1)[-1] = value
        with pytest.raises(sf.NonFiniteError, match=rf"gradients\[{place}\]"):
            search.step(grads)
        assert search.taken == taken
        assert_same_masks(search.masks, masks)
        if taken:
            assert [array.tobytes() for array in masked] == shown
    for _ in range(5 - taken):
        search.step(gradients(search.masked_weights))
    assert_same_masks(search.masks, whole.masks)
    assert search.history == whole.history


@pytest.mark.parametrize("kind", LIMITS)
def test_masks_that_were_changed_are_noticed(kind: str) -> None:
    weights, gradients = network(13, SHAPES)
    search = sf.MaskSearch(weights, keep=24, steps=5, **LIMITS[kind])
    search.step(gradients(search.masked_weights))
    mask = search._buffers.masks(1)[0]
    mask[...] = ~mask
    mask[0, 0] = not mask[0, 0]
    with pytest.raises(sf.MasksChangedError):
        search.step(gradients(search.masked_weights))
    assert search.taken == 1


@pytest.mark.parametrize("kind", LIMITS)
def test_the_objective(kind: str) -> None:
    """The sum of the next scores over the kept weights, whatever limits chose them."""
    weights, gradients = network(13, SHAPES)
    found = sf.prune(weights, gradients, keep=24, steps=4, objective=True, **LIMITS[kind])
    kept = oracle.masked(weights, found.masks)
    scores = oracle.scores("connection_sensitivity", weights, gradients(kept))
    expected = oracle.join(scores).astype(np.float64)[oracle.join(found.masks)].sum()
    assert found.history[-1].objective == pytest.approx(expected)
    assert all(step.objective is not None for step in found.history)
