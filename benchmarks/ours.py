"""What is measured of swiftforce: a mask in one shot, steps of a search, and the limit of both."""

from __future__ import annotations

from collections.abc import Sequence

import swiftforce as sf
from swiftforce import _core

from benchmarks.arrays import Array, Problem, back_and_forth
from benchmarks.measure import Call

READ = "reading"
SNIP = "snip"
STEP = "step, gradients alternate"
DRIFT = "step, gradients drift"


def reading(problem: Problem) -> Call:
    """The limit: all weights and gradients read once, by our own loop and as many threads."""
    arrays = [*problem.weights, *problem.gradients]
    return lambda: _core.scan(arrays)


def snip(problem: Problem, keep: int) -> Call:
    """One shot, new masks each time."""
    return lambda: sf.snip(problem.weights, problem.gradients, keep=keep)


def step(weights: list[Array], sets: Sequence[list[Array]], keep: int, steps: int) -> Call:
    """A step of FORCE in the steady state.

    The third and later ones of a search that keeps as many weights after each: all of its memory
    was written before.
    """
    search = sf.MaskSearch(weights, method="force", schedule=[keep] * (steps + 3))
    gradients = back_and_forth(sets)
    for _ in range(2):
        search.step(next(gradients))
    return lambda: search.step(next(gradients))
