"""Data made to mislead the sample that selection draws: the mask is exact all the same.

How often the arrays were read tells whether the sample settled it: once, or, where it did not,
several times. That it may draw nothing but what misleads is tested in Swift, which knows the draws.
"""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import swiftforce as sf
from matrix import CHUNK, DTYPES

pytestmark = [
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
    pytest.mark.usefixtures("restored_threads"),
]

SIZE = 4 * CHUNK + 3


def passes(scores: oracle.Array, keep: int) -> int:
    """Compares a selection with the oracle at one to four threads; how often it read."""
    expected = oracle.select([scores], keep)[0]
    found = set()
    for threads in range(1, 5):
        sf.set_num_threads(threads)
        pruning = sf.magnitude(scores, keep=keep)
        oracle.assert_same_masks(pruning.masks, expected)
        found.add(pruning.history[0].passes)
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize("keep", [1, SIZE // 16 - 1, SIZE // 16, SIZE // 2, SIZE - 1])
@pytest.mark.slow
def test_order_and_periods_are_read_once(keep: int) -> None:
    rising = np.arange(SIZE, dtype=np.float32)
    periodic = rising + np.float32(1e6) * (rising % 16 == 5)
    for scores in (rising, rising[::-1].copy(), periodic):
        assert passes(scores, keep) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_sorted_scores_of_every_type_are_read_once(dtype: type, rng: np.random.Generator) -> None:
    """All bits of a type up to its infinity, so that few scores are equal in the short ones."""
    bits = np.dtype(f"u{np.dtype(dtype).itemsize}")
    greatest = np.array(np.inf, dtype).view(bits).item()
    scores = np.sort(rng.integers(0, greatest, SIZE, dtype=bits)).view(dtype)
    for keep in (SIZE // 100, SIZE // 2):
        pruning = sf.magnitude(scores, keep=keep)
        assert pruning.history[0].passes == 1
        expected = oracle.select([scores.astype(np.float64)], keep)[0]
        oracle.assert_same_masks(pruning.masks, expected)


def test_no_sample_is_drawn_beyond_a_tensor(rng: np.random.Generator) -> None:
    """Thousands of short tensors, with numbers between them that would mislead, were they read."""
    memory = np.full((CHUNK // 16, 17), np.nan, np.float32)
    memory[:, :16] = rng.random((CHUNK // 16, 16))
    scores = [row[:16] for row in memory]
    pruning = sf.magnitude(scores, keep=CHUNK // 2)
    assert pruning.history[0].passes == 1
    oracle.assert_same_masks(pruning.masks, oracle.select(scores, CHUNK // 2))


def test_many_equal_scores_are_counted_not_listed() -> None:
    position = np.arange(SIZE)
    zeros = np.where(position % 1000 == 0, position + 1, 0).astype(np.float32)
    assert passes(zeros, SIZE // 2) == 1
    assert passes(zeros, SIZE // 4000) == 1
    assert passes((position % 2).astype(np.float32), SIZE // 4) == 1
    one = np.where(position == 7, 2, 1).astype(np.float32)
    assert passes(one, 1) == 1
    # The tied key was left out of the bracket, yet it is the threshold.
    assert passes(one, 2) == 2


@pytest.mark.parametrize("method", ["force", "iterative_snip"])
def test_every_step_of_a_search_is_one_pass(method: str, rng: np.random.Generator) -> None:
    """Also where fewer weights compete than the sample has scores."""
    weights = rng.standard_normal(SIZE, dtype=np.float32)
    search = sf.MaskSearch(weights, method=method, schedule=[SIZE // 3, SIZE // 99, 90, 89, 1])
    while not search.done:
        step = search.step(rng.standard_normal(SIZE, dtype=np.float32))
        assert step.passes == 1, step.keep
