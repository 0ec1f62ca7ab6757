"""Calls of swiftforce: a mask in one shot, steps of a search, and the scan as their lower bound."""

from __future__ import annotations

from collections.abc import Sequence

import swiftforce as sf
from swiftforce import _core

from benchmarks.arrays import Array, Problem, back_and_forth
from benchmarks.measure import Call

SCAN = "scan"
SNIP = "snip"
STEP = "step, gradients alternate"
DRIFT = "step, gradients drift"


def scan(problem: Problem) -> Call:
    """The lower bound: read weights and gradients once, with as many threads."""
    arrays = [*problem.weights, *problem.gradients]
    return lambda: _core.scan(arrays)


def snip(problem: Problem, keep: int) -> Call:
    """SNIP in one shot, with new masks each time."""
    return lambda: sf.snip(problem.weights, problem.gradients, keep=keep)


def step(weights: list[Array], sets: Sequence[list[Array]], keep: int, steps: int) -> Call:
    """A step of FORCE in the steady state: the third or a later one of a search.

    Every step keeps as many weights, and all memory was written before.
    """
    search = sf.MaskSearch(weights, method="force", schedule=[keep] * (steps + 3))
    gradients = back_and_forth(sets)
    for _ in range(2):
        search.step(next(gradients))
    return lambda: search.step(next(gradients))
