"""What optimizers keep for weights, converted when these become vectors of kept values, or back."""

from __future__ import annotations

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from swiftforce.torch.mask_hooks import forget_history
from swiftforce.torch.sparse_modules import MARK, SparseWeight

_is_following = False


def follow_optimizers() -> None:
    """Convert what optimizers keep for weights before their next steps."""
    global _is_following  # noqa: PLW0603 - torch has one table of hooks for all optimizers
    if not _is_following:
        register_optimizer_step_pre_hook(_convert_state)
        _is_following = True


def _convert_state(optimizer: Optimizer, *_: object) -> None:
    """Convert the state of dense weights to that of kept values, or the other way."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    if isinstance(optimizer, torch.optim.LBFGS):
        if optimizer._numel_cache not in (None, sum(one.numel() for one in parameters)):
            forget_history(optimizer)
            optimizer._numel_cache = None
        return
    for parameter in parameters:
        sparse: SparseWeight | None = getattr(parameter, MARK, None)
        if sparse is None:
            continue
        state = optimizer.state.get(parameter, {})
        for name, value in state.items():
            if not isinstance(value, torch.Tensor) or value.shape == parameter.shape:
                continue
            if parameter.dim() == 1 and value.shape == sparse.mask.shape:
                state[name] = sparse.values(value)
            elif parameter.dim() != 1 and value.dim() == 1 and len(value) == sparse.count:
                state[name] = sparse.dense(value)
