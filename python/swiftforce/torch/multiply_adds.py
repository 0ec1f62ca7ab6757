"""What the weights of a model cost: how many products one sample needs with each of their elements.

What must not live here: what a search does with costs (`swiftforce.Allocation`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from swiftforce.adapters import Patterns
from swiftforce.errors import StructureError
from swiftforce.torch.arguments import check_model
from swiftforce.torch.example_inputs import arguments_of, in_eval_mode
from swiftforce.torch.model_state import forked_generators
from swiftforce.torch.parameters import prunable
from swiftforce.torch.wrappers import unwrapped


def multiply_adds(
    model: nn.Module,
    example_input: Any,  # noqa: ANN401 - whatever the model takes
    *,
    include: Patterns | None = None,
    exclude: Patterns = (),
) -> dict[str, int]:
    """How many products with each element of a weight the outputs of one sample need.

    A convolution has one for each position that it writes, a transposed one for each that it reads,
    a linear layer one for each token. It is
    a cost for `swiftforce.Allocation`, with which a search keeps a share of all multiply-adds.

    The model computes the example once, in evaluation mode, and torch's `FlopCounterMode` counts.
    The first dimension of the example's first tensor counts samples. The model is not changed.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.
    example_input : tensor, sequence, mapping, or shape
        What the model takes: a tensor, a sequence of arguments, a mapping of keyword arguments, or
        a sequence of integers, which is the shape of a tensor.
    include : str or sequence of str, optional
        Patterns of parameter names, as in `fnmatch`: prune the floating-point parameters that one
        of them matches, frozen ones too, instead of those that `prunable` takes by default.
    exclude : str or sequence of str
        Patterns of parameter names to leave out.

    Returns
    -------
    dict of str to int
        By the names of the parameters that are searched, each at least 1. torch counts products by
        modules, so those of a module of your own that also multiplies activations are too many.
        Left out are weights that cannot be told from others: where a module has several, as in
        attention and recurrent layers, or modules of its own; and where torch counts no products.
        Add these yourself.

    Raises
    ------
    StructureError
        If the example has no tensor, or no sample.
    UnsupportedTypeError
        If `model` is not a `torch.nn.Module`.
    UnknownNameError
        If a pattern matches no parameter.

    Examples
    --------
    >>> import torch, swiftforce as sf, swiftforce.torch as sft
    >>> net = torch.nn.Sequential(
    ...     torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 2)
    ... )
    >>> cost = sft.multiply_adds(net, (1, 1, 8, 8))
    >>> cost
    {'0.weight': 36, '2.weight': 1}
    >>> allocation = sf.Allocation(cost=cost)
    """
    inner = unwrapped(check_model(model))
    args, named = arguments_of(example_input, inner)
    first = next(one for one in (*args, *named.values()) if isinstance(one, torch.Tensor))
    samples = first.shape[0] if first.dim() else 1
    if not samples:
        raise StructureError("example_input has no sample: its first dimension is 0")
    counter = FlopCounterMode(display=False)
    # Without gradients, torch would fuse whole encoder layers, whose products it does not count.
    with in_eval_mode(inner), forked_generators(), torch.enable_grad(), counter:
        inner(*args, **named)
    products = _products(inner, counter)
    found = {}
    for name, parameter in prunable(model, include=include, exclude=exclude).items():
        number = products.get(id(parameter), 0)
        if number:
            found[name] = max(1, round(number / (samples * parameter.numel())))
    return found


def _products(model: nn.Module, counter: FlopCounterMode) -> dict[int, int]:
    """The multiply-adds of modules by the identity of their weight, if they have only one."""
    counts = counter.get_flop_counts()
    found: dict[int, int] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        weights = [one for one in _own(module) if one.dim() > 1]
        if len(weights) == 1:
            key = f"{type(model).__name__}.{name}" if name else type(model).__name__
            flops = sum(counts[key].values()) if key in counts else 0
            found[id(weights[0])] = found.get(id(weights[0]), 0) + flops // 2
    return found


def _own(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of a module without modules of its own, but for parametrizations."""
    if set(module._modules) - {"parametrizations"}:
        return []
    return list(module.parameters())
