"""The arguments that an example of a model's inputs stands for, and calls in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import torch
from torch import nn

from swiftforce.errors import StructureError


def arguments_of(example: Any, model: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]]:  # noqa: ANN401
    """Positional and keyword arguments: of a shape, a tensor of random numbers.

    Raises
    ------
    StructureError
        If there is no tensor among them.
    """
    args: tuple[Any, ...] = ()
    named: dict[str, Any] = {}
    if isinstance(example, Mapping):
        named = dict(example)
    elif not isinstance(example, (tuple, list)):  # torch.Size is a tuple
        args = (example,)
    elif example and all(isinstance(one, Integral) for one in example):
        floating = (one for one in model.parameters() if one.is_floating_point())
        like = next(floating, torch.zeros(()))
        generator = torch.Generator().manual_seed(0)
        numbers = torch.randn(tuple(map(int, example)), generator=generator)
        args = (numbers.to(like.device, like.dtype),)
    else:
        args = tuple(example)
    if not any(isinstance(one, torch.Tensor) for one in (*args, *named.values())):
        raise StructureError("example_input has no tensor: pass what the model takes, or its shape")
    return args, named


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode, and its modes back."""
    modes = {module: module.training for module in model.modules()}
    try:
        for module in modes:  # Not by `eval`, which some modules override to merge weights.
            module.training = False
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
