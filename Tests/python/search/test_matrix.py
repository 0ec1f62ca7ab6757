"""The matrix of selection: kinds, sizes, numbers to keep, types and cuts, at every CPU level."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import matrix
import numpy as np
import oracle
import pytest
import swiftforce as sf
from kinds import KINDS

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def small(first: int, step: int) -> int:
    """How many comparisons of one kind there are."""
    return sum(len(matrix.keeps_of(n)) for n in range(first, matrix.LARGEST_SMALL + 1, step))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_small_size(kind: str) -> None:
    assert matrix.small_sizes(kind) == small(1, 1)


@pytest.mark.slow
def test_sizes_around_the_edges() -> None:
    assert matrix.edges(seed=1, count=36) == 36


def test_edges_reach_every_choice() -> None:
    for axis in zip(*matrix.edge_cases(1, 36), strict=True):
        assert len(set(axis)) > 2
    sizes, kinds, *dtypes = list(zip(*matrix.edge_cases(1, 36), strict=True))[:4]
    assert set(sizes) == set(matrix.EDGES)
    assert set(kinds) == set(KINDS)
    assert set(dtypes[0]) == set(dtypes[1]) == set(matrix.DTYPES)


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(len(sf.cpu_levels())))
def test_every_level(turn: int) -> None:
    levels = sf.cpu_levels()
    assert len(set(levels)) == len(levels)
    level, threads = levels[turn], str(turn + 2)
    done = subprocess.run(
        [sys.executable, Path(matrix.__file__), str(turn + 1)],
        env={**os.environ, "SWIFTFORCE_CPU_LEVEL": level, "SWIFTFORCE_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=False,
    )
    total = str(len(KINDS) * small(turn + 1, 6) + 12)
    assert done.stdout.split() == [level, threads, total], done.stderr


@pytest.mark.parametrize("dtype", matrix.DTYPES)
@pytest.mark.parametrize("n", [1, 300, matrix.CHUNK + 1])
def test_what_is_not_finite_is_named(n: int, dtype: type, rng: np.random.Generator) -> None:
    for value in (np.nan, np.inf, -np.inf):
        for position in {0, n // 2, n - 1}:
            scores = {"empty": np.empty(0, dtype), "full": matrix.made("random", n, dtype, rng)}
            scores["full"][position] = value
            with pytest.raises(sf.NonFiniteError, match=rf"\['full'\].*element {position}\b"):
                sf.select(scores, keep=1)


@pytest.mark.parametrize("dtype", matrix.DTYPES)
@pytest.mark.parametrize("method", ["force", "iterative_snip"])
def test_a_step_that_fails_leaves_the_search_as_it_was(
    method: str, dtype: type, rng: np.random.Generator
) -> None:
    """Large enough that masked weights are written before the last gradient is read."""
    n = 2 * matrix.CHUNK
    weights, *gradients = (matrix.made("random", n, dtype, rng) for _ in range(3))
    spoiled = gradients[1].copy()
    spoiled[-1] = np.nan
    search = sf.MaskSearch(weights, method=method, schedule=[n // 2, n // 10])
    search.step(gradients[0])
    before = search.masks.tobytes(), search.masked_weights.tobytes()
    with pytest.raises(sf.NonFiniteError):
        search.step(spoiled)
    # Compared apart from the assertion: pytest would take minutes to describe how they differ.
    is_same = (search.masks.tobytes(), search.masked_weights.tobytes()) == before
    assert is_same
    search.step(gradients[1])
    other = sf.MaskSearch(weights, method=method, schedule=[n // 2, n // 10])
    for gradient in gradients:
        other.step(gradient)
    oracle.assert_same_masks(search.result().masks, other.result().masks)


def test_no_elements_are_refused() -> None:
    for dtype in matrix.DTYPES:
        with pytest.raises(sf.StructureError, match="no elements"):
            sf.select(np.empty(0, dtype), keep=1)


@pytest.mark.parametrize("dtype", matrix.DTYPES)
def test_memory_mapped_files_of_every_type(dtype: type, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    n = matrix.CHUNK + 77
    mapped = []
    for name in ("weights", "gradients"):
        array = matrix.made("random", n, dtype, rng)
        array.tofile(tmp_path / name)
        mapped.append(np.memmap(tmp_path / name, dtype=dtype, mode="r", offset=2 * array.itemsize))
    assert all(type(array) is np.memmap and array.dtype == dtype for array in mapped)
    w, g = matrix.widened(*mapped)
    for keep in (1, n // 10):
        expected = oracle.select([np.abs(w * g)], keep)[0]
        oracle.assert_same_masks(sf.snip(*mapped, keep=keep).masks, expected)
        matrix.search([mapped[0]], [mapped[1]] * 2, "iterative_snip", (n // 2, keep), [])
