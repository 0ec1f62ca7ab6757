"""Random selections and searches, each compared with the oracle bit for bit.

    python Tests/fuzz/masks.py --cases 1000000 --seed 0

Case i of a seed is the same on every machine, so `--first i --cases 1` repeats it. Every second
case runs with subnormal numbers flushed to zero on the calling thread, which must change nothing.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "python" / "support"))

import oracle
import swiftforce as sf
from campaign import run
from kinds import KINDS, SIZES, cut, shaped
from matrix import DTYPES, made, widened

#: How many cases one task of a process runs.
TASK = 2_000
METHODS = tuple(oracle.METHODS)


class DifferenceError(Exception):
    """A case whose result is not the oracle's."""


@contextmanager
def flushed(flag: bool) -> Iterator[None]:
    """Flush subnormal numbers to zero on this thread, as torch and -ffast-math do."""
    if flag and not torch.set_flush_denormal(True):
        raise RuntimeError("this CPU cannot flush subnormal numbers")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def size_of_case(rng: np.random.Generator) -> int:
    """Mostly small, now and then around the edges of vectors and blocks."""
    return int(rng.choice(SIZES)) if rng.random() < 0.03 else int(rng.integers(1, 120))


def tensors(n: int, places: list[int], dtype: Any, rng: np.random.Generator) -> list[Any]:
    """Values of some kind as tensors."""
    return shaped(cut(made(str(rng.choice(sorted(KINDS))), n, dtype, rng), places))


def check(name: str, found: list[Any], expected: list[Any]) -> None:
    """Raise unless the masks are the same bits."""
    if len(found) != len(expected) or any(
        a.shape != b.shape or a.tobytes() != b.tobytes()
        for a, b in zip(found, expected, strict=True)
    ):
        raise DifferenceError(f"{name}: {found} instead of {expected}")


def selection(rng: np.random.Generator, flush: bool) -> str:
    """One selection by scores of the caller's, of any type."""
    n = size_of_case(rng)
    places = sorted(rng.integers(0, n + 1, rng.integers(0, 4)).tolist())
    scores = tensors(n, places, DTYPES[rng.integers(4)], rng)
    keep = int(rng.integers(1, n + 1))
    expected = oracle.select(widened(*scores), keep)
    with flushed(flush):
        found = sf.select(scores, keep=keep)
    check("select", found, expected)
    return "select"


def search(rng: np.random.Generator, flush: bool) -> str:
    """One search step by step, by any method: masks, counts and masked weights."""
    n = size_of_case(rng)
    places = sorted(rng.integers(0, n + 1, rng.integers(0, 4)).tolist())
    method = METHODS[rng.integers(len(METHODS))]
    saliency, nested, one_shot = oracle.METHODS[method]
    steps = 1 if one_shot else int(rng.integers(1, 5))
    keeps = sorted(rng.integers(1, n + 1, steps).tolist(), reverse=True)
    seed = int(rng.integers(2**63))
    weights = tensors(n, places, DTYPES[rng.integers(4)], rng)
    takes = saliency in ("connection_sensitivity", "squared_gradient")
    dtype = DTYPES[rng.integers(4)]
    damping = damping_of_case(method, steps, rng)
    with flushed(flush):
        run = sf.MaskSearch(weights, method=method, schedule=keeps, seed=seed, **vars(damping))
    accumulated = [np.zeros(weight.shape) for weight in weights]
    masks = [np.ones(weight.shape, bool) for weight in weights]
    for number, keep in enumerate(keeps, 1):
        gradients = tensors(n, places, dtype, rng) if takes else None
        before = masks
        plain = scores_of(saliency, weights, gradients, seed)
        with np.errstate(over="ignore", invalid="ignore"):
            new = oracle.accumulated(plain, accumulated, damping.momentum)
            scores, candidates = oracle.competing(new, before, number, nested, damping)
            kept = oracle.stored(new, candidates, weights) if damping.momentum else plain
        if not all(
            np.isfinite(found[mask]).all()
            for arrays in (plain, scores, kept)
            for found, mask in zip(arrays, candidates, strict=True)
        ):
            with flushed(flush):
                try:
                    run.step(gradients)
                except sf.NonFiniteError:
                    return f"{method}, not finite"
            raise DifferenceError(f"{method}: scores that are not finite were taken")
        if damping.momentum:
            accumulated = kept
        competing = [
            np.where(mask, score, 0) for score, mask in zip(scores, candidates, strict=True)
        ]
        masks = oracle.select(competing, keep, candidates)
        with flushed(flush):
            step = run.step(gradients)
        check(method, run.masks, masks)
        for found, wanted in zip(run._buffers.accumulated or (), accumulated, strict=False):
            if found.tobytes() != np.ascontiguousarray(wanted).tobytes():
                raise DifferenceError(f"{method}: sums {found!r} instead of {wanted!r}")
        if number > 1:
            objective = run.history[-2].objective
            if not np.isclose(objective, exact_sum(plain, before), rtol=1e-11, atol=0):
                raise DifferenceError(f"{method}: the objective before step {number}: {objective}")
        counts = (keep, *changes(before, masks), zeros(plain, candidates))
        if (step.keep, step.removed, step.revived, step.zero_scores) != counts:
            raise DifferenceError(f"{method}: {step} instead of {counts}")
        if step.threshold != oracle.join(scores)[oracle.join(masks)].min():
            raise DifferenceError(f"{method}: threshold {step.threshold!r}")
    if not one_shot:
        check(method, run.result().masks, masks)
    return method


