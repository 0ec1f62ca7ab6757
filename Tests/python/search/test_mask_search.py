"""The search: masks and the record of every step as the oracle has them, and it stays usable."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from kinds import KINDS, cut, cuts, gradient_function, network, shaped, values
from oracle import assert_same_masks
from swiftforce import _core

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

PROGRESSIVE = [name for name, (_, _, one_shot) in oracle.METHODS.items() if not one_shot]
ONE_SHOT = [name for name in oracle.METHODS if name not in PROGRESSIVE]
NESTED = [name for name, (_, nested, _) in oracle.METHODS.items() if nested]
SUMS = ("saliency", "total_saliency", "gradient_norm")


def assert_same_step(actual: sf.Step, expected: oracle.Step) -> None:
    """Counts and the threshold exactly; sums as far as the order of adding allows."""
    for field in fields(expected):
        found, wanted = getattr(actual, field.name), getattr(expected, field.name)
        if field.name in SUMS:
            wanted = pytest.approx(wanted, rel=1e-11, abs=0)
        assert found == wanted, field.name
        assert type(found) in (int, float, tuple)
    assert actual.degenerate is (expected.arbitrary > 0)


def assert_as_the_oracle(
    weights: list[Any], gradients: Callable, method: str, keeps: tuple[int, ...], seed: int = 0
) -> sf.MaskSearch:
    """Runs a search step by step beside the oracle's."""
    masks, steps = oracle.search(weights, gradients, method, keeps, seed)
    search = sf.MaskSearch(weights, method=method, schedule=list(keeps), seed=seed)
    for expected_masks, expected_step in zip(masks, steps, strict=True):
        step = search.step(gradients(search.masked_weights))
        assert_same_step(step, expected_step)
        assert_same_masks(search.masks, expected_masks)
        expected = oracle.masked(weights, expected_masks)
        for found, wanted in zip(search.masked_weights, expected, strict=True):
            assert found.tobytes() == wanted.tobytes()
    assert search.done
    result = search.result()
    assert_same_masks(result.masks, masks[-1])
    assert [step.keep for step in result.history] == list(keeps)
    return search


# ------------------------------------------------------------------------- as the oracle


@pytest.mark.parametrize("method", oracle.METHODS)
@given(data=st.data())
@pytest.mark.slow
def test_any_network_as_the_oracle(method: str, data: st.DataObject) -> None:
    n = data.draw(st.sampled_from((1, 2, 9, 100, 4097, 9000)))
    places = data.draw(cuts(n))
    weights, slopes, offsets = (shaped(cut(data.draw(values(n)), places)) for _ in range(3))
    steps = 1 if method in ONE_SHOT else data.draw(st.integers(1, 6))
    keeps = data.draw(st.lists(st.integers(1, n), min_size=steps, max_size=steps))
    gradients = gradient_function(slopes, offsets)
    seed = data.draw(st.integers(0, 2**64 - 1))
    assert_as_the_oracle(weights, gradients, method, tuple(sorted(keeps, reverse=True)), seed)


@pytest.mark.parametrize("schedule", oracle.SCHEDULES)
@pytest.mark.parametrize("method", PROGRESSIVE)
@pytest.mark.slow
def test_whole_searches_by_every_schedule(method: str, schedule: str) -> None:
    weights, gradients = network(3, ((40, 30), (0,), (30, 10), (7,)))
    n = sum(weight.size for weight in weights)
    keep = oracle.keep_count(n, 0.95)
    keeps = oracle.schedule_keeps(schedule, n, keep, 12)
    assert_as_the_oracle(weights, gradients, method, keeps)
    found = sf.prune(weights, gradients, method=method, sparsity=0.95, steps=12, schedule=schedule)
    masks, _ = oracle.search(weights, gradients, method, keeps)
    assert_same_masks(found.masks, masks[-1])
    assert found.schedule == schedule
    assert tuple(step.keep for step in found.history) == keeps


