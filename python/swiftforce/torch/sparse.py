"""Masks applied to a model: removed weights are zero and stay zero, whatever optimizer trains it.

Three things keep them zero. The gradients of removed weights are cleared as they are computed, so
that momentum, second moments and the norm for gradient clipping do not include them. The state of
the optimizer is cleared once. And after each step of the optimizer removed weights are set to zero,
for optimizers that move a weight whose gradient was always zero. Zeros are assigned, not products
with a mask: a removed weight leaves no NaN behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune
from torch.optim import Optimizer

from swiftforce.errors import ShapeError, StructureError, UnsupportedTypeError
from swiftforce.result import Pruning, masks_of
from swiftforce.torch.arguments import check_model, check_optimizer
from swiftforce.torch.mask_hooks import (
    ATTRIBUTE,
    SUFFIX,
    add_mask_hooks,
    mask_hooks_of,
    masked_parameters,
)
from swiftforce.torch.sharded import sharded_as
from swiftforce.torch.wrappers import WRAPPERS, unwrapped

Model = TypeVar("Model", bound=nn.Module)


def apply(
    model: Model,
    masks: Pruning[Any] | Mapping[str, Any],
    optimizer: Optimizer | Iterable[Optimizer] = (),
) -> Model:
    """Remove weights from a model, and keep them exactly zero while it is trained.

    The training loop does not change. Masks become buffers beside their parameters (``weight_mask``
    beside ``weight``), so they are moved, saved and loaded with the model; copies of the model
    (`copy.deepcopy`, `torch.save` of the whole model) keep their removed weights zero, too. New
    masks replace the masks before; weights that those removed are zero at first.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.
    masks : Pruning, or mapping of name to bool tensor or array
        The result of `prune`, or masks by parameter name: True where a weight is kept, in the shape
        of the parameter.
    optimizer : torch.optim.Optimizer or iterable of them, optional
        The optimizers that train these weights: their state is cleared where weights are removed,
        and removed weights are set to zero after each of their steps. It can be left out if
        gradients come from ``backward`` and the optimizer has no state yet and does not move a
        weight whose gradient is always zero: SGD, Adam, AdamW and all others that treat each weight
        separately, with momentum and weight decay.

    Returns
    -------
    nn.Module
        The same model, changed in place.

    Raises
    ------
    StructureError
        If the model has no parameter of a mask's name, or an optimizer trains none of the
        parameters with masks.
    ShapeError
        If a mask has another shape than its parameter.
    UnsupportedTypeError
        If a mask is not of bools, or `model` or `optimizer` has the wrong type, such as a class.

    Notes
    -----
    After an error, nothing has changed. A model may be compiled or wrapped before or after this
    call; shard it before.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> model = torch.nn.Linear(4, 2)
    >>> optimizer = torch.optim.AdamW(model.parameters())
    >>> model = sft.apply(model, {"weight": torch.arange(8).view(2, 4) % 2 == 0}, optimizer)
    >>> model(torch.randn(3, 4)).sum().backward()
    >>> optimizer.step()
    >>> int((model.weight == 0).sum())
    4
    """
    inner = unwrapped(check_model(model))
    checked = checked_masks(inner, masks_of(masks))
    weights = [inner.get_parameter(name) for name in checked]
    given = optimizer if isinstance(optimizer, Iterable) else (optimizer,)
    optimizers = [check_optimizer(one) for one in given]
    for one in optimizers:
        trained = {id(weight) for group in one.param_groups for weight in group["params"]}
        if weights and not any(id(weight) in trained for weight in weights):
            raise StructureError(
                f"{type(one).__name__} trains none of the parameters with masks: make it from "
                "this model's parameters"
            )
    remove(inner)
    by_path: dict[str, list[str]] = {}
    for name, mask in checked.items():
        path, _, own = name.rpartition(".")
        inner.get_submodule(path).register_buffer(own + SUFFIX, mask)
        by_path.setdefault(path, []).append(own)
    for path, names in by_path.items():
        hooks = add_mask_hooks(inner.get_submodule(path), names)
        for one in optimizers:
            hooks.add_to(one)
    return model


def checked_masks(model: nn.Module, masks: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Masks as new bool tensors, on the devices and in the memory format of their parameters.

    Raises
    ------
    StructureError, ShapeError, UnsupportedTypeError
        If a mask fits no parameter, or is not of bools.
    """
    if not isinstance(masks, Mapping):
        raise StructureError(
            "masks must be a Pruning, or a mapping of names of parameters to masks, "
            f"not {type(masks).__name__}"
        )
    named = dict(model.named_parameters(remove_duplicate=False))
    if unknown := [name for name in masks if name not in named]:
        raise StructureError(
            f"{type(model).__name__} has no parameter {', '.join(map(repr, unknown[:3]))}; it has, "
            f"for example, {', '.join(map(repr, list(named)[:3]))}"
        )
    checked = {}
    known = masked_parameters(model)
    for name, mask in masks.items():
        path, _, own = name.rpartition(".")
        if name not in known and hasattr(model.get_submodule(path), own + SUFFIX):
            raise StructureError(
                f"the model already has an attribute {name}{SUFFIX}: rename it, since the mask of "
                f"{name} needs that name"
            )
        tensor = mask if isinstance(mask, torch.Tensor) else torch.from_numpy(np.array(mask))
        if tensor.dtype != torch.bool:
            raise UnsupportedTypeError(f"masks[{name!r}] has dtype {tensor.dtype}, not bool")
        if tensor.shape != named[name].shape:
            raise ShapeError(
                f"masks[{name!r}] has shape {tuple(tensor.shape)} where the parameter has "
                f"{tuple(named[name].shape)}"
            )
        # A copy, in the memory format of the parameter.
        checked[name] = torch.empty_like(named[name], dtype=torch.bool, requires_grad=False)
        checked[name].copy_(sharded_as(tensor, named[name]))
    return checked


