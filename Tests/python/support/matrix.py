"""Selections and searches in many combinations, each compared with the oracle bit for bit.

The functions raise where something differs, and return how many comparisons there were. They are
run by `test_matrix.py`, also in processes of their own, one for each CPU level: run as a program,
this file does a part of it at the level and number of threads that the environment asks for.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import oracle
import swiftforce as sf
from kinds import KINDS, Array, cut

DTYPES = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)

#: Sizes at which something changes: blocks of 1,024, the single reading from 4,096 on, chunks of
#: 131,072, and as many more for each thread.
BLOCK, SAMPLED, CHUNK = 1024, 4096, 131_072
EDGES = (
    *(edge + near for edge in (BLOCK, SAMPLED, CHUNK) for near in (-1, 0, 1)),
    *(2 * CHUNK - 1, 2 * CHUNK, 3 * CHUNK + 5),
)
LARGEST_SMALL = 300

#: How searches of several steps are damped, in turns; nested methods take the momentum alone.
DAMPINGS = (
    oracle.Damping(),
    oracle.Damping(momentum=0.9),
    oracle.Damping(removed_factor=0.25),
    oracle.Damping(momentum=0.5, nested_from=3),
    oracle.Damping(momentum=0.9, removed_factor=0.1),
)


def keeps_of(n: int) -> list[int]:
    """The edges, the middle, and next to the edges."""
    return sorted({1, min(2, n), max(1, n // 2), max(1, n - 1), n})


def made(kind: str, n: int, dtype: type, rng: np.random.Generator) -> Array:
    """Values of a kind in an element type; finite, and denormal where the kind asks for it."""
    if kind == "denormals":
        smallest = ml_dtypes.finfo(dtype).smallest_subnormal
        return (rng.integers(0, 9, n) * np.float64(smallest)).astype(dtype)
    greatest = float(ml_dtypes.finfo(dtype).max)
    found = np.clip(KINDS[kind](n, rng), -min(greatest, 3e38), min(greatest, 3e38)).astype(dtype)
    if dtype != np.float64:
        return found
    # Differences that float32 does not hold; zeros keep their signs.
    return np.where(found == 0, found, found + 2.0**-40 * np.arange(n))


def widened(*arrays: Array) -> list[Array]:
    """The arrays in the type that scores are computed in."""
    wide = np.float64 if any(a.dtype == np.float64 for a in arrays) else np.float32
    return [a.astype(wide) for a in arrays]


def small_sizes(kind: str, first: int = 1, step: int = 1) -> int:
    """Every size up to 300, or every few, with all of `keeps_of`; types and cuts take turns."""
    rng = np.random.default_rng(first)
    done = 0
    for n in range(first, LARGEST_SMALL + 1, step):
        dtypes = itertools.cycle(DTYPES[n % 4 :] + DTYPES[: n % 4])
        for keep in keeps_of(n):
            scores = made(kind, n, next(dtypes), rng)
            expected = oracle.select(widened(scores), keep)[0]
            places = sorted(rng.integers(0, n + 1, done % 4).tolist())
            found = sf.select(cut(scores, places), keep=keep)
            assert np.concatenate(found).tobytes() == expected.tobytes(), (kind, n, keep, places)
            done += 1
    return done


def edge_cases(seed: int, count: int) -> Iterator[tuple]:
    """Size, kind, types of weights and gradients, method and way to choose k, at random."""
    rng = np.random.default_rng(seed)
    choices = (EDGES, sorted(KINDS), DTYPES, DTYPES, ("snip", "force", "iterative_snip"), range(5))
    orders = [
        [axis[i] for turn in range(count // len(axis) + 1) for i in rng.permutation(len(axis))]
        for axis in choices
    ]
    return itertools.islice(zip(*orders, strict=False), count)


def edges(seed: int, count: int) -> int:
    """Searches of one step or three at sizes around the edges, damped in turns."""
    cases = enumerate(edge_cases(seed, count))
    for number, (n, kind, weight_type, gradient_type, method, choice) in cases:
        rng = np.random.default_rng(seed)
        k = keeps_of(n)[choice]
        keeps = (k,) if method == "snip" else tuple(max(k, n >> shift) for shift in (1, 5, 40))
        places = sorted(rng.integers(0, n + 1, choice).tolist())
        gradients = [made("random", n, gradient_type, rng) for _ in keeps]
        damping = DAMPINGS[number % len(DAMPINGS)]
        if method != "force":
            damping = oracle.Damping(damping.momentum if method == "iterative_snip" else 0)
        weights = cut(made(kind, n, weight_type, rng), places)
        search(weights, gradients, method, keeps, places, damping)
    return count


def search(
    weights: list[Array],
    gradients: list[Array],
    method: str,
    keeps: tuple[int, ...],
    places: list[int],
    damping: oracle.Damping = oracle.UNDAMPED,
) -> None:
    """A search step by step beside the oracle: masks, counts, masked weights, sums."""
    about = (method, keeps, places, weights[0].dtype, gradients[0].dtype, weights[0][:3], damping)
    found = sf.MaskSearch(weights, method=method, schedule=list(keeps), **vars(damping))
    before = np.ones(gradients[0].size, bool)
    whole = [np.concatenate(weights)]
    sums = [np.zeros(whole[0].size)]
    nested = method == "iterative_snip"
    for number, (keep, gradient) in enumerate(zip(keeps, gradients, strict=True), 1):
        step = found.step(cut(gradient, places))
        w, g = widened(whole[0], gradient)
        new = oracle.accumulated([np.abs(w * g)], sums, damping.momentum)
        (scores,), candidates = oracle.competing(new, [before], number, nested, damping)
        expected = oracle.select([scores], keep, candidates)
        if damping.momentum:
            sums = oracle.stored(new, candidates, whole)
            kept = np.concatenate([np.ravel(one) for one in found._buffers.accumulated or ()])
            assert kept.tobytes() == sums[0].tobytes(), about
        assert np.concatenate(found.masks).tobytes() == expected[0].tobytes(), about
        assert step.keep == keep, about
        assert step.layer_kept == tuple(int(mask.sum()) for mask in cut(expected[0], places)), about
        assert step.threshold == scores[expected[0]].min(), about
        changes = (int((before & ~expected[0]).sum()), int((~before & expected[0]).sum()))
        assert (step.removed, step.revived) == changes, about
        if not found.done:
            shown = oracle.masked([np.concatenate(weights)], expected)[0]
            assert np.concatenate(found.masked_weights).tobytes() == shown.tobytes(), about
        before = expected[0]


if __name__ == "__main__":
    warnings.simplefilter("ignore", sf.SwiftForceWarning)
    turn = int(sys.argv[1])
    total = sum(small_sizes(kind, first=turn, step=6) for kind in KINDS) + edges(turn, 12)
    print(sf.cpu_levels()[0], sf.get_num_threads(), total)
