"""A result in words, as tables, cards and figures show it."""

from __future__ import annotations

import math
from typing import Any

from swiftforce.errors import printable
from swiftforce.inputs import method_info, methods
from swiftforce.result.records import UNDAMPED, PruningRecord

#: What the scores are, for readers who do not know the names of the saliencies.
_SCORE_NAMES = {
    "connection_sensitivity": "|weight x gradient|",
    "squared_gradient": "squared gradients",
    "magnitude": "|weight|",
    "random": "random scores",
    "given": "given scores",
}


def headline(pruning: PruningRecord[Any]) -> str:
    """The result in one line."""
    return (
        f"{printable(pruning.method)}: {pruning.keep:,} of {pruning.size:,} weights kept "
        f"({sparsity_of_cost(pruning)}sparsity {rounded(pruning.sparsity)}), "
        f"{pruning.steps} step{'s' * (pruning.steps > 1)}"
        f"{damping_summary(pruning)}{axes_summary(pruning)}"
    )


def sparsity_of_cost(pruning: PruningRecord[Any]) -> str:
    """The share of the cost of all weights that is removed, if they have one, before a comma."""
    cost = pruning.cost_sparsity
    return "" if cost is None else f"{rounded(cost)} of the cost removed, "


def axes_summary(pruning: PruningRecord[Any]) -> str:
    """The axes that the caller chose, each after a comma."""
    named = {"saliency": pruning.saliency, "rule": pruning.rule}
    parts = [f"{axis} {name}" for axis, name in named.items() if name]
    if pruning.allocation is not None and not pruning.allocation.is_plain:
        parts.append(printable(str(pruning.allocation)))
    if pruning.pattern is not None and not pruning.pattern.is_plain:
        parts.append(str(pruning.pattern))
    return "".join(f", {part}" for part in parts)


def damping_summary(pruning: PruningRecord[Any]) -> str:
    """The damping after a comma; nothing if there is none."""
    return f", {pruning.damping}" if pruning.damping != UNDAMPED else ""


def saliency_name(pruning: PruningRecord[Any]) -> str:
    """What the saliency of a step is: with momentum a sum over steps, which grows with them."""
    return "accumulated saliency" if pruning.damping.momentum > 0 else "saliency"


def search_summary(pruning: PruningRecord[Any]) -> list[str]:
    """What was searched, what the steps did, and the share of all scores of the kept weights."""
    lines = scope_summary(pruning)
    if pruning.steps > 1:
        first, last = pruning.history[0], pruning.history[-1]
        lines.append(
            f"on the way: {total_removed(pruning):,} removed, "
            f"{total_revived(pruning):,} brought back; "
            f"{saliency_name(pruning)} {first.saliency:.4g} -> {last.saliency:.4g}"
        )
    return [*lines, *bounds_summary(pruning), *share_of_scores(pruning)]


def bounds_summary(pruning: PruningRecord[Any]) -> list[str]:
    """How many weights floors and caps decided in the last step; nothing if none."""
    last = pruning.history[-1]
    parts = {"floors keep": last.kept_by_floors, "caps remove": last.removed_by_caps}
    bound = [
        f"{what} {count:,} weight{'s' * (count != 1)}" for what, count in parts.items() if count
    ]
    return [f"against the scores of all, {' and '.join(bound)}"] if bound else []


def scope_summary(pruning: PruningRecord[Any]) -> list[str]:
    """What part of the model was searched, and how sparse the whole model is."""
    if pruning.scope is None or pruning.model_sparsity is None:
        return []
    return [
        f"searched {percent(pruning.scope.share)} of the model's matrices; whole model: "
        f"sparsity {rounded(pruning.model_sparsity)} of {pruning.scope.parameters:,} parameters"
    ]


def total_removed(pruning: PruningRecord[Any]) -> int:
    """Number of removals in all steps together."""
    return sum(step.removed for step in pruning.history)


def total_revived(pruning: PruningRecord[Any]) -> int:
    """Number of weights brought back in all steps together."""
    return sum(step.revived for step in pruning.history)


def share_of_scores(pruning: PruningRecord[Any]) -> list[str]:
    """The kept weights' share of the sum of all scores; nothing if that is not meaningful."""
    last = pruning.history[-1]
    # The scores of other methods, such as GraSP, may be negative.
    if pruning.method not in methods() or not 0 < last.total_saliency < math.inf:
        return []
    saliency = method_info(pruning.method, pruning.saliency or None)["saliency"]
    if saliency == "given" or pruning.cost_sparsity is not None:
        return []  # They may be negative; quotients by costs say nothing.
    score = _SCORE_NAMES[saliency]
    if pruning.damping.momentum > 0:
        score = f"accumulated {score}"
    # Both sums have rounding errors, which must not make a share of 1 smaller.
    share = percent(min(1.0, round(last.saliency / last.total_saliency, 9)))
    when = " in the last step" if pruning.steps > 1 else ""
    return [f"kept weights have {share} of the sum of all {score}{when}"]


def rounded(share: float, *, whole: int = 1, digits: int = 4) -> str:
    """A share with `digits` digits, or with as many as it takes to differ from the whole."""
    for more in range(digits, 18):
        text = f"{whole * share:.{more}g}"
        if float(text) != whole:
            return text
    return str(whole)


def percent(share: float) -> str:
    """A share in percent, with three digits or as many as it takes to differ from 100 %."""
    return f"{rounded(share, whole=100, digits=3)} %"


class DensityScale:
    """A logarithmic scale for densities, from a power of ten below the least of them to 1.

    Densities of a sparse network differ by orders of magnitude, and the lowest matter most.

    Attributes
    ----------
    decades : int
        How many powers of ten it spans.
    """

    def __init__(self, pruning: PruningRecord[Any]) -> None:
        # A rank's own tensors may keep nothing, so that the density of all is zero.
        densities = [layer.density for layer in pruning.layers if layer.kept]
        least = min([pruning.density or 1.0, *densities])
        self.decades = math.floor(-math.log10(least)) + 1

    def place(self, density: float) -> float:
        """The position of a density on the scale, from 0 to 1; 0 if no weight is kept."""
        return 1 + math.log10(density) / self.decades if density else 0.0

    @property
    def ticks(self) -> list[float]:
        """The powers of ten on the scale, from its start to 1."""
        return [10.0**power for power in range(-self.decades, 1)]
