"""Ctrl-C at any line leaves a search whole: the step was taken, or it was not."""

from __future__ import annotations

import copy
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from interrupts import interrupted_calls
from kinds import network
from oracle import assert_same_masks

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

WEIGHTS, GRADIENTS = network(51)
SHOWN = [np.array(weight) for weight in WEIGHTS]


def step(search: sf.MaskSearch[Any]) -> sf.Step:
    return search.step(GRADIENTS(search.masked_weights))


def begun(**options: Any) -> sf.MaskSearch[Any]:
    search = sf.MaskSearch(WEIGHTS, **{"keep": 9, "steps": 4} | options)
    step(search)
    return search


def finished(search: sf.MaskSearch[Any]) -> sf.MaskSearch[Any]:
    while not search.done:
        step(search)
    return search


@pytest.mark.parametrize(
    "options", [{}, {"method": "iterative_snip"}, {"momentum": 0.9, "removed_factor": 0.5}]
)
def test_a_step_is_taken_or_is_not(options: dict[str, Any]) -> None:
    expected = finished(begun(**options))
    gradients = GRADIENTS(begun(**options).masked_weights)
    taken = []
    for search in interrupted_calls(lambda: begun(**options), lambda s: s.step(gradients)):
        taken.append(search.taken)
        assert len(search.history) == search.taken
        for mask, weight, masked in zip(search.masks, WEIGHTS, search.masked_weights, strict=True):
            np.testing.assert_array_equal(masked, np.where(mask, weight, np.float32(0)))
        assert sum(int(mask.sum()) for mask in search.masks) == search.history[-1].keep
        assert finished(search).history == expected.history
        assert_same_masks(search.masks, expected.masks)
    assert taken == sorted(taken)
    assert set(taken) == {1, 2}


@pytest.mark.parametrize(
    "call",
    [
        lambda search: search.result(),
        lambda search: search.history,
        lambda search: search.masks,
        lambda search: search.masked_weights,
        lambda search: search.objective(SHOWN),
        copy.copy,
        copy.deepcopy,
    ],
)
def test_questions_change_nothing(call: Any) -> None:
    expected = finished(begun())
    for search in interrupted_calls(begun, call):
        assert search.taken == 1
        assert finished(search).history == expected.history
        assert_same_masks(search.masks, expected.masks)


def test_a_search_is_saved_or_is_not(tmp_path: Path) -> None:
    expected = finished(begun())
    numbers = count()

    def make() -> tuple[sf.MaskSearch[Any], Path]:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return begun(), folder / "search"

    saved = []
    for search, path in interrupted_calls(make, lambda made: made[0].save(made[1])):
        saved.append(path.exists())
        # A folder that an interrupted cleanup left is hidden, and removed by a later writer.
        left = {one.name for one in path.parent.iterdir() if not one.name.startswith(".swiftf")}
        assert left == ({"search"} if saved[-1] else set())
        if saved[-1] and not saved[-2]:
            assert finished(sf.MaskSearch.resume(path, WEIGHTS)).history == expected.history
        assert finished(search).history == expected.history
    assert saved == sorted(saved)
    assert set(saved) == {False, True}


def test_a_new_search_leaves_the_weights_alone() -> None:
    masks = [np.ones(weight.shape, bool) for weight in WEIGHTS]
    make = lambda: [np.full_like(weight, 7) for weight in WEIGHTS]  # noqa: E731
    masks[0][:3] = False
    whole = [np.where(mask, weight, 0) for mask, weight in zip(masks, WEIGHTS, strict=True)]
    for masked in interrupted_calls(
        make,
        lambda masked: sf.MaskSearch(
            WEIGHTS, keep=9, steps=4, masked_weights=masked, initial_masks=masks
        ),
    ):
        found = [array.tolist() for array in masked]
        assert found in [[array.tolist() for array in arrays] for arrays in (make(), whole)]
        for weight, shown in zip(WEIGHTS, SHOWN, strict=True):
            assert weight.tobytes() == shown.tobytes()
