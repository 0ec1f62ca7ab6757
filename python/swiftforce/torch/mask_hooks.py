"""Hooks that keep the removed weights of a model at zero, or frozen ones as they are.

A module with masks holds `MaskHooks` in an attribute, so they are copied and pickled with it, and
its parameters, buffers and ``state_dict`` are those of a module without masks.

Parameters may be replaced, by conversions of the model or by hand, and the hooks of their gradients
are lost then. Hooks of torch that concern all modules and all optimizers follow them: one is
called for each parameter that is assigned to a module, another before each optimizer's step.
`frozen_weights` has those of weights that keep their values.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Container, Iterable, Mapping
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from swiftforce.errors import MasksLostWarning, RemovedWeightsWarning, StructureError
from swiftforce.torch.frozen_weights import Pairs, restore_after_steps
from swiftforce.torch.masked_parameter import ATTRIBUTE, MaskedParameter, clear, masked_by
from swiftforce.torch.sharded import is_sharded, local_of

#: What earlier versions added to the name of a parameter for the buffer of its mask.
SUFFIX = "_mask"

#: The hooks in use, by numbers in the order in which they were made: the same on all ranks.
_in_use: WeakValueDictionary[int, MaskHooks] = WeakValueDictionary()
_numbers = count()


class MaskHooks:
    """Hooks that keep the removed weights of a module at zero; a copy makes hooks of its own.

    Parameters
    ----------
    parameters : iterable of MaskedParameter
        The parameters of the module that have masks.
    """

    def __init__(self, parameters: Iterable[MaskedParameter]) -> None:
        self.parameters = tuple(parameters)

    def __deepcopy__(self, memo: dict[int, Any]) -> MaskHooks:
        return _attached(copy.deepcopy(self.parameters, memo))

    def __reduce__(self) -> tuple[Any, tuple[tuple[MaskedParameter, ...]]]:
        return _attached, (self.parameters,)

    def attach(self) -> None:
        """Hook the current parameters and clear them; drop masks that have no parameter any more.

        Warns
        -----
        MasksLostWarning
            If masks were dropped.
        """
        for one in self.parameters:
            if (parameter := one.parameter) is not None:
                one.attach(parameter)
        # The casts that autocast has cached are of the weights before.
        torch.clear_autocast_cache()
        self._drop([one for one in self.parameters if one.is_lost])

    def follow(self) -> None:
        """Attach the hooks again if parameters have been replaced; see `attach`."""
        if not all(one.is_hooked for one in self.parameters):
            self.attach()

    def follow_assignment(self, name: str, parameter: nn.Parameter | None) -> bool:
        """Follow a parameter that is about to get that name; return whether a mask fits it."""
        for one in self.parameters:
            if one.name != name or parameter is None:
                continue
            if one.is_sparse and parameter.shape == (one.kept,):
                return True
            if one.fits(parameter):
                one.attach(parameter)
                return True
        return False

    def drop_lost(self, name: str) -> None:
        """Drop the masks of parameters that are gone, when another one is to get that name."""
        self._drop([one for one in self.parameters if one.name == name or one.is_lost])

    def _drop(self, lost: list[MaskedParameter]) -> None:
        self.parameters = tuple(one for one in self.parameters if one not in lost)
        for one in lost:
            one.unhook()
        if names := [one.label for one in lost if one.elsewhere is None]:
            freezes = any(one.freezes for one in lost)
            held = "frozen weights as they are" if freezes else "removed weights at zero"
            call = "call finetune for" if freezes else "apply masks to"
            warnings.warn(
                f"{', '.join(names)} had a mask, and its module has no such parameter of that "
                "shape in floating point any more (weight_norm computes a weight from other "
                "parameters, and quantisation puts integers in its place, for example): nothing "
                f"keeps {held} there; {call} the parameters that the module has now",
                MasksLostWarning,
                stacklevel=2,
            )

    def add_to(self, optimizer: Optimizer, copies: Mapping[str, torch.Tensor]) -> None:
        """Clear weights after each step of an optimizer, and its state after it was loaded.

        `copies` are the tensors that it trains in place of weights, by the labels of these.
        """
        followed = [(one, copies.get(one.label)) for one in self.parameters]
        for one, trained in followed:
            if one.freezes and trained is not None:
                one.copies.append(trained)

        def after_step(*_: object) -> None:
            for one, trained in followed:
                for tensor in (one.parameter_anywhere, trained):
                    if tensor is not None:
                        one.clear_weights(tensor)

        def after_loading(optimizer: Optimizer) -> None:
            for one, trained in followed:
                for tensor in state_of(optimizer, (one.parameter_anywhere, trained)):
                    one.clear(tensor)
            forget_history(optimizer)

        hooks = (
            optimizer.register_step_post_hook(after_step),
            optimizer.register_load_state_dict_post_hook(after_loading),
        )
        for one in self.parameters:
            one.optimizer_hooks += hooks

    def partly_frozen(self, trained: Container[int]) -> Pairs:
        """The tensors among these, by their ids, of which some weights are frozen."""
        return [
            (one, tensor)
            for one in self.parameters
            if one.freezes
            for tensor in (one.parameter, *one.copies)
            if tensor is not None and id(tensor) in trained and not tensor.is_meta
        ]

    def remove(self) -> None:
        """Remove all hooks."""
        for one in self.parameters:
            one.unhook()
            for hook in one.optimizer_hooks:
                hook.remove()


def state_of(optimizer: Optimizer, trained: Iterable[torch.Tensor | None]) -> list[torch.Tensor]:
    """What an optimizer keeps for each weight of the tensors it trains, except in whole numbers.

    Whole numbers are codes, as of optimizers with 8-bit state, where 0 need not mean zero.
    """
    return [
        value
        for tensor in trained
        if tensor is not None
        for value in optimizer.state.get(tensor, {}).values()
        if (type(value) is torch.Tensor or is_sharded(value))
        and value.shape == tensor.shape
        and value.is_floating_point()
    ]


def forget_history(optimizer: Optimizer) -> None:
    """Clear the state of LBFGS, which is one flat tensor of all weights."""
    if isinstance(optimizer, torch.optim.LBFGS):
        optimizer.state.clear()


def _attached(parameters: Iterable[MaskedParameter]) -> MaskHooks:
    """Hooks of a module's copy."""
    hooks = MaskHooks(parameters)
    hooks.attach()
    use(hooks)
    return hooks