def masks(source: nn.Module | Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The masks of a model, or of a saved one.

    Parameters
    ----------
    source : nn.Module or mapping
        A model that masks were applied to, or its ``state_dict``. To resume a saved run, call
        ``apply(model, masks(state), optimizer)`` and then ``model.load_state_dict(state)``.

    Returns
    -------
    dict of name to bool tensor
        The masks themselves, not copies, by parameter name; empty if there are none.

    Raises
    ------
    UnsupportedTypeError
        If `source` is neither.
    """
    if not isinstance(source, Mapping):
        inner = unwrapped(check_model(source))
        return {name: one.mask for name, one in masked_parameters(inner).items()}
    state = _without_wrappers(source)
    return {
        name.removesuffix(SUFFIX): mask
        for name, mask in state.items()
        if name.endswith(SUFFIX)
        and isinstance(parameter := state.get(name.removesuffix(SUFFIX)), torch.Tensor)
        and isinstance(mask, torch.Tensor)
        and mask.dtype == torch.bool
        and mask.shape == parameter.shape
    }


def _without_wrappers(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state dict without the name prefixes of DistributedDataParallel and torch.compile."""
    for prefix in WRAPPERS:
        if state and all(name.startswith(prefix) for name in state):
            return _without_wrappers({name.removeprefix(prefix): state[name] for name in state})
    return state


def remove(model: nn.Module) -> None:
    """Take the masks off a model: removed weights are zero, but training may change them again.

    The model is changed in place: it has the parameters and buffers again that it had before
    `apply`.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.

    Raises
    ------
    UnsupportedTypeError
        If `model` is not a `torch.nn.Module`.
    """
    for module in unwrapped(check_model(model)).modules():
        hooks = mask_hooks_of(module)
        if hooks is not None:
            hooks.remove()
            delattr(module, ATTRIBUTE)
            for one in hooks.parameters:
                delattr(module, one.name + SUFFIX)


def to_torch_prune(model: nn.Module) -> None:
    """Convert the masks to those of `torch.nn.utils.prune`, by its ``custom_from_mask``.

    The model is changed in place. Afterwards a parameter ``weight`` is called ``weight_orig``, and
    each forward pass computes ``weight`` from it and the buffer ``weight_mask``. Removed weights
    are zero in each pass, but an optimizer may change them in ``weight_orig``.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.

    Raises
    ------
    UnsupportedTypeError
        If `model` is not a `torch.nn.Module`.
    """
    model = unwrapped(check_model(model))
    masks = {id(one.parameter): one.mask for one in masked_parameters(model).values()}
    remove(model)
    found = [
        (module, name, masks[id(parameter)])
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if id(parameter) in masks
    ]
    for module, name, mask in found:
        torch_prune.custom_from_mask(module, name, mask)
