"""What keeps the removed weights of one model at zero, wherever the model is taken."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

#: The buffer of a parameter's mask has the parameter's name and this.
SUFFIX = "_mask"
#: Where a module holds its guard.
ATTRIBUTE = "_swiftforce_mask_hooks"


class MaskedParameter:
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
            # Not ~mask: a cast of the whole model makes other numbers of it.
            tensor.masked_fill_(self.mask == 0, 0)

    def clear_gradient(self, parameter: torch.Tensor) -> None:
        """Do so in the gradient of a parameter, which was just made."""
        gradient = parameter.grad
        if gradient is None:
            return
        if not gradient.is_sparse:
            self.clear(gradient)
            return
        gradient = gradient.coalesce()
        rows = tuple(gradient.indices())
        gradient.values().masked_fill_(self.mask[rows] == 0, 0)
        parameter.grad = gradient

    def clear_state(self, optimizer: Optimizer) -> None:
        """Do so in what an optimizer remembers of each weight."""
        if isinstance(optimizer, torch.optim.LBFGS):
            # It remembers all weights in one flat tensor.
            optimizer.state.clear()
            return
        for value in optimizer.state.get(self.parameter, {}).values():
            if isinstance(value, torch.Tensor) and value.shape == self.parameter.shape:
                self.clear(value)


class MaskHooks:
    """Hooks that keep the removed weights of a module at zero. Its copy has a guard of its own.

    Parameters
    ----------
    places : iterable of MaskedParameter
        The parameters of the module that have masks.
    """

    def __init__(self, places: Iterable[MaskedParameter]) -> None:
        self.places = tuple(places)
        self._gradient_hooks: list[RemovableHandle] = []
        self._other_hooks: list[RemovableHandle] = []
        self.watch()

    def __deepcopy__(self, memo: dict[int, Any]) -> MaskHooks:
        return MaskHooks(copy.deepcopy(self.places, memo))

    def __reduce__(self) -> tuple[type[MaskHooks], tuple[tuple[MaskedParameter, ...]]]:
        return MaskHooks, (self.places,)

    def watch(self) -> None:
        """Clear weights and their gradients, and gradients as they are made from here on."""
        for hook in self._gradient_hooks:
            hook.remove()
        for place in self.places:
            place.clear(place.parameter)
            place.clear_gradient(place.parameter)
        # Casts of the weights as they were.
        torch.clear_autocast_cache()
        self._gradient_hooks = [self._watched(place) for place in self.places]

    @staticmethod
    def _watched(place: MaskedParameter) -> RemovableHandle:
        """The hook of a parameter; of a frozen one, too, which may be trained later."""
        parameter = place.parameter
        is_trained = parameter.requires_grad
        parameter.requires_grad_(True)
        hook: RemovableHandle = parameter.register_post_accumulate_grad_hook(place.clear_gradient)
        parameter.requires_grad_(is_trained)
        # Before those that may take a step with the gradient: they run as they were inserted.
        hooks = parameter._post_accumulate_grad_hooks
        others = {number: one for number, one in hooks.items() if number != hook.id}
        for number in others:
            del hooks[number]
        hooks.update(others)
        return hook

    def follow(self, optimizer: Optimizer) -> None:
        """Clear the state of an optimizer, and weights after each of its steps."""

        def after_step(*_: object) -> None:
            for place in self.places:
                place.clear(place.parameter)

        def after_loading(optimizer: Optimizer) -> None:
            for place in self.places:
                place.clear_state(optimizer)

        after_loading(optimizer)
        self._other_hooks += [
            optimizer.register_step_post_hook(after_step),
            optimizer.register_load_state_dict_post_hook(after_loading),
        ]

    def also(self, hook: RemovableHandle) -> None:
        """Take this hook off, too, in the end."""
        self._other_hooks.append(hook)

    def leave(self) -> None:
        """Take all hooks off."""
        for hook in (*self._gradient_hooks, *self._other_hooks):
            hook.remove()


def add_mask_hooks(module: nn.Module, names: Iterable[str]) -> MaskHooks:
    """MaskHooks the parameters of a module that have these names there, and masks beside them."""
    guard = MaskHooks(MaskedParameter(module, name) for name in names)
    guard.also(module.register_load_state_dict_post_hook(_watch_anew))
    setattr(module, ATTRIBUTE, guard)
    return guard


def mask_hooks_of(module: nn.Module) -> MaskHooks | None:
    """The guard of a module, if it has one."""
    found: MaskHooks | None = module.__dict__.get(ATTRIBUTE)
    return found


def masked_parameters(model: nn.Module) -> dict[str, MaskedParameter]:
    """The parameters of a model that have masks, by their names."""
    return {
        f"{path}.{place.name}" if path else place.name: place
        for path, module in model.named_modules()
        if (guard := mask_hooks_of(module)) is not None
        for place in guard.places
    }


def _watch_anew(module: nn.Module, _: object) -> None:
    """A hook of a module whose parameters and masks were just loaded."""
    guard = mask_hooks_of(module)
    if guard is not None:
        guard.watch()
