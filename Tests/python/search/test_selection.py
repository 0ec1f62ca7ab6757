"""Scores, and the exact choice of the best: bit for bit what the sorting oracle finds."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import oracle
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from kinds import HUGE, KINDS, SIZES, cut, cuts, shaped, values
from oracle import assert_same_masks

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def keeps_of(n: int) -> list[int]:
    """The edges, the middle, and where most goes wrong: next to the edges."""
    return sorted({1, min(2, n), n // 3 + 1, (n + 1) // 2, max(1, n - 1), n})


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_size_as_the_oracle(kind: str, n: int, rng: np.random.Generator) -> None:
    scores = KINDS[kind](n, rng)
    for keep in keeps_of(n):
        found = sf.select(scores, keep=keep)
        assert_same_masks(found, oracle.select([scores], keep)[0])


@pytest.mark.slow
@pytest.mark.parametrize("n", range(1, 6))
def test_tiny_sizes_exhaustively(n: int) -> None:
    levels = np.float32([-1, -0.0, 0, 2])
    for chosen in itertools.product(levels, repeat=n):
        scores = np.array(chosen, np.float32)
        for keep in range(1, n + 1):
            found = sf.select(scores, keep=keep)
            assert_same_masks(found, oracle.select([scores], keep)[0])


@pytest.mark.slow
def test_tiny_sizes_in_every_cut() -> None:
    for chosen in itertools.product((0, 1, 2), repeat=4):
        flat = np.array(chosen, np.float32)
        for places in itertools.combinations_with_replacement(range(5), 2):
            scores = cut(flat, list(places))
            for keep in range(1, 5):
                assert_same_masks(sf.select(scores, keep=keep), oracle.select(scores, keep))


@given(st.data())
def test_the_masks_do_not_depend_on_the_cuts(data: st.DataObject) -> None:
    n = data.draw(st.sampled_from((1, 5, 64, 4096, 4100, 9000)))
    flat = data.draw(values(n))
    keep = data.draw(st.integers(1, n))
    scores = cut(flat, data.draw(cuts(n)))
    found = sf.select(scores, keep=keep)
    assert_same_masks(found, oracle.select(scores, keep))
    assert_same_masks(np.concatenate(found), sf.select(flat, keep=keep))


@given(st.data())
def test_arbitrary_finite_floats(data: st.DataObject) -> None:
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    scores = np.array(data.draw(st.lists(numbers, min_size=1, max_size=40)), np.float32)
    keep = data.draw(st.integers(1, scores.size))
    assert_same_masks(sf.select(scores, keep=keep), oracle.select([scores], keep)[0])


def test_extreme_scores_are_ordered() -> None:
    scores = np.float32([HUGE, -HUGE, 1e-45, -1e-45, 0.0, -0.0, 1, -1])
    kept = [tuple(np.flatnonzero(sf.select(scores, keep=k)).tolist()) for k in range(1, 9)]
    assert kept == [
        (0,),
        (0, 6),
        (0, 2, 6),
        (0, 2, 4, 6),
        (0, 2, 4, 5, 6),
        (0, 2, 3, 4, 5, 6),
        (0, 2, 3, 4, 5, 6, 7),
        (0, 1, 2, 3, 4, 5, 6, 7),
    ]


def test_ties_go_to_the_lower_position_across_tensors() -> None:
    found = sf.select({"b": np.float32([1, 1]), "a": np.float32([1, 2])}, keep=2)
    assert list(found) == ["b", "a"]
    assert_same_masks(found, {"b": np.array([True, False]), "a": np.array([False, True])})


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9, 0.99, 0.999999])
def test_sparsity_keeps_the_rounded_number(sparsity: float, rng: np.random.Generator) -> None:
    scores = KINDS["random"](1234, rng)
    kept = int(sf.select(scores, sparsity=sparsity).sum())
    assert kept == oracle.keep_count(1234, sparsity)


def test_the_scores_are_not_written(rng: np.random.Generator) -> None:
    scores = [KINDS[kind](500, rng) for kind in KINDS]
    before = [array.tobytes() for array in scores]
    sf.select(scores, keep=77)
    assert [array.tobytes() for array in scores] == before


# ------------------------------------------------------------------------------- saliency


@pytest.mark.parametrize("criterion", sf.saliencies())
@pytest.mark.parametrize("kind", KINDS)
def test_saliency_is_that_of_the_oracle(
    criterion: str, kind: str, rng: np.random.Generator
) -> None:
    weights = shaped(cut(KINDS[kind](4500, rng), [0, 17, 4200]))
    gradients = shaped(cut(KINDS["random"](4500, rng), [0, 17, 4200]))
    found = sf.saliency(weights, gradients, criterion=criterion, seed=5)
    expected = oracle.scores(criterion, weights, gradients, seed=5)
    for score, wanted in zip(found, expected, strict=True):
        assert score.dtype == np.float32
        assert score.shape == wanted.shape
        assert score.tobytes() == np.abs(wanted).tobytes()  # no -0


@given(st.integers(0, 2**64 - 1), st.integers(1, 5000))
def test_random_saliency_of_any_seed(seed: int, n: int) -> None:
    weights = np.ones(n, np.float32)
    found = sf.saliency(weights, criterion="random", seed=seed)
    assert found.tobytes() == oracle.scores("random", [weights], seed=seed)[0].tobytes()
    assert 0 <= found.min() <= found.max() < 1


def test_selecting_by_saliency_is_snip(rng: np.random.Generator) -> None:
    weights, gradients = KINDS["random"](999, rng), KINDS["half zeros"](999, rng)
    selected = sf.select(sf.saliency(weights, gradients), keep=100)
    assert_same_masks(selected, sf.snip(weights, gradients, keep=100).masks)


@pytest.mark.parametrize("criterion", ["connection_sensitivity", "squared_gradient"])
def test_saliency_without_gradients_it_needs(criterion: str) -> None:
    with pytest.raises(sf.MissingGradientsError, match=criterion) as caught:
        sf.saliency(np.float32([1]), criterion=criterion)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_saliency_without_gradients_it_does_not_need(criterion: str) -> None:
    assert sf.saliency(np.float32([-3, 2]), criterion=criterion).shape == (2,)


# ------------------------------------------------------------------------------- warnings


@pytest.mark.filterwarnings("always::swiftforce.SwiftForceWarning")
def test_selection_warns_of_positions_that_chose() -> None:
    with pytest.warns(sf.DegenerateSaliencyWarning, match="2 of the 3 weights kept") as caught:
        sf.select(np.float32([0, 5, 0, 0]), keep=3)
    assert [warning.filename for warning in caught] == [__file__]
    assert "the selection had fewer weights" in str(caught[0].message)


@pytest.mark.filterwarnings("always::swiftforce.SwiftForceWarning")
def test_selection_warns_of_a_layer_without_weights() -> None:
    with pytest.warns(sf.LayerCollapseWarning, match="no weight is kept in fc2") as caught:
        sf.select({"fc1": np.float32([1, 2]), "fc2": np.float32([0.5])}, keep=2)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    ("scores", "keep"),
    [
        ([3, 2, 1], 1),
        ([0, 0, 1], 1),  # zeros, but none is kept
        ([0, 0, 1], 3),  # zeros, and all are kept
        ([1, 1, 1], 2),  # ties above zero are not degenerate
        ([-1, -2, -3], 2),
    ],
)
def test_no_warning_where_all_is_well(scores: list[float], keep: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sf.select(np.float32(scores), keep=keep)


def test_an_empty_tensor_is_no_collapse() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sf.select([np.float32([1, 2]), np.empty((0, 3), np.float32)], keep=1)


# ------------------------------------------------------------------------------ permutation


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_a_permutation_has_every_number_once(n: int, seed: int) -> None:
    order = sf.permutation(n, seed)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(n))
    assert order.tolist() == sf.permutation(n, seed).tolist()


def test_permutations_differ_by_seed_and_are_fair() -> None:
    orders = [tuple(sf.permutation(3, seed).tolist()) for seed in range(6000)]
    counts = [orders.count(order) for order in itertools.permutations(range(3))]
    assert sum(counts) == 6000
    assert min(counts) > 850  # 1000 on average; a standard deviation is 29
    assert max(counts) < 1150
