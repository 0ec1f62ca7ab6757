"""The masks that a search begins at, in place of all weights."""

from __future__ import annotations

from operator import mul
from typing import Any

import numpy as np

from swiftforce.errors import StepsError
from swiftforce.inputs import Array, Arrays, Tensors
from swiftforce.result import PruningRecord, matching_masks
from swiftforce.search.limits import Limits


def check_begins_at_masks(method: str, *, one_shot: bool) -> None:
    """Refuse a method of one step, which scores all weights whatever was removed before.

    Parameters
    ----------
    method : str
        Its name.
    one_shot : bool
        Whether it takes one step.

    Raises
    ------
    StepsError
    """
    if one_shot:
        raise StepsError(
            f"{method} scores all weights in one step, so it cannot begin at initial_masks: take "
            "iterative_snip, by which removed weights stay removed, or force, with steps=1"
        )


def copied_masks(tensors: Tensors, masks: PruningRecord[Any] | Arrays) -> tuple[Array, ...]:
    """Copies of the masks that a caller passes: the search writes to its own.

    Raises
    ------
    WeightsDifferError, ShapeError, StructureError, UnsupportedTypeError, LayoutError
    """
    return tuple([mask.copy() for mask in matching_masks(tensors, masks, "initial_masks")])


def kept_by(masks: tuple[Array, ...], limits: Limits | None) -> int:
    """How many weights the masks of this rank keep, or what those cost."""
    counts = [int(np.count_nonzero(mask)) for mask in masks]
    if limits is None or limits.costs is None:
        return sum(counts)
    return sum(map(mul, counts, limits.own_costs(len(counts))))
