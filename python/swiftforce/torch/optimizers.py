"""Optimizers to follow: those inside wrappers, and the copies of weights that they train."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import nn
from torch.optim import Optimizer

from swiftforce.errors import StructureError, UnsupportedTypeError
from swiftforce.torch.sharded import is_sharded

#: Tables of hooks that an optimizer calls after its steps, and after its state was loaded.
TABLES = ("_optimizer_step_post_hooks", "_optimizer_load_state_dict_post_hooks")


def followed(optimizer: object) -> list[Optimizer]:
    """The optimizers that call their hooks, among this one and those that it wraps.

    A wrapper holds the optimizer inside in an attribute of any name, as those of accelerate, timm,
    Fabric and schedule-free do. It need not be a `torch.optim.Optimizer`.

    Raises
    ------
    UnsupportedTypeError
        If it is no optimizer, or none that can be followed.
    """
    if inspect.isclass(optimizer) and issubclass(optimizer, Optimizer):
        raise UnsupportedTypeError(
            f"optimizer is the class {optimizer.__name__}: pass an instance, "
            f"{optimizer.__name__}(model.parameters())"
        )
    if not _is_optimizer(optimizer):
        raise UnsupportedTypeError(
            f"optimizer must be a torch.optim.Optimizer, not {type(optimizer).__name__}"
        )
    # A wrapper may share the tables of the optimizer inside: its hooks are added once.
    found = {id(vars(one)[TABLES[0]]): one for one in _all_within(optimizer) if _calls_hooks(one)}
    if not found:
        raise UnsupportedTypeError(
            f"{type(optimizer).__name__} does not call hooks after its steps, and holds no other "
            "optimizer: call Optimizer.__init__ in its own, or pass the optimizer that it wraps"
        )
    return list(found.values())


def _is_optimizer(value: object) -> bool:
    """Whether an object is an optimizer, or acts as one."""
    if isinstance(value, Optimizer):
        return True
    return (
        not inspect.isclass(value)
        and not isinstance(value, (nn.Module, torch.Tensor))
        and callable(getattr(value, "step", None))
        and isinstance(getattr(value, "param_groups", None), list)
    )


def _all_within(optimizer: object) -> Iterator[Optimizer]:
    """An optimizer and all those that it holds."""
    waiting, seen = [optimizer], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen or not _is_optimizer(one):
            continue
        seen.add(id(one))
        yield one  # type: ignore[misc] # It acts as one.
        for value in (*getattr(one, "__dict__", {}).values(), getattr(one, "optimizer", None)):
            waiting += value if isinstance(value, (list, tuple)) else [value]


def _calls_hooks(optimizer: Optimizer) -> bool:
    """Whether hooks are called: `Optimizer.__init__` prepares that, and wrappers leave it out."""
    step = getattr(type(optimizer), "step", None)
    return bool(getattr(step, "hooked", False)) and all(
        name in getattr(optimizer, "__dict__", {}) for name in TABLES
    )


def copies(
    optimizers: Iterable[Optimizer], weights: Mapping[str, torch.Tensor], model: nn.Module
) -> dict[str, torch.Tensor]:
    """The copies of a model's weights that optimizers train in place of the weights themselves.

    In mixed precision an optimizer may train copies in float32, from which the model's weights are
    rounded after each step. They have another type or device, the same shape and the same values.

    Parameters
    ----------
    optimizers : iterable of Optimizer
        Those of one call of `followed`.
    weights : mapping of name to tensor
        The weights that have masks.
    model : nn.Module
        The model that they belong to.

    Raises
    ------
    StructureError
        If the optimizers train none of the weights, and no copies of them.
    """
    trained = {
        id(tensor): tensor
        for one in optimizers
        for group in one.param_groups
        for tensor in group["params"]
    }
    others = {number: trained[number] for number in trained}
    for parameter in model.parameters():
        others.pop(id(parameter), None)
    found: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        if id(weight) in trained:
            continue
        for number, other in others.items():
            if _is_copy(other, weight):
                found[name] = others.pop(number)
                break
    if weights and not found and not any(id(weight) in trained for weight in weights.values()):
        outer = type(next(iter(optimizers))).__name__
        raise StructureError(
            f"{outer} trains none of the parameters with masks, and no copies of them in their "
            "shapes: make it from this model's parameters"
        )
    return found


def _is_copy(other: torch.Tensor, weight: torch.Tensor) -> bool:
    if other.shape != weight.shape or not other.is_floating_point():
        return False
    if is_sharded(other) or is_sharded(weight):
        return False
    if (other.dtype, other.device) == (weight.dtype, weight.device):
        return False  # Nothing to copy for: they are of another model that began alike.
    with torch.no_grad():
        return torch.equal(other.to(weight.device, weight.dtype), weight)
