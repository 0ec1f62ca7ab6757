"""Searches that begin at masks: as if a step had ended with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import network
from oracle import assert_same_masks
from ranks import Group, Member, results

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

METHODS = ["force", "iterative_snip", "grasp_it"]


def finished(search: sf.MaskSearch[Any], gradients: Any) -> sf.MaskSearch[Any]:
    while not search.done:
        search.step(gradients(search.masked_weights))
    return search


def renumbered(history: tuple[sf.Step, ...]) -> list[sf.Step]:
    return [replace(step, step=0) for step in history]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(METHODS), st.integers(1, 4))
def test_the_rest_of_a_search(seed: int, method: str, begin: int) -> None:
    """What is left of a search is a search that begins at its masks."""
    weights, gradients = network(seed)
    whole = sf.MaskSearch(weights, method=method, keep=4, steps=5)
    for _ in range(begin):
        whole.step(gradients(whole.masked_weights))
    masks = [mask.copy() for mask in whole.masks]
    rest = sf.MaskSearch(weights, method=method, schedule=whole.keeps[begin:], initial_masks=masks)
    assert rest.taken == 0 and rest.history == ()
    assert_same_masks(rest.masks, masks)
    for mine, other in zip(rest.masked_weights, whole.masked_weights, strict=True):
        assert mine.tobytes() == other.tobytes()
    finished(whole, gradients)
    finished(rest, gradients)
    assert_same_masks(rest.masks, whole.masks)
    assert renumbered(rest.history) == renumbered(whole.history[begin:])
    assert [step.step for step in rest.history] == list(range(1, 6 - begin))
    # The search writes to masks of its own.
    assert sum(int(mask.sum()) for mask in masks) == whole.keeps[begin - 1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schedule", ["exponential", "linear", [20, 5]])
@pytest.mark.parametrize("steps", [1, 2])
def test_each_function_begins_there(method: str, schedule: Any, steps: int) -> None:
    weights, gradients = network(61)
    found = sf.magnitude(weights, keep=30)
    if not isinstance(schedule, str):
        schedule = schedule[-steps:]
    options = {"keep": 5, "steps": steps, "schedule": schedule, "initial_masks": found}
    expected = finished(sf.MaskSearch(weights, method=method, **options), gradients)
    if isinstance(schedule, str):
        assert expected.keeps == sf.schedule_keeps(schedule, 30, 5, steps)
    for pruning in (
        getattr(sf, method)(weights, gradients, **options),
        sf.prune(weights, gradients, method=method, **options),
    ):
        assert pruning.history == expected.history
        assert_same_masks(pruning.masks, expected.masks)


def test_removed_weights_return_by_force_alone() -> None:
    weights = np.float32([1, 1, 1, 1])
    masks = np.array([True, True, False, False])
    slopes = np.float32([1, 2, 3, 4])
    shown = []

    def gradients(masked: Any) -> Any:
        shown.append(masked.tolist())
        return slopes

    found = sf.force(weights, gradients, keep=1, steps=1, initial_masks=masks)
    assert found.masks.tolist() == [False, False, False, True]
    assert (found.history[0].candidates, found.history[0].revived) == (4, 1)
    nested = sf.iterative_snip(weights, gradients, keep=1, steps=1, initial_masks=masks)
    assert nested.masks.tolist() == [False, True, False, False]
    assert (nested.history[0].candidates, nested.history[0].removed) == (2, 1)
    assert shown == [[1, 1, 0, 0]] * 2


def test_masked_weights_of_the_caller_are_written_at_once() -> None:
    weights, masked = np.float32([1, 2, 3]), np.float32([7, 7, 7])
    masks = np.array([True, False, True])
    with pytest.raises(sf.KeepError):
        sf.MaskSearch(weights, keep=3, steps=1, masked_weights=masked, initial_masks=masks)
    assert masked.tolist() == [7, 7, 7]
    sf.MaskSearch(weights, keep=2, steps=1, masked_weights=masked, initial_masks=masks)
    assert masked.tolist() == [1, 0, 3]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("after", [0, 1, 2])
def test_it_can_be_saved(method: str, after: int, tmp_path: Path) -> None:
    weights, gradients = network(62)
    masks = sf.magnitude(weights, keep=30).masks
    search = sf.MaskSearch(weights, method=method, keep=5, steps=3, initial_masks=masks)
    for _ in range(after):
        search.step(gradients(search.masked_weights))
    search.save(tmp_path / "search")
    resumed = sf.MaskSearch.resume(tmp_path / "search", weights)
    assert_same_masks(resumed.masks, search.masks)
    finished(search, gradients)
    assert finished(resumed, gradients).history == search.history
    assert_same_masks(resumed.masks, search.masks)


WEIGHTS = {"a": np.float32([1, 2, 3]), "b": np.float32([4])}
MASKS = {"a": np.array([True, False, True]), "b": np.array([False])}


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"keep": 3}, sf.KeepError, "keep is 3 where initial_masks keep 2 of 4"),
        ({"sparsity": 0.25}, sf.SparsityError, "of 0.25 keeps 3 where initial_masks"),
        ({"schedule": [3, 1]}, sf.ScheduleError, "step 1 .* keeps 3 where initial_masks"),
        ({"keep": 1, "method": "snip"}, sf.StepsError, "^snip .* iterative_snip, .* or force"),
        ({"keep": 1, "method": "magnitude"}, sf.StepsError, "cannot begin at initial_masks"),
        ({"keep": 1, "method": "random"}, sf.StepsError, "cannot begin at initial_masks"),
        ({"keep": 1, "initial_masks": {"a": MASKS["a"]}}, sf.StructureError, "^initial_masks lack"),
        (
            {"keep": 1, "initial_masks": {**MASKS, "b": np.ones(2, bool)}},
            sf.ShapeError,
            r"^initial_masks\['b'\] has shape",
        ),
        (
            {"keep": 1, "initial_masks": {**MASKS, "b": np.float32([1])}},
            sf.UnsupportedTypeError,
            r"^initial_masks\['b'\] has dtype float32 where bool",
        ),
        (
            {"keep": 1, "initial_masks": {name: np.zeros_like(m) for name, m in MASKS.items()}},
            sf.KeepError,
            "keep is 1 where initial_masks keep 0",
        ),
        (
            {"keep": 1, "initial_masks": sf.magnitude({"c": np.float32([1])}, keep=1)},
            sf.WeightsDifferError,
            "'a', 'b' unknown|'c' missing",
        ),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        sf.MaskSearch(WEIGHTS, **{"initial_masks": MASKS} | options)


@pytest.mark.parametrize("method", METHODS)
def test_on_ranks(method: str) -> None:
    weights, gradients = network(63, ((90,),))
    masks = sf.magnitude(weights, keep=50).masks
    options: dict[str, Any] = {"method": method, "keep": 7, "steps": 3}
    expected = finished(sf.MaskSearch(weights, initial_masks=masks, **options), gradients)

    def work(member: Member) -> tuple[Any, Any]:
        part = slice(30 * member.rank, 30 * member.rank + 30)
        search = sf.MaskSearch(
            [weights[0][part].copy()],
            initial_masks=[masks[0][part].copy()],
            communicator=member,
            **options,
        )
        whole = sf.MaskSearch(weights, initial_masks=masks, **options)
        while not search.done:
            grads = gradients(whole.masked_weights)
            whole.step(grads)
            search.step([grads[0][part].copy()])
        return search.masks[0], [replace(step, layer_kept=()) for step in search.history]

    found = results(Group(3).run(work))
    assert_same_masks([np.concatenate([mask for mask, _ in found])], expected.masks)
    for _, history in found:
        for mine, other in zip(history, expected.history, strict=True):
            assert (mine.step, mine.keep, mine.removed, mine.revived, mine.candidates) == (
                other.step,
                other.keep,
                other.removed,
                other.revived,
                other.candidates,
            )


def test_ranks_that_do_not_all_begin_at_masks() -> None:
    def work(member: Member) -> Any:
        weights = np.ones(3, np.float32)
        masks = None if member.rank else np.ones(3, bool)
        return sf.MaskSearch(weights, keep=2, communicator=member, initial_masks=masks)

    assert {type(error) for error in Group(3).run(work)} == {sf.StructureError}
