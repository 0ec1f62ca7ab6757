"""Copies of modules whose tensors have no values and that share nothing with the original.

What a module's code writes while a copy runs (caches, counters, lists) is the copy's own.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


def copied(module: nn.Module) -> nn.Module:
    """A copy without hooks, in eval mode, with all tensors on the device ``meta``.

    Raises
    ------
    Exception
        If something that the module holds cannot be copied, such as a lock.
    """
    with _WithoutValues():
        found = _copied(module, {})
    assert isinstance(found, nn.Module)
    for one in found.modules():
        one.training = False  # Not by its own ``eval``, which may do more.
    return found


class _WithoutValues(TorchFunctionMode):
    """Copies tensors without values inside of objects that `copy.deepcopy` copies."""

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401 - functions, methods and getters
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if func is torch.Tensor.__deepcopy__:
            tensor, memo = args
            return memo.setdefault(id(tensor), _empty(tensor))
        return func(*args, **(kwargs or {}))


def _copied(value: Any, memo: dict[int, Any]) -> Any:  # noqa: ANN401 - whatever a module holds
    """A copy of anything; of modules and containers without a copy of values on the way.

    `memo` has the copies so far by the identity of the original, as that of `copy.deepcopy`.
    """
    if id(value) in memo:
        return memo[id(value)]
    found: Any
    if isinstance(value, torch.Tensor):
        found = memo[id(value)] = _empty(value)
    elif isinstance(value, nn.Module):
        found = memo[id(value)] = type(value).__new__(type(value))
        for name, one in value.__dict__.items():
            is_table = name.endswith("_hooks") and isinstance(one, dict)
            found.__dict__[name] = OrderedDict() if is_table else _copied(one, memo)
        found.__dict__.pop("forward", None)  # What a library put before that of the class.
    elif type(value) in (dict, OrderedDict):
        found = memo[id(value)] = type(value)()
        found.update((_copied(key, memo), _copied(one, memo)) for key, one in value.items())
    elif type(value) is list:
        found = memo[id(value)] = []
        found.extend(_copied(one, memo) for one in value)
    elif type(value) is tuple:
        found = tuple(_copied(one, memo) for one in value)
    else:
        found = copy.deepcopy(value, memo)
    return found


def _empty(tensor: torch.Tensor) -> torch.Tensor:
    found = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(found, requires_grad=tensor.requires_grad)
    return found