@pytest.mark.slow
@pytest.mark.parametrize("method", PROGRESSIVE)
def test_tiny_networks_exhaustively(method: str) -> None:
    """All weights and gradients of few values, all numbers to keep, in two steps."""
    levels = [-1, 0, 2]
    for chosen in itertools.product(levels, repeat=4):
        weights = [np.float32(chosen[:2]), np.float32(chosen[2:])]
        gradients = gradient_function(
            [np.float32([1, -1]), np.float32([0, 1])], [np.float32([0, 1]), np.float32([1, -1])]
        )
        for keeps in itertools.combinations_with_replacement((4, 3, 2, 1), 2):
            masks, steps = oracle.search(weights, gradients, method, keeps)
            search = sf.MaskSearch(weights, method=method, schedule=keeps)
            for mask, expected in zip(masks, steps, strict=True):
                assert_same_step(search.step(gradients(search.masked_weights)), expected)
                assert_same_masks(search.masks, mask)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", oracle.METHODS)
def test_every_kind_of_weights(method: str, kind: str, rng: np.random.Generator) -> None:
    places = [0, 100, 4400]
    weights = cut(KINDS[kind](4500, rng), places)
    gradients = gradient_function(
        cut(KINDS["few values"](4500, rng), places), cut(KINDS["half zeros"](4500, rng), places)
    )
    keeps = (300,) if method in ONE_SHOT else (4499, 1200, 1200, 40)
    assert_as_the_oracle(weights, gradients, method, keeps, seed=9)


@given(data=st.data())
@pytest.mark.slow
def test_the_masks_do_not_depend_on_the_cuts(data: st.DataObject) -> None:
    n = data.draw(st.sampled_from((6, 300, 5000)))
    weights, slopes, offsets = (data.draw(values(n)) for _ in range(3))
    method = data.draw(st.sampled_from(PROGRESSIVE))
    keep = data.draw(st.integers(1, n))
    places = data.draw(cuts(n))
    whole = sf.prune(weights, lambda w: slopes * w + offsets, method=method, keep=keep, steps=4)
    parts = sf.prune(
        cut(weights, places),
        gradient_function(cut(slopes, places), cut(offsets, places)),
        method=method,
        keep=keep,
        steps=4,
    )
    assert np.concatenate(parts.masks).tobytes() == whole.masks.tobytes()


@given(
    st.sampled_from(list(oracle.METHODS)),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 9),
    st.sampled_from(oracle.SCHEDULES),
)
def test_exactly_k_always(method: str, sparsity: float, steps: int, schedule: str) -> None:
    weights, gradients = network(1)
    found = sf.prune(
        weights,
        gradients if oracle.METHODS[method][0] in oracle.SALIENCIES[:2] else None,
        method=method,
        sparsity=sparsity,
        steps=steps if method in PROGRESSIVE else None,
        schedule=schedule,
    )
    k = oracle.keep_count(61, sparsity)
    assert sum(int(mask.sum()) for mask in found.masks) == found.keep == k
    assert found.size == 61
    assert abs(found.sparsity - sparsity) <= 1 / 61
    assert found.history[-1].keep == sum(found.history[-1].layer_kept) == k


@pytest.mark.parametrize("method", oracle.METHODS)
def test_keep_is_taken_as_it_is(method: str) -> None:
    weights, gradients = network(2)
    needs = oracle.METHODS[method][0] in oracle.SALIENCIES[:2]
    for keep in (1, 2, np.int32(30), 60, 61):
        found = sf.prune(weights, gradients if needs else None, method=method, keep=keep)
        assert sum(int(mask.sum()) for mask in found.masks) == keep
        assert found.steps == (1 if method in ONE_SHOT else 60)


@pytest.mark.parametrize("method", ["force", "iterative_snip"])
def test_one_step_is_snip(method: str) -> None:
    weights, gradients = network(4)
    one = sf.prune(weights, gradients, method=method, sparsity=0.7, steps=1)
    snip = sf.snip(weights, gradients(weights), sparsity=0.7)
    assert_same_masks(one.masks, snip.masks)
    assert one.history == snip.history
    assert_same_masks(snip.masks, sf.snip(weights, gradients, sparsity=0.7).masks)


def test_one_step_of_force_takes_arrays() -> None:
    weights, gradients = network(4)
    one = sf.force(weights, gradients(weights), sparsity=0.7, steps=1)
    assert_same_masks(one.masks, sf.snip(weights, gradients, sparsity=0.7).masks)


