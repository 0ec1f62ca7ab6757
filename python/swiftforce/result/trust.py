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
from swiftforce.result.records import Layer, PruningRecord, Scope, Step
from swiftforce.result.summary import percent

#: The most layers that a message names, and the most steps that it numbers.
_NAMED = 5


class Concern(NamedTuple):
    """A reason not to trust a mask."""

    kind: type[SwiftForceWarning]
    text: str


def concerns(layers: Sequence[Layer], history: Sequence[Step], *, free: bool) -> list[Concern]:
    """Find reasons not to trust a mask.

    Parameters
    ----------
    layers : sequence of Layer
    history : sequence of Step
        At least one.
    free : bool
        Whether removed weights may return.
    """
    found = []
    if degenerate := [step for step in history if step.degenerate]:
        found.append(Concern(DegenerateSaliencyWarning, _degenerate(degenerate, len(history))))
    if collapsed := [layer.name for layer in layers if layer.collapsed]:
        found.append(Concern(LayerCollapseWarning, f"no weight is kept in {_listed(collapsed)}"))
    if free and len(history) > 1 and _never_had_gradients(history):
        text = (
            f"removed weights had a gradient of zero in all {len(history)} steps, so none could "
            "return: pass dense gradients, not multiplied by the masks"
        )
        found.append(Concern(MaskedGradientsWarning, text))
    return found


def texts(record: PruningRecord[Any]) -> tuple[str, ...]:
    """Reasons not to trust the masks of a result, in words; empty if there are none."""
    free = record.method in methods() and method_info(record.method)["free"]
    found = concerns(record.layers, record.history, free=free)
    return tuple(concern.text for concern in (*found, *_of_scope(record.scope)))


def warn_about(
    layers: Sequence[Layer], history: Sequence[Step], *, free: bool = False, stacklevel: int
) -> None:
    """Issue a warning for each of the `concerns`."""
    for concern in concerns(layers, history, free=free):
        warnings.warn(concern.text, concern.kind, stacklevel=stacklevel)


def warn_about_scope(scope: Scope | None, *, stacklevel: int) -> None:
    """Issue a warning if less than half of a model's matrices were searched."""
    for concern in _of_scope(scope):
        warnings.warn(concern.text, concern.kind, stacklevel=stacklevel)


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


def _never_had_gradients(history: Sequence[Step]) -> bool:
    """Whether at every step all removed weights may have had a score of zero."""
    # All weights compete in the first step, those of other ranks included.
    size = history[0].candidates
    return not any(step.revived for step in history) and all(
        size > before.keep and step.zero_scores >= size - before.keep
        for before, step in pairwise(history)
    )
