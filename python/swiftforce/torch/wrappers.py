"""Wrappers around a model: what is inside them, and what they add to the names of parameters."""

from __future__ import annotations

from torch import nn

#: Prefixes that DistributedDataParallel and torch.compile add to the names of parameters.
WRAPPERS = ("module.", "_orig_mod.")


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside the wrappers of DistributedDataParallel and torch.compile."""
    while True:
        if isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def parallel_of(model: nn.Module) -> nn.parallel.DistributedDataParallel | None:
    """The model as DistributedDataParallel, if it is one, compiled or not; else None."""
    inner = getattr(model, "_orig_mod", model)
    return inner if isinstance(inner, nn.parallel.DistributedDataParallel) else None
