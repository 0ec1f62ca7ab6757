"""A copy of a model with other tensors in place of its own, however it refers to them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from swiftforce.errors import UnsupportedTypeError
from swiftforce.torch.snapshot import Parts


def copied(
    model: nn.Module, replace: Callable[[torch.Tensor], torch.Tensor], method: str
) -> nn.Module:
    """A copy to compute with: what the copy does to itself, the model does not see.

    No tensor is copied. `torch.func.functional_call` would put other tensors into the model itself,
    where caches, second names and recomputation after the call meet them.

    Parameters
    ----------
    model : nn.Module
    replace : callable
        From a tensor of the model (parameter, buffer or other) to the one that stands in its place
        wherever the model refers to it.
    method : str
        What needs the copy, for messages.

    Raises
    ------
    UnsupportedTypeError
        If the model cannot be copied.
    """
    parts = Parts(model)
    if scripted := [one for one in parts.objects if isinstance(one, torch.jit.ScriptModule)]:
        raise UnsupportedTypeError(
            f"{method} computes with a copy of the model that has other weights, which the scripted "
            f"module {scripted[0].original_name} cannot have: pass the model before torch.jit.script"
        )
    memo: dict[int, Any] = {id(one): one for one in parts.others if _is_shared(one)}
    memo.update({id(one): replace(one) for one in parts.tensors})
    try:
        made: nn.Module = copy.deepcopy(model, memo)
    except Exception as error:
        raise UnsupportedTypeError(
            f"{method} computes with a copy of the model, and copy.deepcopy cannot copy "
            f"{type(model).__name__}: {error}"
        ) from error
    return made


def _is_shared(value: object) -> bool:
    """Whether a copy refers to the same object: one that is no part of the model."""
    kind = type(value)
    # The package's own objects hook parameters, which a copy for computing does not need.
    return not hasattr(kind, "__deepcopy__") or kind.__module__.startswith("swiftforce.")
