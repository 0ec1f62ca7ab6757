"""The parameters of a model as its first forward pass uses them, where types leave doubts."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from swiftforce.adapters import Reason
from swiftforce.result import Prunable
from swiftforce.torch.model_state import ModelState
from swiftforce.torch.objective import Objective
from swiftforce.torch.products import ProductWatch
from swiftforce.torch.sharded import is_sharded
from swiftforce.torch.wrappers import unwrapped

#: Reasons that a forward pass may change: those of names, and of layers that compute in their way.
_DOUBTS = frozenset({Reason.NAME, Reason.UNKNOWN})


def may_tell(parameters: Prunable[nn.Parameter]) -> bool:
    """Whether a forward pass may tell more about the parameters of a model."""
    if any(map(is_sharded, parameters.values())):
        return False  # The forward pass uses other tensors, which are gathered from all ranks.
    return any(one.reason in _DOUBTS for one in parameters.decisions)


def observe(
    model: nn.Module,
    parameters: Prunable[nn.Parameter],
    objective: Objective,
    batch: Any,  # noqa: ANN401 - the caller's
    *,
    mode: str,
) -> dict[str, Reason]:
    """What parameters in doubt are by one forward pass; without those that it does not tell about.

    A parameter that the batch does not reach, such as that of an expert, is not among them.
    """
    named = dict(unwrapped(model).named_parameters())
    doubts = [one.name for one in parameters.decisions if one.reason in _DOUBTS]
    certain = [one.name for one in parameters.decisions if one.reason is Reason.LAYER]
    watch = ProductWatch({name: named[name] for name in (*doubts, *certain)}, certain)
    with (
        ModelState(model, parameters.values(), None, mode=mode),
        torch.compiler.set_stance("force_eager"),
        watch,
    ):
        objective(batch)
    found = {}
    for name in doubts:
        if name in watch.multiplied:
            found[name] = Reason.LAYER
        elif name in watch.computed:
            found[name] = Reason.COMPUTED
        elif name in watch.used:
            found[name] = Reason.UNUSED
    return found