@pytest.mark.parametrize(
    ("function", "method"),
    [(sf.force, "force"), (sf.iterative_snip, "iterative_snip"), (sf.grasp_it, "grasp_it")],
)
def test_functions_are_their_methods(function: Callable, method: str) -> None:
    weights, gradients = network(5)
    options: dict[str, Any] = {"sparsity": 0.8, "steps": 5, "schedule": "cosine"}
    found = function(weights, gradients, **options)
    assert found.method == method
    expected = sf.prune(weights, gradients, method=method, **options)
    assert_same_masks(found.masks, expected.masks)
    assert found.history == expected.history


def test_magnitude_and_random_need_no_gradients() -> None:
    weights, _ = network(6)
    by_size = oracle.search(weights, None, "magnitude", (20,))[0][-1]
    assert_same_masks(sf.magnitude(weights, keep=20).masks, by_size)
    drawn = oracle.search(weights, None, "random", (20,), seed=11)[0][-1]
    assert_same_masks(sf.random(weights, keep=20, seed=11).masks, drawn)
    assert sf.random(weights, keep=20, seed=11).seed == 11
    other = sf.random(weights, keep=20, seed=12).masks
    assert any(a.tobytes() != b.tobytes() for a, b in zip(other, drawn, strict=True))


# ------------------------------------------------------------------------- nested and free


def chain(method: str) -> list[np.ndarray]:
    """The flat mask after every step of a search in which dead weights have large scores."""
    weights, gradients = network(8, ((50, 20),))
    search = sf.MaskSearch(weights, method=method, sparsity=0.9, steps=10)
    masks = []
    while not search.done:
        search.step(gradients(search.masked_weights))
        masks.append(search.masks[0].ravel().copy())
    return masks


@pytest.mark.parametrize("method", NESTED)
def test_a_nested_search_is_a_chain_of_subsets(method: str) -> None:
    masks = chain(method)
    assert all(not (later & ~earlier).any() for earlier, later in itertools.pairwise(masks))


@pytest.mark.parametrize("method", NESTED)
def test_dead_weights_stay_dead_where_all_the_living_have_a_score_of_zero(method: str) -> None:
    weights = np.float32([1, 2, 3, 4, 5, 6])
    search = sf.MaskSearch(weights, method=method, schedule=[3, 2])
    search.step(np.float32([0, 0, 0, 1, 1, 1]))
    step = search.step(np.float32([9, 9, 9, 0, 0, 0]))
    assert search.masks.tolist() == [False, False, False, True, True, False]
    assert (step.revived, step.candidates, step.zero_scores, step.arbitrary) == (0, 3, 3, 2)


def test_force_really_revives() -> None:
    masks = chain("force")
    revived = [int((later & ~earlier).sum()) for earlier, later in itertools.pairwise(masks)]
    assert sum(revived) > 100
    weights = np.float32([1, 2, 3, 4])
    search = sf.MaskSearch(weights, method="force", schedule=[2, 2])
    search.step(np.float32([0, 0, 1, 1]))
    step = search.step(np.float32([9, 9, 0, 0]))
    assert search.masks.tolist() == [True, True, False, False]
    assert (step.revived, step.removed, step.candidates) == (2, 2, 4)


def test_force_scores_removed_weights_by_their_dense_values() -> None:
    weights = np.float32([5, 1, 1, 1])
    search = sf.MaskSearch(weights, method="force", schedule=[3, 1])
    search.step(np.float32([0, 1, 1, 1]))
    assert search.masked_weights.tolist() == [0, 1, 1, 1]
    search.step(np.float32([1, 2, 3, 4]))  # scores 5, 2, 3, 4
    assert search.masks.tolist() == [True, False, False, False]


# ------------------------------------------------------------------------- the caller's loop


def test_a_search_tells_where_it_is() -> None:
    weights, gradients = network(9)
    search = sf.MaskSearch(weights, keep=10, steps=3)
    assert (search.steps, search.taken, search.done) == (3, 0, False)
    assert search.method == "force"
    assert search.keeps == oracle.schedule_keeps("exponential", 61, 10, 3)
    assert all(mask.all() for mask in search.masks)
    for taken in (1, 2, 3):
        assert search.step(gradients(search.masked_weights)).step == taken
        assert (search.taken, search.done) == (taken, taken == 3)