def use(hooks: MaskHooks) -> None:
    """Follow the parameters of these hooks from now on."""
    number = next(_numbers)
    if number == 0:
        register_module_parameter_registration_hook(_on_assignment)
        register_optimizer_step_pre_hook(_before_step)
    _in_use[number] = hooks
    if any(one.freezes for one in hooks.parameters):
        restore_after_steps(_partly_frozen)


def _partly_frozen(trained: Container[int]) -> Pairs:
    return [pair for hooks in list(_in_use.values()) for pair in hooks.partly_frozen(trained)]


def _before_step(optimizer: Optimizer, *_: object) -> None:
    """Follow parameters before an optimizer changes them."""
    if torch.compiler.is_compiling():
        return
    trained = {id(one) for group in optimizer.param_groups for one in group["params"]}
    for hooks in list(_in_use.values()):
        if any(one.is_trained_with(trained) for one in hooks.parameters):
            hooks.follow()


def _on_assignment(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
    """Follow a parameter that is about to be assigned to a module.

    The mask goes with the name, and also with the parameter: code that exchanges modules, as for
    quantisation, assigns the parameters of the old ones to the new ones.
    """
    if torch.compiler.is_compiling():
        return
    hooks = mask_hooks_of(module)
    if hooks is not None and hooks.follow_assignment(name, parameter):
        return
    found = masked_by(parameter) if parameter is not None else []
    owners = [one for one in found if parameter is not None and one.fits(parameter)]
    if parameter is not None and owners:
        adopted = owners[0].adopted(module, name)
        adopted.attach(parameter)
        if hooks is None:
            put(MaskHooks([adopted]), module)
        else:
            hooks.parameters += (adopted,)
    elif hooks is not None:
        hooks.drop_lost(name)


def put(hooks: MaskHooks, module: nn.Module) -> None:
    """Make these the hooks of a module."""
    setattr(module, ATTRIBUTE, hooks)
    clean_loads(module)
    _forget(module._load_state_dict_post_hooks, _after_load)
    module.register_load_state_dict_post_hook(_after_load)
    use(hooks)


def take(module: nn.Module) -> None:
    """Take the hooks off a module."""
    hooks = mask_hooks_of(module)
    if hooks is not None:
        hooks.remove()
        delattr(module, ATTRIBUTE)
        for parameter in module._parameters.values():
            for one in masked_by(parameter) if parameter is not None else ():
                one.unhook()  # That of a module that this one has taken the place of.
    _forget(module._load_state_dict_post_hooks, _after_load)
    _forget(module._load_state_dict_pre_hooks, _before_load)


def clean_loads(module: nn.Module) -> None:
    """Clear removed weights in each state that is loaded into a module, and warn of it."""
    _forget(module._load_state_dict_pre_hooks, _before_load)
    module.register_load_state_dict_pre_hook(_before_load)


def _forget(table: dict[int, Any], function: Any) -> None:  # noqa: ANN401 - any function
    """Remove a function from a table of hooks; a copied module has no handle of it."""
    for number, hook in list(table.items()):
        if getattr(hook, "hook", hook) is function:
            del table[number]


def _before_load(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Take masks over from a state that holds them; set removed weights to zero in the state.

    `state` is a copy that torch makes for each call, so it may be changed. This is called for the
    outermost module first: those inside find a state without masks and without removed weights.
    """
    found: dict[str, tuple[int, int]] = {}
    changes: dict[str, torch.Tensor] = {}
    masked = masked_parameters(module)
    for name, one in masked.items():
        key = prefix + name
        if (mask := _saved_mask(module, name, state, key)) is not None:
            if one.is_sparse:
                raise StructureError(
                    f"the state has a mask of its own for {key}, whose layer holds its kept "
                    "weights alone: call swiftforce.torch.desparsify(model) first"
                )
            changes[name] = _removed_by(mask, one)
        removed = changes.get(name, one.removed)
        value = state.get(key)
        if not isinstance(value, torch.Tensor) or not one.fits(value):
            continue
        if value.is_meta or is_sharded(value) != is_sharded(removed):
            continue
        removed = removed.to(value.device)
        if alive := int(local_of((value != 0) & removed).sum()):
            state[key] = value.detach().clone()
            clear(state[key], removed)
            found[name] = alive, int(local_of(removed).sum())
    if found:
        name, (alive, removed_there) = max(found.items(), key=lambda item: item[1])
        warnings.warn(
            f"the state that is loaded has {sum(alive for alive, _ in found.values()):,} values "
            f"other than zero where masks remove weights ({name}: {alive:,} of "
            f"{removed_there:,}), and they are set to zero: the state is dense, or of other masks; "
            "to keep its values, apply its own masks first, or call swiftforce.torch.remove(model)",
            RemovedWeightsWarning,
            stacklevel=6 + prefix.count("."),  # The caller: torch calls itself for each level.
        )
    for name, removed in changes.items():
        masked[name].removed = removed
        del state[prefix + name + SUFFIX]


def _saved_mask(
    module: nn.Module, name: str, state: Mapping[str, Any], key: str
) -> torch.Tensor | None:
    """The mask that an earlier version saved beside a parameter, unless it is the module's own."""
    path, _, own = name.rpartition(".")
    mask, value = state.get(key + SUFFIX), state.get(key)
    if not isinstance(mask, torch.Tensor) or not isinstance(value, torch.Tensor):
        return None
    is_own = own + SUFFIX in module.get_submodule(path)._buffers
    return mask if mask.shape == value.shape and not is_own else None


def _removed_by(mask: torch.Tensor, one: MaskedParameter) -> torch.Tensor:
    with torch.no_grad():
        return torch.empty_like(one.removed).copy_(mask == 0)


def _after_load(module: nn.Module, _: object) -> None:
    """Attach the hooks to parameters that were just loaded."""
    hooks = mask_hooks_of(module)
    if hooks is not None:
        hooks.attach()


#: Its name in models that an earlier version pickled, which `MaskedParameter` refuses.
_attach_again = _after_load


def mask_hooks_of(module: nn.Module) -> MaskHooks | None:
    """The mask hooks of a module, if it has any."""
    found: MaskHooks | None = module.__dict__.get(ATTRIBUTE)
    return found


def masked_parameters(model: nn.Module, *, frozen: bool = False) -> dict[str, MaskedParameter]:
    """The parameters of a model that have masks, by their names; shared ones by the first.

    With `frozen`, those that are partly frozen, which are not among the others.
    """
    found: dict[str, MaskedParameter] = {}
    seen: set[int] = set()
    for path, module in model.named_modules():
        if (hooks := mask_hooks_of(module)) is None:
            continue
        hooks.follow()
        for one in hooks.parameters:
            is_new = one.is_sparse or id(one.parameter) not in seen
            if one.freezes == frozen and is_new:
                seen.add(id(one.parameter))
                found[f"{path}.{one.name}" if path else one.name] = one
    return found
