"""A change of a model and its optimizers that is undone if it cannot be finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from swiftforce.torch.masked_parameter import ATTRIBUTE, MARK
from swiftforce.torch.optimizers import TABLES


@contextmanager
def all_or_nothing(
    model: nn.Module, optimizers: Iterable[Optimizer]
) -> Iterator[Callable[[torch.Tensor], None]]:
    """Restore hooks, and the values of tensors that were passed to the function, after an error.

    The function that this yields copies a tensor to the host. It is to be called before the tensor
    is changed.
    """
    optimizers = tuple(optimizers)
    modules, parameters = tuple(model.modules()), tuple(model.parameters())
    tables: list[dict[Any, Any]] = [vars(one)[name] for one in optimizers for name in TABLES]
    for module in modules:
        tables += (module._load_state_dict_pre_hooks, module._load_state_dict_post_hooks)
    tables += (one.state for one in optimizers)
    contents = [(table, dict(table)) for table in tables]
    attributes = [
        (one.__dict__, name, one.__dict__.get(name))
        for owners, name in ((modules, ATTRIBUTE), (parameters, MARK))
        for one in owners
    ]
    hooks = [(one, one._post_accumulate_grad_hooks) for one in parameters]
    hooked = [(table, dict(table)) for _, table in hooks if table is not None]
    values: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(tensor: torch.Tensor) -> None:
        if not tensor.is_meta:
            values.append((tensor, tensor.detach().to("cpu", copy=True)))

    try:
        yield keep
    except BaseException:
        for tensor, before in values:
            with torch.no_grad():
                tensor.copy_(before)
        for parameter, table in hooks:
            if table is None and parameter._post_accumulate_grad_hooks is not None:
                parameter._post_accumulate_grad_hooks = None
        for table, before_it in (*contents, *hooked):
            table.clear()
            table.update(before_it)
        for dictionary, name, value in attributes:
            dictionary.pop(name, None)
            if value is not None:
                dictionary[name] = value
        raise
