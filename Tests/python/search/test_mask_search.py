"""The search: masks and the record of every step as the oracle has them, and it stays usable."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from kinds import KINDS, cut, cuts, gradient_function, network, shaped, values
from oracle import assert_same_masks
from steps import assert_same_step

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

PROGRESSIVE = [name for name, (_, _, one_shot) in oracle.METHODS.items() if not one_shot]
ONE_SHOT = [name for name in oracle.METHODS if name not in PROGRESSIVE]
NESTED = [name for name, (_, nested, _) in oracle.METHODS.items() if nested]


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
    for found, wanted in zip(result.history, steps, strict=True):
        assert_same_step(found, wanted)
        assert (found.objective is None) is (wanted.objective is None)
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
