"""Reasons not to trust a mask: raised as warnings, and shown with results.

They follow from the counts of a search alone. Whether a network still computes anything depends on
its connections, which `swiftforce.nn` and `swiftforce.torch` check.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from swiftforce.errors import (
    DegenerateSaliencyWarning,
    LayerCollapseWarning,
    MaskedGradientsWarning,
    PartlySearchedWarning,
    SwiftForceWarning,
)
from swiftforce.inputs import method_info, methods
from swiftforce.result.layers import Layer, Layers
from swiftforce.result.records import PruningRecord, Scope, Step
from swiftforce.result.summary import percent
from swiftforce.result.zero_scores import ZeroScores

#: The most layers that a message names, and the most steps that it numbers.
_NAMED = 5


class Concern(NamedTuple):
    """A reason not to trust a mask."""

    kind: type[SwiftForceWarning]
    text: str


def concerns(
    layers: Layers,
    history: Sequence[Step],
    *,
    free: bool,
    zeros: ZeroScores | None = None,
) -> list[Concern]:
    """Find reasons not to trust a mask.

    Parameters
    ----------
    layers : Layers
    history : sequence of Step
        At least one.
    free : bool
        Whether removed weights may return.
    zeros : ZeroScores, optional
        Which scores of the first step were zero, and why.
    """
    found = []
    is_explained = zeros is not None and bool(zeros.layers and zeros.factors)
    if is_explained and zeros is not None:
        is_all = history[0].zero_scores >= history[0].candidates
        found.append(Concern(DegenerateSaliencyWarning, _explained(zeros, is_all=is_all)))
    elif degenerate := [step for step in history if step.degenerate]:
        found.append(Concern(DegenerateSaliencyWarning, _degenerate(degenerate, len(history))))
    if collapsed := layers.collapsed:
        found.append(Concern(LayerCollapseWarning, f"no weight is kept in {_listed(collapsed)}"))
    found += _of_parts(layers)
    if free and not is_explained and (steps := _without_gradients(history)):
        when = f"all {steps} steps{' in which they competed' * (steps < len(history))}"
        text = (
            f"removed weights had a score of zero in {when}, so none could return: pass dense "
            "gradients, not multiplied by the masks (weights that are zero themselves also have a "
            "score of zero), or scores of your own for removed weights too, or rule='nested'"
        )
        found.append(Concern(MaskedGradientsWarning, text))
    return found


def texts(record: PruningRecord[Any]) -> tuple[str, ...]:
    """Reasons not to trust the masks of a result, in words; empty if there are none."""
    free = record.method in methods() and method_info(record.method)["free"]
    found = concerns(Layers.of(record.layers), record.history, free=free, zeros=record.zeros)
    return tuple(concern.text for concern in (*found, *_of_scope(record.scope)))


def warn_about(
    layers: Layers,
    history: Sequence[Step],
    *,
    free: bool = False,
    zeros: ZeroScores | None = None,
    stacklevel: int,
) -> None:
    """Issue a warning for each of the `concerns`."""
    for concern in concerns(layers, history, free=free, zeros=zeros):
        warnings.warn(concern.text, concern.kind, stacklevel=stacklevel)


def _explained(zeros: ZeroScores, *, is_all: bool) -> str:
    which = f"every score of {_listed(zeros.layers)} is zero in the first step"
    if is_all:
        which = (
            "every score of the first step is zero, so positions chose the weights that are kept"
        )
    verb = "is" if len(zeros.factors) == 1 else "are"
    return (
        f"{which}: {_listed(zeros.factors)} {verb} zero, as a zero-initialised head or residual "
        "branch is, and no gradient passes: initialise other than with zeros"
    )


def warn_about_scope(scope: Scope | None, *, stacklevel: int) -> None:
    """Issue a warning if less than half of a model's matrices were searched."""
    for concern in _of_scope(scope):
        warnings.warn(concern.text, concern.kind, stacklevel=stacklevel)


def warn_about_parts(layers: Sequence[Layer], *, stacklevel: int) -> None:
    """Issue a warning if parts of a layer along its first axis keep nothing."""
    for concern in _of_parts(Layers.of(layers)):
        warnings.warn(concern.text, concern.kind, stacklevel=stacklevel)


def _of_parts(layers: Layers) -> list[Concern]:
    if not (lost := layers.lost):
        return []
    text = (
        f"no weight is kept in {_listed(lost)}: along the first axis, which may count layers, "
        "experts or heads"
    )
    return [Concern(LayerCollapseWarning, text)]


def _of_scope(scope: Scope | None) -> list[Concern]:
    if scope is None or not scope.is_small:
        return []
    largest = "; ".join(f"{name} ({size:,}): {why}" for name, size, why in scope.largest)
    text = (
        f"only {percent(scope.share)} of the elements of the model's matrices were searched; the "
        f"largest left out: {largest}. Choose them with include, or look at prunable(...)"
    )
    return [Concern(PartlySearchedWarning, text)]


def _degenerate(steps: Sequence[Step], total: int) -> str:
    last = steps[-1]
    which = "the selection"
    if total > 1:
        shown = ", ".join(str(step.step) for step in steps[:_NAMED])
        which = f"{len(steps)} of {total} steps ({shown}{', ...' * (len(steps) > _NAMED)})"
    return (
        f"{which} had fewer weights with a score above zero than to keep: "
        f"{last.arbitrary} of the {last.keep} weights kept "
        f"{f'in step {last.step} ' if total > 1 else ''}"
        "have a score of zero and were chosen by their positions"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    more = len(names) - _NAMED
    return f"{shown} and {more} more layers" if more > 0 else shown


def _without_gradients(history: Sequence[Step]) -> int:
    """How many steps removed weights competed in, if masks may be why they always scored zero.

    0 if they are not, or if removed weights never competed.
    """
    if len(history) == 1:
        return 0
    # All weights compete in the first step, those of other ranks included.
    first = history[0]
    size = first.candidates
    # Scores that are zero before any mask have another cause: weights or gradients of zero.
    is_dense = first.keep + first.removed - first.revived == size
    explained = first.zero_scores if is_dense else 0
    # Where survivors alone compete, as in steps of a damped search, the others have no scores.
    competing = [
        (size - before.keep, step.zero_scores)
        for before, step in pairwise(history)
        if step.candidates == size
    ]
    is_masked = (
        not any(step.revived for step in history)
        and max((removed for removed, _ in competing), default=0) > explained
        and all(0 < removed <= zeros for removed, zeros in competing)
    )
    return 1 + len(competing) if is_masked else 0
