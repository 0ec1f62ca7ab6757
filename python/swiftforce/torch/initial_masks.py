"""The masks that the search of a model begins at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from swiftforce.errors import StructureError
from swiftforce.inputs import Mask
from swiftforce.result import PruningRecord, masks_of
from swiftforce.search import check_begins_at_masks
from swiftforce.torch.scoring import Method
from swiftforce.torch.sparse import checked_masks
from swiftforce.torch.wrappers import unwrapped

#: What a caller passes: a result, or masks by parameter name.
InitialMasks = PruningRecord[Any] | Mapping[str, Any]


def searched_masks(
    initial_masks: InitialMasks | None,
    row: Method,
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
) -> dict[str, torch.Tensor] | None:
    """The masks of the parameters that are searched, by name; None if none are given.

    Raises
    ------
    StepsError
        If the method takes one step.
    StructureError
        If a parameter that is searched has no mask, or one that is not has weights removed.
    ShapeError, UnsupportedTypeError
    """
    if initial_masks is None:
        return None
    check_begins_at_masks(row.name, one_shot=row.is_one_shot)
    masks = checked_masks(unwrapped(model), masks_of(initial_masks))
    for name in parameters:
        if name not in masks:
            raise StructureError(f"initial_masks lack {name!r}, which is searched")
    for name, mask in masks.items():
        if name not in parameters and not bool(mask.all()):
            raise StructureError(
                f"initial_masks remove weights of {name!r}, which is not searched: include it, or "
                "leave its mask out"
            )
    return {name: masks[name] for name in parameters}


def digest(masks: Mapping[str, Mask] | None) -> str:
    """A text that differs if masks do; empty if there are none."""
    if masks is None:
        return ""
    found = hashlib.sha256()
    for mask in masks.values():
        found.update(mask.tobytes())
    return found.hexdigest()[:16]