def changes(before: list[Any], after: list[Any]) -> tuple[int, int]:
    """How many weights were removed, and how many came back."""
    old, new = oracle.join(before), oracle.join(after)
    return int((old & ~new).sum()), int((~old & new).sum())


def zeros(scores: list[Any], masks: list[Any]) -> int:
    """How many of the scores are zero that masks keep."""
    return int((oracle.join(masks) & (oracle.join(scores) == 0)).sum())


def exact_sum(scores: list[Any], masks: list[Any]) -> float:
    """The sum of the scores that masks keep."""
    return math.fsum(oracle.join(scores).astype(np.float64)[oracle.join(masks)].tolist())


def damping_of_case(method: str, steps: int, rng: np.random.Generator) -> oracle.Damping:
    """Mostly none; momentum for searches of several steps, all of it where weights may return."""
    _, nested, one_shot = oracle.METHODS[method]
    if one_shot or rng.random() < 0.5:
        return oracle.Damping()
    momentum = float(rng.choice([0, 0.5, 0.9, 2.0**-40, 0.9999999]))
    if nested:
        return oracle.Damping(momentum)
    step = int(rng.integers(1, steps + 1)) if rng.random() < 0.3 else None
    return oracle.Damping(momentum, float(rng.choice([0, 0.1, 0.25, 1, 1])), step)


def scores_of(
    saliency: str,
    weights: list[Any],
    gradients: list[Any] | None,
    seed: int,
) -> list[Any]:
    """The scores in float32, or in float64 where a tensor that they are computed from is."""
    if saliency == "squared_gradient":
        weights = [np.zeros(weight.shape, np.float32) for weight in weights]
    wide = widened(*weights, *(gradients or []))
    with np.errstate(over="ignore"):
        return oracle.scores(saliency, wide[: len(weights)], wide[len(weights) :], seed)


def case(seed: int, number: int) -> str:
    """Run one case; what it was."""
    rng = np.random.default_rng((seed, number))
    body = selection if number % 4 == 0 else search
    return body(rng, flush=bool(number % 8 >= 4))


def task(seed: int, first: int, count: int) -> tuple[Counter[str], list[str]]:
    """Run some cases in this process: what they were, and the failures."""
    warnings.simplefilter("ignore", sf.SwiftForceWarning)
    done: Counter[str] = Counter()
    failures = []
    for number in range(first, first + count):
        try:
            done[case(seed, number)] += 1
        except Exception as error:
            failures.append(f"case {number}: {type(error).__name__}: {error}"[:500])
    return done, failures


if __name__ == "__main__":
    sys.exit(run(task, description=__doc__, cases=1_000_000, size=TASK, tasks=None))