def test_before_the_first_step_the_masked_weights_are_the_weights() -> None:
    weights, _ = network(9)
    search = sf.MaskSearch(weights, keep=10, steps=3)
    for view, weight in zip(search.masked_weights, weights, strict=True):
        assert weight.size == 0 or np.shares_memory(view, weight)
        assert not view.flags.writeable


def test_the_masked_weights_of_a_one_shot_search() -> None:
    search = sf.MaskSearch(np.float32([-1, 2, -0.0]), method="magnitude", keep=1)
    search.step()
    assert search.masked_weights.tobytes() == np.float32([0, 2, 0]).tobytes()


def test_what_a_search_shows_is_read_only() -> None:
    weights, gradients = network(9)
    search = sf.MaskSearch(weights, keep=10, steps=3)
    search.step(gradients(search.masked_weights))
    for array in (*search.masks, *search.masked_weights):
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_a_result_on_the_way_does_not_change_later() -> None:
    weights, gradients = network(9)
    search = sf.MaskSearch(weights, keep=5, steps=4)
    search.step(gradients(search.masked_weights))
    early = search.result()
    copies = [mask.tobytes() for mask in early.masks]
    kept = early.keep
    while not search.done:
        search.step(gradients(search.masked_weights))
    assert [mask.tobytes() for mask in early.masks] == copies
    assert (early.keep, early.steps) == (kept, 1)
    assert search.result().keep == 5 < kept


def test_writing_to_a_result_on_the_way_does_not_disturb_the_search() -> None:
    weights, gradients = network(9)
    search = sf.MaskSearch(weights, keep=5, steps=4)
    search.step(gradients(search.masked_weights))
    for mask in search.result().masks:
        mask.fill(False)
    while not search.done:
        search.step(gradients(search.masked_weights))
    expected = sf.force(weights, gradients, keep=5, steps=4)
    assert_same_masks(search.result().masks, expected.masks)


def test_too_many_steps_and_too_few() -> None:
    weights, gradients = network(9)
    search = sf.MaskSearch(weights, keep=5, steps=1)
    with pytest.raises(sf.SearchDoneError, match="no step yet") as caught:
        search.result()
    assert isinstance(caught.value, RuntimeError)
    search.step(gradients(weights))
    before = search.result().masks[0].tobytes()
    with pytest.raises(sf.SearchDoneError, match="all of its 1 steps") as caught:
        search.step(gradients(weights))
    assert isinstance(caught.value, RuntimeError)
    assert search.result().masks[0].tobytes() == before


# ------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, sf.SparsityError, "give sparsity .* or keep"),
        ({"sparsity": 0.5, "keep": 2}, sf.SparsityError, "not both"),
        ({"sparsity": 1.0}, sf.SparsityError, "not 1.0"),
        ({"sparsity": "0.5"}, sf.SparsityError, "'0.5'"),
        ({"sparsity": float("nan")}, sf.SparsityError, "nan"),
        ({"keep": 0}, sf.KeepError, "1 ... 4, the number of weights, not 0"),
        ({"keep": 5}, sf.KeepError, "1 ... 4, the number of weights, not 5"),
        ({"keep": -1}, sf.KeepError, "not -1"),
        ({"keep": 2.0}, sf.KeepError, "must be an integer, not 2.0"),
        ({"keep": True}, sf.KeepError, "must be an integer, not True"),
        ({"keep": "2"}, sf.KeepError, "'2'"),
        ({"keep": 2**64}, sf.KeepError, "64 bits"),
        ({"keep": 2, "steps": 0}, sf.StepsError, "not 0"),
        ({"keep": 2, "steps": -1}, sf.StepsError, "not -1"),
        ({"keep": 2, "steps": 2.5}, sf.StepsError, "not 2.5"),
        ({"keep": 2, "steps": "3"}, sf.StepsError, "'3'"),
        ({"keep": 2, "steps": 10**12}, sf.StepsError, "1000000000000"),
        ({"keep": 2, "steps": 2, "method": "snip"}, sf.StepsError, "snip .* one step, not 2"),
        ({"schedule": [3, 2], "method": "random"}, sf.StepsError, "random .* one step, not 2"),
        ({"schedule": [2, 3]}, sf.ScheduleError, "step 2 of the schedule keeps 3 weights after 2"),
        ({"schedule": [3, 2], "keep": 1}, sf.ScheduleError, "ends at 2 .* where 1"),
        ({"schedule": [0.5, 0.75], "sparsity": 0.5}, sf.ScheduleError, "ends at 1 .* where 2"),
        ({"schedule": [3, 2], "steps": 3}, sf.ScheduleError, "has 2 steps where steps is 3"),
        ({"schedule": []}, sf.ScheduleError, "at least one step"),
        ({"schedule": 3, "keep": 2}, sf.ScheduleError, "not int"),
        ({"schedule": None, "keep": 2}, sf.ScheduleError, "not NoneType"),
        ({"keep": 2, "seed": -1}, sf.SeedError, "not -1"),
        ({"keep": 2, "seed": 2**64}, sf.SeedError, f"not {2**64}"),
        ({"keep": 2, "seed": 1.5}, sf.SeedError, "not 1.5"),
        ({"keep": 2, "seed": True}, sf.SeedError, "not True"),
        ({"keep": 2, "seed": None}, sf.SeedError, "not None"),
    ],
)
def test_options_that_are_refused(options: dict[str, object], error: type, text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        sf.MaskSearch(np.float32([1, 2, 3, 4]), **options)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, sf.SwiftForceError)


