"""Weights that optimizers must leave as they are: copied before each step, restored after it.

Hooks of torch that concern all optimizers do it, so that an optimizer need not be known. The copies
live for a step alone: nothing has to follow a model that is loaded, converted or assigned to.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import cache
from weakref import WeakKeyDictionary

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from swiftforce.torch.masked_parameter import MaskedParameter

#: Parameters that are partly frozen, each with a tensor that an optimizer trains.
Pairs = list[tuple[MaskedParameter, torch.Tensor]]

#: Of optimizers in a step: what they train that is partly frozen, and its values before the step.
_held: WeakKeyDictionary[Optimizer, list[tuple[MaskedParameter, torch.Tensor, torch.Tensor]]]
_held = WeakKeyDictionary()


@cache
def restore_after_steps(partly_frozen: Callable[[Container[int]], Pairs]) -> None:
    """Let all optimizers leave frozen weights as they are; compiled steps break their graph there.

    Parameters
    ----------
    partly_frozen : callable
        What is partly frozen among tensors, by their ids.
    """

    def before_step(optimizer: Optimizer, *_: object) -> None:
        trained = {id(one) for group in optimizer.param_groups for one in group["params"]}
        if pairs := partly_frozen(trained):
            _held[optimizer] = [(one, tensor, tensor.detach().clone()) for one, tensor in pairs]

    def after_step(optimizer: Optimizer, *_: object) -> None:
        for one, tensor, before in _held.pop(optimizer, ()):
            one.restore(tensor, before)

    register_optimizer_step_pre_hook(torch.compiler.disable(before_step))
    register_optimizer_step_post_hook(torch.compiler.disable(after_step))
