"""Everything of a model that a call must leave as it was, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Snapshot = dict[str, Any]


def snapshot(model: nn.Module, outputs: Callable[[], torch.Tensor]) -> Snapshot:
    """Tensors, flags, hooks and attributes of a model, and its outputs in eval and train mode.

    Outputs come last: a model may keep what it computes.
    """
    found: Snapshot = {}
    for path, module in model.named_modules(remove_duplicate=False):
        found[f"{path}: training"] = module.training
        for kind in ("_parameters", "_buffers"):
            for name, tensor in getattr(module, kind).items():
                found[f"{path}.{name}"] = None if tensor is None else _tensor(tensor)
        for name, value in vars(module).items():
            if name.startswith("_") and name.endswith("_hooks"):
                found[f"{path}: {name}"] = len(value)
            elif isinstance(value, torch.Tensor):
                found[f"{path}: {name}"] = _tensor(value)
            elif isinstance(value, bool | int | float | str | tuple):
                found[f"{path}: {name}"] = repr(value)
            elif isinstance(value, dict) and not name.startswith("_"):
                found[f"{path}: {name}"] = sorted(map(str, value))
    flags = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    for mode in (False, True):
        model.train(mode)
        torch.manual_seed(0)
        with torch.no_grad():
            found[f"outputs: train={mode}"] = _tensor(outputs())
    with torch.no_grad():
        for buffer, value in buffers:
            buffer.copy_(value)
    for module, training in flags:
        module.training = training
    return found


def _tensor(tensor: torch.Tensor) -> tuple[Any, ...]:
    """What a tensor is, and its bits."""
    gradient = None if tensor.grad is None else tensor.grad.detach().clone()
    is_parameter = isinstance(tensor, nn.Parameter)
    return (
        id(tensor) if is_parameter else 0,
        tensor.requires_grad,
        tensor.detach().clone(),
        gradient,
    )


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """Names of what is not the same."""
    names = [*before, *(name for name in after if name not in before)]
    return [
        name
        for name in names
        if name not in before or name not in after or not _same(before[name], after[name])
    ]


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return (
            isinstance(second, torch.Tensor)
            and first.dtype == second.dtype
            and first.shape == second.shape
            and first.contiguous()
            .view(-1)
            .view(torch.uint8)
            .equal(second.contiguous().view(-1).view(torch.uint8))
        )
    if isinstance(first, tuple):
        return (
            isinstance(second, tuple)
            and len(first) == len(second)
            and all(map(_same, first, second))
        )
    return bool(first == second)
