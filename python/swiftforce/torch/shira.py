"""Masks for SHiRA adapters of the peft library, which train a few weights of each layer.

peft asks for the mask of one layer after the other; here each layer gets the one that was found
for it. How masks are found does not belong here, and peft is not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from swiftforce.errors import (
    HyperparameterError,
    ShapeError,
    StructureError,
    UnsupportedTypeError,
)
from swiftforce.result import Pruning, masks_of
from swiftforce.torch.arguments import check_model
from swiftforce.torch.sharded import is_sharded
from swiftforce.torch.sparse import checked_masks
from swiftforce.torch.wrappers import unwrapped

#: ``mask_fn(base_layer, r, **options)``, as peft calls it.
MaskFunction = Callable[..., torch.Tensor]


def shira_mask_fn(model: nn.Module, masks: Pruning[Any] | Mapping[str, Any]) -> MaskFunction:
    """Make the ``mask_fn`` by which peft gives each layer of a SHiRA adapter the weights to train.

    Set it as ``mask_fn`` of a ``peft.ShiraConfig``, and pass peft the same model. An adapter of
    rank r trains exactly ``r * (m + n)`` weights of a layer whose weight is of shape (m, n): search
    with these numbers as `allocation`, so that one search finds the masks of all layers.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.
    masks : Pruning, or mapping of name to bool tensor or array
        The result of `prune`, or masks by parameter name: True where the adapter trains a weight,
        in the shape of the parameter.

    Returns
    -------
    callable
        ``mask_fn(base_layer, r, **options)`` returns a tensor of ones, where the adapter trains a
        weight, and zeros, of the shape, the dtype and on the device of ``base_layer.weight``. It
        ignores the options. In peft's hands, it raises `StructureError` if the layer has no mask or
        is not one of the model, such as one of a copy; `HyperparameterError` if the mask is of
        another rank than r; and `ShapeError` if the layer's weight has another shape by now.

    Raises
    ------
    StructureError
        If there are no masks, the model has no parameter of a mask's name, or the parameter is not
        the matrix ``weight`` of a layer.
    HyperparameterError
        If a mask does not have ``r * (m + n)`` weights for any r of at least 1.
    ShapeError
        If a mask has another shape than its parameter.
    UnsupportedTypeError
        If a mask is not of bools, its parameter has no values yet or is sharded, or `model` is not
        a `torch.nn.Module`.

    Notes
    -----
    Layers are recognised by identity, and the function keeps a copy of the masks, a byte per
    weight, but not the model. peft adapts `nn.Linear` alone: it refuses other layers, among them
    ``Conv1D`` of GPT-2, before it asks for a mask. A saved adapter has its own positions, so it is
    loaded without the function. peft warns that it does not know the ``mask_type``: any but
    ``random`` leaves the choice to ``mask_fn``.

    References
    ----------
    Bhardwaj et al., "Sparse High Rank Adapters", NeurIPS 2024.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Linear(4, 3))
    >>> counts = {name: 1 * sum(one.shape) for name, one in sft.prunable(model).items()}
    >>> found = sft.prune(model, method="magnitude", allocation=counts)
    >>> mask_fn = sft.shira_mask_fn(model, found)
    >>> mask_fn(model[0], r=1).sum()  # as peft calls it
    tensor(10.)
    """
    inner = unwrapped(check_model(model))
    with torch.inference_mode(False):
        checked = checked_masks(inner, masks_of(masks))
    if not checked:
        raise StructureError("there are no masks: find one for each layer that peft adapts")
    by_parameter = {id(inner.get_parameter(name)): name for name in checked}
    names: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
    found: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
    matrices = set()
    for path, module in inner.named_modules():
        names[module] = path
        weight = module._parameters.get("weight")
        if weight is not None and weight.dim() == 2:
            matrices.add(id(weight))
            if id(weight) in by_parameter:
                found[module] = by_parameter[id(weight)]
    ranks = {}
    for name, mask in checked.items():
        if id(inner.get_parameter(name)) not in matrices:
            raise StructureError(
                f"{name!r}, of shape {tuple(mask.shape)}, is not the matrix weight of a layer, "
                "which is what peft adapts: leave its mask out, by include or exclude of the search"
            )
        ranks[name] = _rank_of(name, mask)

    def mask_fn(base_layer: nn.Module, r: int, **options: Any) -> torch.Tensor:  # noqa: ANN401
        del options
        if not isinstance(base_layer, nn.Module):
            raise UnsupportedTypeError(f"mask_fn takes a layer of the model, not {base_layer!r}")
        name = found.get(base_layer)
        if name is None:
            raise StructureError(_no_mask(base_layer, names.get(base_layer)))
        weight, mask = base_layer.weight, checked[name]
        assert isinstance(weight, torch.Tensor)
        if weight.shape != mask.shape:
            raise ShapeError(
                f"{name} has shape {tuple(weight.shape)} where its mask has {tuple(mask.shape)}: "
                "find masks for the model as it is now"
            )
        if r != ranks[name]:
            raise HyperparameterError(
                f"the adapter has rank r={r}, and the mask of {name!r} has {int(mask.sum())} "
                f"weights, those of rank {ranks[name]}: pass ShiraConfig(r={ranks[name]}), or "
                f"search with allocation={{{name!r}: {r * sum(mask.shape)}, ...}}"
            )
        return mask.to(weight.device, weight.dtype)

    return mask_fn


def _rank_of(name: str, mask: torch.Tensor) -> int:
    """The rank r of an adapter that trains as many weights as a mask keeps.

    Raises
    ------
    UnsupportedTypeError, HyperparameterError
    """
    if is_sharded(mask):
        raise UnsupportedTypeError(
            f"{name!r} is sharded, and peft takes whole masks: make the adapter before the model "
            "is sharded"
        )
    count, unit = int(mask.sum()), sum(mask.shape)
    if not count or count % unit:
        raise HyperparameterError(
            f"the mask of {name!r} has {count} weights, and an adapter of rank r trains r * (m + n)"
            f" of them, here r * {unit}: search with allocation={{{name!r}: r * {unit}, ...}}"
        )
    return count // unit


def _no_mask(layer: nn.Module, path: str | None) -> str:
    """The message for a layer that has no mask."""
    if path is not None:
        return (
            f"peft adapts {path!r}, which has no mask: find masks for all layers of "
            "target_modules, by include of the search, or leave it out of them"
        )
    return (
        f"peft adapts {layer}, which is no layer of the model that the masks were made for: pass "
        "shira_mask_fn the model that peft adapts, not a copy"
    )
