"""What a caller asks of a search, for both ways to run it. What must not live here: the model."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from swiftforce.inputs import Patterned
from swiftforce.search import Schedule, ShapedAllocation
from swiftforce.torch.scoring import Method


@dataclass(frozen=True)
class SearchOptions:
    """The arguments of `swiftforce.torch.prune` that say how weights are selected.

    Attributes
    ----------
    row : Method
    initial_masks : dict of name to tensor, optional
        Those of the parameters that are searched.
    limits : ShapedAllocation, optional
        What `allocation` says of the parameters.
    """

    row: Method
    sparsity: float | None
    keep: int | None
    steps: int | None
    schedule: Schedule
    initial_masks: dict[str, torch.Tensor] | None
    limits: ShapedAllocation | None
    pattern: Patterned | None
    momentum: float
    nested_from: float | None
    removed_factor: float
    seed: int
    objective: bool
    progress: bool | None