def test_arrays_of_gradients_for_several_steps() -> None:
    with pytest.raises(sf.MissingGradientsError, match="each of its 60 steps") as caught:
        sf.force(np.float32([1, 2]), np.float32([1, 2]), keep=1)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("method", [name for name in oracle.METHODS if "a" not in name[:2]])
def test_missing_gradients(method: str) -> None:
    search = sf.MaskSearch(np.float32([1, 2]), method=method, keep=1)
    if oracle.METHODS[method][0] in oracle.SALIENCIES[2:]:
        search.step()
        return
    with pytest.raises(sf.MissingGradientsError, match=f"'{method}' scores") as caught:
        search.step()
    assert isinstance(caught.value, TypeError)
    assert search.taken == 0


@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_gradients_that_nobody_reads_are_not_computed(method: str) -> None:
    calls = []
    sf.prune(np.float32([1, 2]), calls.append, method=method, keep=1)
    assert calls == []


# ------------------------------------------------------------------------- after an error


def state(search: sf.MaskSearch) -> tuple:
    arrays = (*search.masks, *search.masked_weights)
    return (search.taken, search.done, search.keeps, *(array.tobytes() for array in arrays))


def spoiled(gradients: list[Any], value: float) -> list[Any]:
    found = [gradient.copy() for gradient in gradients]
    found[-1].flat[-1] = value
    return found


@pytest.mark.parametrize("method", PROGRESSIVE)
@pytest.mark.parametrize("fails_at", [1, 2, 5])
def test_a_step_that_fails_changes_nothing_and_can_be_tried_again(
    method: str, fails_at: int
) -> None:
    weights, gradients = network(10)
    before = [weight.tobytes() for weight in weights]
    search = sf.MaskSearch(weights, method=method, keep=7, steps=5)
    while not search.done:
        good = gradients(search.masked_weights)
        if search.taken == fails_at - 1:
            found = state(search)
            for bad in (np.nan, np.inf, -np.inf):
                with pytest.raises(sf.NonFiniteError):
                    search.step(spoiled(good, bad))
                assert state(search) == found
            with pytest.raises(sf.ShapeError):
                search.step([*good[:-1], good[-1][1:]])
            with pytest.raises(sf.StructureError):
                search.step(good[:-1])
            with pytest.raises(sf.MissingGradientsError):
                search.step()
            assert state(search) == found
        search.step(good)
    expected = sf.prune(weights, gradients, method=method, keep=7, steps=5)
    assert_same_masks(search.result().masks, expected.masks)
    assert search.result().history == expected.history
    assert [weight.tobytes() for weight in weights] == before


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
def test_an_exception_in_the_callers_function_is_the_callers(error: BaseException) -> None:
    weights, gradients = network(11)
    before = [weight.tobytes() for weight in weights]
    calls = []

    def interrupted(masked: list[Any]) -> list[Any]:
        calls.append(1)
        if len(calls) == 3:
            raise error
        return gradients(masked)

    with pytest.raises(type(error)) as caught:
        sf.force(weights, interrupted, keep=7, steps=5)
    assert caught.value is error
    assert [weight.tobytes() for weight in weights] == before
    calls.extend([1, 1, 1])
    again = sf.force(weights, interrupted, keep=7, steps=5)
    assert_same_masks(again.masks, sf.force(weights, gradients, keep=7, steps=5).masks)


