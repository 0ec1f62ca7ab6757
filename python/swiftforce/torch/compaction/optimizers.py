"""Optimizers that go on with the parameters of a compact model, and with what is left of state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from swiftforce.errors import StructureError, UnsupportedTypeError
from swiftforce.torch.compaction.rewriting import sliced
from swiftforce.torch.mask_hooks import MaskHooks, mask_hooks_of
from swiftforce.torch.optimizers import TABLES


def check_trains(chains: Iterable[Sequence[Optimizer]], parameters: Iterable[nn.Parameter]) -> None:
    """Refuse optimizers that train no parameter of a model, and those of one flat tensor.

    A chain has the optimizers that one wrapper holds.

    Raises
    ------
    StructureError
        If one of them trains none.
    UnsupportedTypeError
        If one of them is LBFGS.
    """
    own = {id(one) for one in parameters}
    for chain in chains:
        if any(isinstance(one, torch.optim.LBFGS) for one in chain):
            raise UnsupportedTypeError(
                "the state of LBFGS is of all parameters together, so it cannot be made smaller: "
                "make a new one of the compact model's parameters"
            )
        groups = [group for one in chain for group in one.param_groups]
        if not any(id(one) in own for group in groups for one in group["params"]):
            raise StructureError(
                f"{type(chain[0]).__name__} trains none of the model's parameters: make it from "
                "this model's parameters, or make a new one of those of the compact model"
            )


@contextmanager
def moved(
    optimizers: Iterable[Optimizer],
    old: Mapping[str, nn.Parameter],
    new: Mapping[str, nn.Parameter],
    slices: Mapping[str, tuple[torch.Tensor, ...]],
) -> Iterator[None]:
    """Let optimizers train the parameters of a compact model; undo it after an error within.

    Parameters
    ----------
    optimizers : iterable of Optimizer
    old, new : mapping of str to parameter
        The parameters of the model and of the compact model. Those that only the former has are
        dropped.
    slices : mapping of str to tuple of tensor
        Indices of what stays of parameters that are smaller now.
    """
    names = {id(one): name for name, one in old.items() if name in new}
    dropped = {id(one) for one in old.values()} - names.keys()
    optimizers = tuple(optimizers)
    groups = [[list(group["params"]) for group in one.param_groups] for one in optimizers]
    states = [dict(one.state) for one in optimizers]

    def following(parameter: Any) -> Any:  # noqa: ANN401 - a key of a state
        name = names.get(id(parameter))
        return parameter if name is None else new[name]

    try:
        changed = [
            {
                following(parameter): _left(names.get(id(parameter)), parameter, values, slices)
                for parameter, values in one.state.items()
                if id(parameter) not in dropped
            }
            for one in optimizers
        ]
        for optimizer, state in zip(optimizers, changed, strict=True):
            for group in optimizer.param_groups:
                left = [one for one in group["params"] if id(one) not in dropped]
                group["params"][:] = [following(one) for one in left]
            optimizer.state.clear()
            optimizer.state.update(state)
        yield
    except BaseException:
        for optimizer, kept, before in zip(optimizers, groups, states, strict=True):
            for group, parameters in zip(optimizer.param_groups, kept, strict=True):
                group["params"][:] = parameters
            optimizer.state.clear()
            optimizer.state.update(before)
        raise


def _left(
    name: str | None,
    parameter: torch.Tensor,
    values: Mapping[str, Any],
    slices: Mapping[str, tuple[torch.Tensor, ...]],
) -> Mapping[str, Any]:
    """What is left of the state of a parameter; all of it for one of another model.

    Raises
    ------
    UnsupportedTypeError
        If it has a tensor of another shape than the parameter, which cannot be indexed.
    """
    if name is None:
        return values
    index = slices.get(name)
    found = {}
    for key, value in values.items():
        is_tensor = isinstance(value, torch.Tensor) and value.dim() > 0
        if not is_tensor or index is None:
            found[key] = value.clone() if isinstance(value, torch.Tensor) else value
        elif value.shape == parameter.shape:
            found[key] = sliced(value, index)
        else:
            raise UnsupportedTypeError(
                f"the optimizer's {key} of {name} has shape {tuple(value.shape)}, not that of the "
                "parameter, so it cannot be made smaller: make a new optimizer of the compact "
                "model's parameters"
            )
    return found


def release(model: nn.Module, optimizers: Iterable[Optimizer]) -> None:
    """Take the hooks of a model's masks off optimizers that train it no longer."""
    tables = [vars(one)[name] for one in optimizers for name in TABLES]
    for module in model.modules():
        hooks: MaskHooks | None = mask_hooks_of(module)
        for one in hooks.parameters if hooks is not None else ():
            for handle in list(one.optimizer_hooks):
                if any(handle.hooks_dict_ref() is table for table in tables):
                    handle.remove()
                    one.optimizer_hooks.remove(handle)
