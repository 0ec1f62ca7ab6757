"""What keeps the removed weights of one model at zero, wherever the model is taken."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

#: The buffer of a parameter's mask has the parameter's name and this.
SUFFIX = "_mask"
#: Where a model holds its guard.
ATTRIBUTE = "_swiftforce_guard"


class Place:
    """A parameter and its mask, looked up each time: both may be moved, loaded or replaced.

    It knows a module by its tables, which a copy of the module has copies of, whatever of it is
    copied first.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        self._parameters = module._parameters
        self._buffers = module._buffers
        self.name = name

    @property
    def parameter(self) -> nn.Parameter:
        """The parameter as it is now."""
        found = self._parameters[self.name]
        assert found is not None
        return found

    @property
    def mask(self) -> torch.Tensor:
        """Its mask as it is now."""
        found = self._buffers[self.name + SUFFIX]
        assert found is not None
        return found

    def clear(self, tensor: torch.Tensor) -> None:
        """Set to zero what belongs to removed weights: a choice, so that no NaN is left."""
        with torch.no_grad():
            tensor.masked_fill_(~self.mask, 0)

    def clear_gradient(self, parameter: torch.Tensor) -> None:
        """Do so in the gradient of a parameter, which was just made."""
        if parameter.grad is not None:
            self.clear(parameter.grad)

    def clear_state(self, optimizer: Optimizer) -> None:
        """Do so in what an optimizer remembers of each weight."""
        for value in optimizer.state.get(self.parameter, {}).values():
            if isinstance(value, torch.Tensor) and value.shape == self.parameter.shape:
                self.clear(value)


class Guard:
    """Hooks that keep removed weights at zero. A copy of the model has a guard of its own.

    Parameters
    ----------
    places : iterable of Place
    """

    def __init__(self, places: Iterable[Place]) -> None:
        self._places = tuple(places)
        self._gradient_hooks: list[RemovableHandle] = []
        self._other_hooks: list[RemovableHandle] = []
        self.watch()

    def __deepcopy__(self, memo: dict[int, Any]) -> Guard:
        return Guard(copy.deepcopy(self._places, memo))

    def __reduce__(self) -> tuple[type[Guard], tuple[tuple[Place, ...]]]:
        return Guard, (self._places,)

    def watch(self) -> None:
        """Clear weights and their gradients, and gradients as they are made from here on."""
        for hook in self._gradient_hooks:
            hook.remove()
        for place in self._places:
            place.clear(place.parameter)
            place.clear_gradient(place.parameter)
        self._gradient_hooks = [
            place.parameter.register_post_accumulate_grad_hook(place.clear_gradient)
            for place in self._places
        ]

    def follow(self, optimizer: Optimizer) -> None:
        """Clear the state of an optimizer, and weights after each of its steps."""

        def after_step(*_: object) -> None:
            for place in self._places:
                place.clear(place.parameter)

        def after_loading(optimizer: Optimizer) -> None:
            for place in self._places:
                place.clear_state(optimizer)

        after_loading(optimizer)
        self._other_hooks += [
            optimizer.register_step_post_hook(after_step),
            optimizer.register_load_state_dict_post_hook(after_loading),
        ]

    def follow_loading(self, model: nn.Module) -> None:
        """Watch anew when parameters and masks of the model were loaded."""
        self._other_hooks.append(model.register_load_state_dict_post_hook(_watch_anew))

    def leave(self) -> None:
        """Take all hooks off."""
        for hook in (*self._gradient_hooks, *self._other_hooks):
            hook.remove()


def _watch_anew(model: nn.Module, _: object) -> None:
    guard = model.__dict__.get(ATTRIBUTE)
    if guard is not None:
        guard.watch()


def places_of(model: nn.Module) -> dict[str, tuple[nn.Module, Place]]:
    """The parameters with masks, by their names, and the modules that they belong to."""
    return {
        f"{path}.{own}" if path else own: (module, Place(module, own))
        for path, module in model.named_modules()
        for own, parameter in module.named_parameters(recurse=False)
        if _is_mask(module._buffers.get(own + SUFFIX), parameter)
    }


def _is_mask(buffer: torch.Tensor | None, parameter: torch.Tensor) -> bool:
    return buffer is not None and buffer.dtype == torch.bool and buffer.shape == parameter.shape


def masks_in(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The masks among the entries of a state, by the names of their parameters."""
    return {
        name.removesuffix(SUFFIX): mask
        for name, mask in state.items()
        if name.endswith(SUFFIX)
        and isinstance(parameter := state.get(name.removesuffix(SUFFIX)), torch.Tensor)
        and _is_mask(mask, parameter)
    }