def test_gradients_that_are_the_masked_weights() -> None:
    weights, _ = network(12)
    search = sf.MaskSearch(weights, keep=7, steps=3)
    while not search.done:
        search.step(search.masked_weights)
    copied = sf.force(weights, lambda masked: [array.copy() for array in masked], keep=7, steps=3)
    assert_same_masks(search.result().masks, copied.masks)


def test_weights_as_gradients() -> None:
    weights, _ = network(12)
    found = sf.snip(weights, weights, keep=9)
    assert_same_masks(found.masks, sf.magnitude(weights, keep=9).masks)


@pytest.mark.parametrize("method", oracle.METHODS)
def test_inputs_are_not_written(method: str) -> None:
    weights, gradients = network(13)
    given_gradients = gradients(weights)
    before = [array.tobytes() for array in (*weights, *given_gradients)]
    sf.prune(weights, given_gradients, method=method, keep=5, steps=1)
    assert [array.tobytes() for array in (*weights, *given_gradients)] == before


# ------------------------------------------------------------------------- warnings


@pytest.mark.filterwarnings("always::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize(
    "function",
    [
        lambda w, g: sf.snip(w, g, keep=3),
        lambda w, g: sf.force(w, lambda _: g, keep=3, steps=1),
        lambda w, g: sf.iterative_snip(w, lambda _: g, keep=3, steps=1),
        lambda w, g: sf.grasp_it(w, lambda _: g, keep=3, steps=1),
        lambda w, g: sf.prune(w, g, method="snip", keep=3),
        lambda w, g: sf.magnitude(g, keep=3),
    ],
)
def test_positions_that_chose_are_told_at_the_callers_line(function: Callable) -> None:
    weights, gradients = np.float32([1, 2, 3, 4, 5]), np.float32([0, 1, 0, 0, 0])
    with pytest.warns(sf.DegenerateSaliencyWarning, match="2 of the 3 weights kept") as caught:
        function(weights, gradients)
    assert [warning.filename for warning in caught] == [__file__]
    assert [warning.lineno for warning in caught] == [function.__code__.co_firstlineno]


@pytest.mark.filterwarnings("always::swiftforce.SwiftForceWarning")
def test_a_search_warns_at_the_line_that_asks_for_the_result() -> None:
    search = sf.MaskSearch({"a": np.float32([1]), "b": np.float32([2, 3])}, keep=1, steps=2)
    search.step({"a": np.float32([0]), "b": np.float32([0, 0])})
    search.step({"a": np.float32([0]), "b": np.float32([0, 0])})
    with pytest.warns(sf.SwiftForceWarning) as caught:
        result = search.result()
    assert [warning.category for warning in caught] == [
        sf.DegenerateSaliencyWarning,
        sf.LayerCollapseWarning,
        sf.MaskedGradientsWarning,
    ]
    assert {warning.filename for warning in caught} == {__file__}
    assert "2 of 2 steps (1, 2) had fewer" in str(caught[0].message)
    assert "1 of the 1 weights kept in step 2" in str(caught[0].message)
    assert "no weight is kept in b" in str(caught[1].message)
    assert result.degenerate


@pytest.mark.filterwarnings("always::swiftforce.SwiftForceWarning")
def test_all_collapsed_layers_are_named() -> None:
    weights = {name: np.float32([i + 1]) for i, name in enumerate("abc")}
    with pytest.warns(sf.LayerCollapseWarning, match="in a, b$"):
        sf.magnitude(weights, keep=1)


def test_no_warning_where_all_is_well() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights, gradients = network(14)
        found = sf.force(weights, gradients, sparsity=0.5, steps=10)
    assert not found.degenerate


