"""Hooks that keep the removed weights of a model at zero, also in its copies."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

#: The buffer of a mask is called as its parameter, with this suffix.
SUFFIX = "_mask"
#: The attribute of a module that holds its hooks.
ATTRIBUTE = "_swiftforce_mask_hooks"


class MaskedParameter:
    """A parameter and its mask, looked up by name each time: both may be moved or replaced.

    It refers to the module's dictionaries of parameters and buffers rather than to the module: a
    deep copy then refers to those of the module's copy, whichever object is copied first.

    Parameters
    ----------
    module : nn.Module
    name : str
        The name of the parameter in the module.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        self._parameters = module._parameters
        self._buffers = module._buffers
        self.name = name

    @property
    def parameter(self) -> nn.Parameter:
        """The current parameter."""
        found = self._parameters[self.name]
        assert found is not None
        return found

    @property
    def mask(self) -> torch.Tensor:
        """The current mask."""
        found = self._buffers[self.name + SUFFIX]
        assert found is not None
        return found

    def clear(self, tensor: torch.Tensor) -> None:
        """Set a tensor to zero where weights are removed; a product would leave NaN behind."""
        with torch.no_grad():
            # Not ~mask: model.to(dtype) converts the mask, too.
            tensor.masked_fill_(self.mask == 0, 0)

    def clear_gradient(self, parameter: torch.Tensor) -> None:
        """Clear the gradient of a parameter that was just computed."""
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
        """Clear the state that an optimizer keeps for each weight."""
        if isinstance(optimizer, torch.optim.LBFGS):
            # Its state is one flat tensor of all weights.
            optimizer.state.clear()
            return
        for value in optimizer.state.get(self.parameter, {}).values():
            if isinstance(value, torch.Tensor) and value.shape == self.parameter.shape:
                self.clear(value)


class MaskHooks:
    """Hooks that keep the removed weights of a module at zero; a copy makes hooks of its own.

    Parameters
    ----------
    parameters : iterable of MaskedParameter
        The parameters of the module that have masks.
    """

    def __init__(self, parameters: Iterable[MaskedParameter]) -> None:
        self.parameters = tuple(parameters)
        self._gradient_hooks: list[RemovableHandle] = []
        self._other_hooks: list[RemovableHandle] = []
        self.attach()

    def __deepcopy__(self, memo: dict[int, Any]) -> MaskHooks:
        return MaskHooks(copy.deepcopy(self.parameters, memo))

    def __reduce__(self) -> tuple[type[MaskHooks], tuple[tuple[MaskedParameter, ...]]]:
        return MaskHooks, (self.parameters,)

    def attach(self) -> None:
        """Clear weights and their gradients, and hook the gradients of the current parameters."""
        for hook in self._gradient_hooks:
            hook.remove()
        for one in self.parameters:
            one.clear(one.parameter)
            one.clear_gradient(one.parameter)
        # The casts that autocast has cached are of the weights before.
        torch.clear_autocast_cache()
        self._gradient_hooks = [self._gradient_hook(one) for one in self.parameters]

    @staticmethod
    def _gradient_hook(one: MaskedParameter) -> RemovableHandle:
        """Hook the gradient of a parameter, even a frozen one, which may be trained later."""
        parameter = one.parameter
        is_trained = parameter.requires_grad
        parameter.requires_grad_(True)
        hook: RemovableHandle = parameter.register_post_accumulate_grad_hook(one.clear_gradient)
        parameter.requires_grad_(is_trained)
        # Move it to the front: hooks run in the order of the dict, and others may use the gradient.
        hooks = parameter._post_accumulate_grad_hooks
        others = {number: other for number, other in hooks.items() if number != hook.id}
        for number in others:
            del hooks[number]
        hooks.update(others)
        return hook

    def add_to(self, optimizer: Optimizer) -> None:
        """Clear the state of an optimizer now, and weights after each of its steps."""

        def after_step(*_: object) -> None:
            for one in self.parameters:
                one.clear(one.parameter)

        def after_loading(optimizer: Optimizer) -> None:
            for one in self.parameters:
                one.clear_state(optimizer)

        after_loading(optimizer)
        self._other_hooks += [
            optimizer.register_step_post_hook(after_step),
            optimizer.register_load_state_dict_post_hook(after_loading),
        ]

    def add(self, hook: RemovableHandle) -> None:
        """Add a hook that `remove` removes as well."""
        self._other_hooks.append(hook)

    def remove(self) -> None:
        """Remove all hooks."""
        for hook in (*self._gradient_hooks, *self._other_hooks):
            hook.remove()


def add_mask_hooks(module: nn.Module, names: Iterable[str]) -> MaskHooks:
    """Add hooks to a module for its parameters of these names, whose masks are in its buffers."""
    hooks = MaskHooks(MaskedParameter(module, name) for name in names)
    hooks.add(module.register_load_state_dict_post_hook(_attach_again))
    setattr(module, ATTRIBUTE, hooks)
    return hooks


def mask_hooks_of(module: nn.Module) -> MaskHooks | None:
    """The mask hooks of a module, if it has any."""
    found: MaskHooks | None = module.__dict__.get(ATTRIBUTE)
    return found


def masked_parameters(model: nn.Module) -> dict[str, MaskedParameter]:
    """The parameters of a model that have masks, by their names."""
    return {
        f"{path}.{one.name}" if path else one.name: one
        for path, module in model.named_modules()
        if (hooks := mask_hooks_of(module)) is not None
        for one in hooks.parameters
    }


def _attach_again(module: nn.Module, _: object) -> None:
    """Attach the hooks to parameters that were just loaded, and clear them."""
    hooks = mask_hooks_of(module)
    if hooks is not None:
        hooks.attach()
