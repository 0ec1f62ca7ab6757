"""A result in words: what every table, card and figure of one says."""

from __future__ import annotations

import math
from typing import Any

from swiftforce.inputs import method_info, methods
from swiftforce.result.records import PruningRecord

#: What weights are scored by, for who does not know the names.
_SCORE_NAMES = {
    "connection_sensitivity": "|weight x gradient|",
    "squared_gradient": "squared gradients",
    "magnitude": "|weight|",
    "random": "random scores",
}


def headline(pruning: PruningRecord[Any]) -> str:
    """What was found, in one line."""
    return (
        f"{pruning.method}: {pruning.keep:,} of {pruning.size:,} weights kept "
        f"(sparsity {rounded(pruning.sparsity)}), {pruning.steps} step{'s' * (pruning.steps > 1)}"
    )


def search_summary(pruning: PruningRecord[Any]) -> list[str]:
    """What the search did on the way, and the share of all scores that it kept."""
    told = []
    if pruning.steps > 1:
        first, last = pruning.history[0], pruning.history[-1]
        told.append(
            f"on the way: {total_removed(pruning):,} removed, "
            f"{total_revived(pruning):,} brought back; "
            f"saliency {first.saliency:.4g} -> {last.saliency:.4g}"
        )
    return [*told, *share_of_scores(pruning)]


def total_removed(pruning: PruningRecord[Any]) -> int:
    """How often a weight was removed, in all steps together."""
    return sum(step.removed for step in pruning.history)


def total_revived(pruning: PruningRecord[Any]) -> int:
    """How often a weight was brought back, in all steps together."""
    return sum(step.revived for step in pruning.history)


def share_of_scores(pruning: PruningRecord[Any]) -> list[str]:
    """How much of the sum of all scores the kept weights have, where that means something."""
    last = pruning.history[-1]
    # Other scores, those of GraSP, may be below zero.
    if pruning.method not in methods() or not 0 < last.total_saliency < math.inf:
        return []
    score = _SCORE_NAMES[method_info(pruning.method)["saliency"]]
    # Two sums of many scores, each rounded: what is less than that from all is all.
    share = percent(min(1.0, round(last.saliency / last.total_saliency, 9)))
    when = " in the last step" if pruning.steps > 1 else ""
    return [f"kept weights have {share} of the sum of all {score}{when}"]


def rounded(share: float, *, whole: int = 1, digits: int = 4) -> str:
    """A share to so many digits, or to as many as tell it from the whole."""
    for more in range(digits, 18):
        text = f"{whole * share:.{more}g}"
        if float(text) != whole:
            return text
    return str(whole)


def percent(share: float) -> str:
    """A share in percent, to three digits or as many as tell it from all."""
    return f"{rounded(share, whole=100, digits=3)} %"


class DensityScale:
    """A logarithmic scale for densities, from a power of ten below the least of them to 1.

    Densities of a sparse network are orders of magnitude apart, and those far below the others are
    the ones to see.

    Attributes
    ----------
    decades : int
        How many powers of ten it spans.
    """

    def __init__(self, pruning: PruningRecord[Any]) -> None:
        densities = [layer.density for layer in pruning.layers if layer.kept]
        least = min(pruning.density, *densities)
        self.decades = math.floor(-math.log10(least)) + 1

    def place(self, density: float) -> float:
        """Where a density is, from 0 to 1; 0 where nothing is left."""
        return 1 + math.log10(density) / self.decades if density else 0.0

    @property
    def ticks(self) -> list[float]:
        """The powers of ten, from its beginning to 1."""
        return [10.0**power for power in range(-self.decades, 1)]