def test_warnings_as_errors_leave_the_result_to_be_had() -> None:
    search = sf.MaskSearch(np.float32([1, 2]), keep=1, steps=1)
    search.step(np.float32([0, 0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(sf.DegenerateSaliencyWarning):
            search.result()
    assert search.result().masks.tolist() == [True, False]


# ------------------------------------------------------------------------- threads, processes


def test_threads_do_not_disturb_each_other() -> None:
    networks = [network(seed, ((60, 50), (50, 20))) for seed in range(8)]
    expected = [sf.force(w, g, sparsity=0.9, steps=6).masks for w, g in networks]

    def hammer(position: int) -> None:
        weights, gradients = networks[position]
        for _ in range(8):
            found = sf.force(weights, gradients, sparsity=0.9, steps=6)
            assert_same_masks(found.masks, expected[position])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hammer, range(8)))


def test_threads_may_share_the_weights() -> None:
    weights, gradients = network(15, ((200, 100),))
    expected = sf.force(weights, gradients, keep=99, steps=4).masks
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: sf.force(weights, gradients, keep=99, steps=4).masks, range(12))
    for masks in found:
        assert_same_masks(masks, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")  # of JAX, once it is imported
def test_a_child_process_goes_on_with_the_search() -> None:
    weights, gradients = network(16)
    expected = sf.force(weights, gradients, keep=7, steps=4).masks
    search = sf.MaskSearch(weights, keep=7, steps=4)
    search.step(gradients(search.masked_weights))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            while not search.done:
                search.step(gradients(search.masked_weights))
            assert_same_masks(search.result().masks, expected)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    while not search.done:
        search.step(gradients(search.masked_weights))
    assert_same_masks(search.result().masks, expected)


def test_progress_needs_tqdm_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    weights, gradients = network(17)
    shown = sf.prune(weights, gradients, keep=7, steps=4, progress=True)
    assert "force" in capsys.readouterr().err
    quiet = sf.prune(weights, gradients, keep=7, steps=4)
    assert capsys.readouterr().err == ""
    assert_same_masks(shown.masks, quiet.masks)


def test_progress_without_tqdm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    weights, gradients = network(17)
    with pytest.raises(ImportError, match=r"pip install 'swiftforce\[demo\]'"):
        sf.prune(weights, gradients, keep=7, steps=4, progress=True)


def test_a_step_whose_return_was_interrupted_is_in_the_record() -> None:
    weights, gradients = network(14)
    search, other = (sf.MaskSearch(weights, keep=7, steps=4) for _ in range(2))
    for _ in range(4):
        other.step(gradients(other.masked_weights))
    search.step(gradients(search.masked_weights))
    # What an interrupt right after the native call leaves behind: a step that nobody recorded.
    _core.search_step(
        search._search,
        search._tensors.arrays,
        gradients(search.masked_weights),
        search._masks_of(1),
        search._masks_of(2),
        search._masked,
        None,
        None,
    )
    assert search.taken == 2
    while not search.done:
        search.step(gradients(search.masked_weights))
    assert search.history == other.history
    assert_same_masks(search.result().masks, other.result().masks)


def test_steps_from_several_threads_are_recorded_in_order() -> None:
    weights = np.linspace(1, 2, 50_000, dtype=np.float32)
    search = sf.MaskSearch(weights, keep=100, steps=40)

    def work() -> None:
        for _ in range(10):
            search.step(weights)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [step.step for step in search.history] == list(range(1, 41))
    assert search.result().keep == 100


def test_a_result_is_the_callers_own() -> None:
    weights, gradients = network(15)
    search = sf.MaskSearch(weights, keep=5, steps=1)
    search.step(gradients(weights))
    first = search.result()
    first.masks[0][...] = True
    assert_same_masks(search.result().masks, search.masks)


def test_gradients_that_are_masked_draw_a_warning() -> None:
    weights, gradients = network(16)

    def masked_gradients(masked: list[np.ndarray]) -> list[np.ndarray]:
        return [g * (w != 0) for g, w in zip(gradients(masked), masked, strict=True)]

    with pytest.warns(sf.MaskedGradientsWarning, match="dense"):
        sf.force(weights, masked_gradients, keep=5, steps=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", sf.MaskedGradientsWarning)
        sf.iterative_snip(weights, masked_gradients, keep=5, steps=4)
        sf.force(weights, gradients, keep=5, steps=4)


def test_weights_that_overlap_in_part_are_refused_at_once() -> None:
    memory = np.ones(10, np.float32)
    with pytest.raises(sf.OverlapError, match=r"weights\['b'\] shares memory with weights\['a'\]"):
        sf.MaskSearch({"a": memory[:6], "b": memory[5:]}, keep=1)
