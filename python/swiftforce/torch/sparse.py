"""Masks at work in a model: removed weights are zero and stay so, whatever trains them.

Three things keep them there. Gradients are cleared where a weight is removed as they are made, so
that momentum, running squares and the norm that clipping looks at do not see them. State of the
optimizer is cleared once. And after each step of the optimizer, removed weights are set to
zero, for optimizers that move a weight whose gradient was always zero. All by choice, never by
product: a removed weight leaves no NaN behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune
from torch.optim import Optimizer

from swiftforce.errors import ShapeError, StructureError, UnsupportedTypeError
from swiftforce.result import Pruning
from swiftforce.torch.mask_hooks import (
    ATTRIBUTE,
    SUFFIX,
    add_mask_hooks,
    mask_hooks_of,
    masked_parameters,
)
from swiftforce.torch.parameters import WRAPPERS, unwrapped
from swiftforce.torch.sharded import sharded_as


def apply(
    model: nn.Module,
    masks: Pruning | Mapping[str, Any],
    optimizer: Optimizer | Iterable[Optimizer] = (),
) -> None:
    """Remove weights from a model, and keep them exactly zero while it is trained.

    The training script stays as it is. Masks become buffers beside their parameters
    (``weight_mask`` beside ``weight``), so they move, are saved and are loaded with the model; a
    copy of the model (`copy.deepcopy`, `torch.save` of all of it) keeps its removed weights, too.
    Apply masks anew, and they replace those before; weights removed before are zero then.

    Parameters
    ----------
    model : nn.Module
        May be compiled or wrapped by DistributedDataParallel, before or after. Shard it first, if
        at all.
    masks : Pruning, or mapping of name to bool tensor or array
        What `prune` found, or `masks` of a saved model; True where a weight is kept.
    optimizer : torch.optim.Optimizer or several, optional
        Those that train these weights: their state is cleared where weights are removed, and
        removed weights are set to zero after each of their steps. Can be left out where gradients
        come from ``backward``, for an optimizer that has no state yet and does not move a weight
        whose gradient is always zero: SGD, Adam, AdamW and all others that treat each weight by
        itself, with momentum and weight decay.

    Raises
    ------
    StructureError
        If the model has no parameter of a mask's name, or an optimizer trains none of them; nothing
        is changed then, nor by the other errors.
    ShapeError, UnsupportedTypeError
        If a mask has another shape than its parameter, or is not of bools.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> model = torch.nn.Linear(4, 2)
    >>> optimizer = torch.optim.AdamW(model.parameters())
    >>> sft.apply(model, {"weight": torch.arange(8).view(2, 4) % 2 == 0}, optimizer)
    >>> model(torch.randn(3, 4)).sum().backward()
    >>> optimizer.step()
    >>> int((model.weight == 0).sum())
    4
    """
    model = unwrapped(model)
    checked = _checked(model, masks.masks if isinstance(masks, Pruning) else masks)
    weights = [model.get_parameter(name) for name in checked]
    optimizers = (optimizer,) if isinstance(optimizer, Optimizer) else tuple(optimizer)
    for one in optimizers:
        if not isinstance(one, Optimizer):
            raise UnsupportedTypeError(f"an optimizer of torch is needed, not {one!r}")
        trained = {id(weight) for group in one.param_groups for weight in group["params"]}
        if weights and not any(id(weight) in trained for weight in weights):
            raise StructureError(f"{type(one).__name__} trains none of the parameters with masks")
    remove(model)
    by_path: dict[str, list[str]] = {}
    for name, mask in checked.items():
        path, _, own = name.rpartition(".")
        model.get_submodule(path).register_buffer(own + SUFFIX, mask)
        by_path.setdefault(path, []).append(own)
    for path, names in by_path.items():
        guard = add_mask_hooks(model.get_submodule(path), names)
        for one in optimizers:
            guard.follow(one)


def _checked(model: nn.Module, masks: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Masks as tensors on the devices of their parameters."""
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
            raise StructureError(f"{name}{SUFFIX} is taken: the model has something of that name")
        tensor = mask if isinstance(mask, torch.Tensor) else torch.from_numpy(np.array(mask))
        if tensor.dtype != torch.bool:
            raise UnsupportedTypeError(f"masks[{name!r}] has dtype {tensor.dtype}, not bool")
        if tensor.shape != named[name].shape:
            raise ShapeError(
                f"masks[{name!r}] has shape {tuple(tensor.shape)} where the parameter has "
                f"{tuple(named[name].shape)}"
            )
        # Of its own, in the order of the parameter's memory.
        checked[name] = torch.empty_like(named[name], dtype=torch.bool, requires_grad=False)
        checked[name].copy_(sharded_as(tensor, named[name]))
    return checked


def masks(source: nn.Module | Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The masks of a model, or of one that was saved.

    Parameters
    ----------
    source : nn.Module or mapping
        A model that masks were applied to, or its ``state_dict``. To go on with a saved run,
        ``apply(model, masks(state), optimizer)`` and then ``model.load_state_dict(state)``.

    Returns
    -------
    dict of name to bool tensor
        The masks themselves, not copies; empty where there are none.
    """
    if isinstance(source, nn.Module):
        return {name: place.mask for name, place in masked_parameters(unwrapped(source)).items()}
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
    """A state by the names that it has without the wrappers of DDP and of torch.compile."""
    for prefix in WRAPPERS:
        if state and all(name.startswith(prefix) for name in state):
            return _without_wrappers({name.removeprefix(prefix): state[name] for name in state})
    return state


def remove(model: nn.Module) -> None:
    """Take the masks off a model: removed weights are zero, and nothing keeps them there.

    The model has the parameters and buffers again that it had before `apply`.
    """
    for module in unwrapped(model).modules():
        guard = mask_hooks_of(module)
        if guard is not None:
            guard.leave()
            delattr(module, ATTRIBUTE)
            for place in guard.places:
                delattr(module, place.name + SUFFIX)


def to_torch_prune(model: nn.Module) -> None:
    """Hand the masks over to `torch.nn.utils.prune`, as by its ``custom_from_mask``.

    Afterwards a parameter ``weight`` is called ``weight_orig``, and ``weight`` is computed of it
    and of the buffer ``weight_mask`` in each pass. torch's own functions take it from there;
    weights stay removed in each pass, while an optimizer may move ``weight_orig`` where they are.
    """
    model = unwrapped(model)
    masks = {id(place.parameter): place.mask for place in masked_parameters(model).values()}
    remove(model)
    found = [
        (module, name, masks[id(parameter)])
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if id(parameter) in masks
    ]
    for module, name, mask in found:
        torch_prune.custom_from_mask(module, name, mask)
