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
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.utils import prune as torch_prune
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from swiftforce.errors import ShapeError, StructureError, UnsupportedTypeError
from swiftforce.report import Pruning
from swiftforce.torch.parameters import unwrapped
from swiftforce.torch.sharded import spread_as

#: The buffer of a parameter's mask has the parameter's name and this.
SUFFIX = "_mask"

#: The hooks of each model with masks; a model that is no longer used takes them along.
_HOOKS: WeakKeyDictionary[nn.Module, list[RemovableHandle]] = WeakKeyDictionary()


class _Place:
    """A parameter and its mask, found anew each time: both may be moved, loaded or replaced."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self._module = module
        self.name = name

    @property
    def parameter(self) -> nn.Parameter:
        return self._module.get_parameter(self.name)

    def clear(self, tensor: torch.Tensor) -> None:
        """Set to zero what belongs to removed weights."""
        mask = self._module.get_buffer(self.name + SUFFIX)
        with torch.no_grad():
            tensor.masked_fill_(~mask, 0)

    def clear_gradient(self, parameter: torch.Tensor) -> None:
        """A hook of a parameter whose gradient was just made."""
        if parameter.grad is not None:
            self.clear(parameter.grad)

    def clear_state(self, state: Mapping[str, Any]) -> None:
        for value in state.values():
            if isinstance(value, torch.Tensor) and value.shape == self.parameter.shape:
                self.clear(value)

    def leave(self) -> torch.Tensor:
        """Take the mask off the module."""
        mask = self._module.get_buffer(self.name + SUFFIX)
        delattr(self._module, self.name + SUFFIX)
        return mask


def apply(
    model: nn.Module,
    masks: Pruning | Mapping[str, Any],
    optimizer: Optimizer | Iterable[Optimizer] = (),
) -> None:
    """Remove weights from a model, and keep them exactly zero while it is trained.

    The training script stays as it is. Masks become buffers beside their parameters
    (``weight_mask`` beside ``weight``), so they move, are saved and are loaded with the model.
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
        removed weights are set to zero after each of their steps. Can be left out for an optimizer
        that has no state yet and does not move a weight whose gradient is always zero: SGD, Adam,
        AdamW and all others that treat each weight by itself, with momentum and weight decay.

    Raises
    ------
    StructureError
        If the model has no parameter of a mask's name; nothing is changed then, nor by the other
        errors.
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
    optimizers = (optimizer,) if isinstance(optimizer, Optimizer) else tuple(optimizer)
    _take_off(model)
    places = []
    for name, mask in checked.items():
        path, _, own = name.rpartition(".")
        module = model.get_submodule(path)
        module.register_buffer(own + SUFFIX, mask)
        places.append(_Place(module, own))
    hooks = [model.register_load_state_dict_post_hook(_clear_loaded)]
    for place in places:
        place.clear(place.parameter)
        place.clear_gradient(place.parameter)
        hooks.append(place.parameter.register_post_accumulate_grad_hook(place.clear_gradient))
    for one in optimizers:
        _clear_states(one, places)
        hooks += _follow(one, places)
    _HOOKS[model] = hooks


def _checked(model: nn.Module, masks: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Masks as tensors on the devices of their parameters."""
    if not isinstance(masks, Mapping):
        raise StructureError(
            "masks must be a Pruning, or a mapping of names of parameters to masks, "
            f"not {type(masks).__name__}"
        )
    named = dict(model.named_parameters())
    if unknown := [name for name in masks if name not in named]:
        raise StructureError(
            f"{type(model).__name__} has no parameter {', '.join(map(repr, unknown[:3]))}; it has, "
            f"for example, {', '.join(map(repr, list(named)[:3]))}"
        )
    checked = {}
    for name, mask in masks.items():
        tensor = torch.as_tensor(mask)
        if tensor.dtype != torch.bool:
            raise UnsupportedTypeError(f"masks[{name!r}] has dtype {tensor.dtype}, not bool")
        if tensor.shape != named[name].shape:
            raise ShapeError(
                f"masks[{name!r}] has shape {tuple(tensor.shape)} where the parameter has "
                f"{tuple(named[name].shape)}"
            )
        # Of its own, in the order of the parameter's memory.
        checked[name] = torch.empty_like(named[name], dtype=torch.bool, requires_grad=False)
        checked[name].copy_(spread_as(tensor, named[name]))
    return checked


def _places(model: nn.Module) -> dict[str, _Place]:
    """The parameters with masks, by their names."""
    return {
        f"{path}.{own}" if path else own: _Place(module, own)
        for path, module in model.named_modules()
        for own, _ in module.named_parameters(recurse=False)
        if (mask := module._buffers.get(own + SUFFIX)) is not None and mask.dtype == torch.bool
    }


def _clear_loaded(model: nn.Module, _: object) -> None:
    """A hook of a model whose parameters and masks were just loaded."""
    for place in _places(model).values():
        place.clear(place.parameter)


def _clear_states(optimizer: Optimizer, places: Iterable[_Place]) -> None:
    for place in places:
        if place.parameter in optimizer.state:
            place.clear_state(optimizer.state[place.parameter])


def _follow(optimizer: Optimizer, places: list[_Place]) -> list[RemovableHandle]:
    """Hooks of an optimizer that keep removed weights at zero."""

    def after_step(*_: object) -> None:
        for place in places:
            place.clear(place.parameter)

    def after_loading(optimizer: Optimizer) -> None:
        _clear_states(optimizer, places)

    return [
        optimizer.register_step_post_hook(after_step),
        optimizer.register_load_state_dict_post_hook(after_loading),
    ]


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
        source = dict(unwrapped(source).state_dict(keep_vars=True))
    return {
        name.removesuffix(SUFFIX): mask
        for name, mask in source.items()
        if name.endswith(SUFFIX)
        and name.removesuffix(SUFFIX) in source
        and mask.dtype == torch.bool
    }


def remove(model: nn.Module) -> None:
    """Take the masks off a model: removed weights are zero, and nothing keeps them there.

    The model has the parameters and buffers again that it had before `apply`.
    """
    _take_off(unwrapped(model))


def to_torch_prune(model: nn.Module) -> None:
    """Hand the masks over to `torch.nn.utils.prune`, as by its ``custom_from_mask``.

    Afterwards a parameter ``weight`` is called ``weight_orig``, and ``weight`` is computed of it
    and of the buffer ``weight_mask`` in each pass. torch's own functions take it from there;
    weights stay removed in each pass, while an optimizer may move ``weight_orig`` where they are.
    """
    for place, mask in _take_off(unwrapped(model)):
        torch_prune.custom_from_mask(place._module, place.name, mask)


def _take_off(model: nn.Module) -> list[tuple[_Place, torch.Tensor]]:
    for hook in _HOOKS.pop(model, ()):
        hook.remove()
    return [(place, place.leave()) for place in _places(model).values()]
