"""The parameters of a model as its first forward pass uses them, where types leave doubts."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from torch import nn

from swiftforce.adapters import Patterns, PeekedBatches, Reason, as_patterns
from swiftforce.result import Prunable
from swiftforce.torch.arguments import check_objective
from swiftforce.torch.eager import eager
from swiftforce.torch.model_state import ModelState
from swiftforce.torch.objective import BatchLoss, Loss, Objective
from swiftforce.torch.parameters import chosen_of
from swiftforce.torch.products import ProductWatch
from swiftforce.torch.scoring import Method
from swiftforce.torch.sharded import is_sharded
from swiftforce.torch.wrappers import scored, unwrapped

#: Reasons that a forward pass may change: those of names, and of layers that compute in their way.
_DOUBTS = frozenset({Reason.NAME, Reason.UNKNOWN})


def searched(
    model: nn.Module,
    method: Method,
    batches: Iterable[Any] | None,
    losses: tuple[Loss | None, BatchLoss | None],
    patterns: tuple[Patterns | None, Patterns],
    *,
    mode: str,
) -> tuple[Prunable[nn.Parameter], Iterable[Any] | None]:
    """The parameters that a method searches, and the batches for it.

    Where names alone say that parameters are weights, the first batch decides. The caller restores
    the states of random number generators, which looking at it may change.

    Parameters
    ----------
    model : nn.Module
    method : Method
    batches : iterable, optional
    losses : tuple
        ``loss`` and ``batch_loss``.
    patterns : tuple
        ``include`` and ``exclude``.
    mode : {"train", "eval", "as_is"}
        The mode that the model is scored in.
    """
    include, exclude = (as_patterns(one) for one in patterns)
    choose = partial(chosen_of, model, include, exclude or ())
    parameters = choose()
    if method.takes_gradients and _may_tell(parameters):
        check_objective(*losses, batches, method.name)
        assert batches is not None
        batches = PeekedBatches(batches)
        device = next(iter(parameters.values())).device
        objective = Objective(scored(model), *losses, device=device)
        parameters = choose(observe(parameters, objective, batches.first, mode=mode))
    return parameters, batches


def _may_tell(parameters: Prunable[nn.Parameter]) -> bool:
    """Whether a forward pass may tell more about the parameters of a model."""
    if any(map(is_sharded, parameters.values())):
        return False  # The forward pass uses other tensors, which are gathered from all ranks.
    return bool(_doubts(parameters))


def _doubts(parameters: Prunable[nn.Parameter]) -> list[str]:
    """Parameters that may be searched, and of which only a forward pass tells more."""
    return [
        one.name
        for one in parameters.decisions
        if one.found in _DOUBTS and (one.chosen or one.reason in _DOUBTS)
    ]


def observe(
    parameters: Prunable[nn.Parameter],
    objective: Objective,
    batch: Any,  # noqa: ANN401 - the caller's
    *,
    mode: str,
) -> dict[str, Reason]:
    """What parameters in doubt are by one forward pass; without those that it does not tell about.

    A parameter that the batch does not reach, such as that of an expert, is not among them.
    """
    model = objective.model
    named = dict(unwrapped(model).named_parameters())
    doubts = _doubts(parameters)
    certain = [one.name for one in parameters.decisions if one.found is Reason.LAYER]
    watch = ProductWatch({name: named[name] for name in (*doubts, *certain)}, certain)
    contexts = eager(), watch
    with ModelState(model, parameters.values(), None, mode=mode, contexts=contexts):
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
