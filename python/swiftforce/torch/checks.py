"""Control masks of a model, with as many weights of each parameter, and what two masks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from swiftforce import checks
from swiftforce.errors import StructureError, UnsupportedTypeError
from swiftforce.inputs import Array
from swiftforce.result import Pruning, masks_of
from swiftforce.torch.memory import array_of
from swiftforce.torch.sharded import gathered, sharded_as

Masks = Pruning[Any] | Mapping[str, torch.Tensor | Array]


def shuffle(masks: Masks, seed: int = 0) -> dict[str, torch.Tensor]:
    """Masks that keep as many weights of each parameter as these, at random positions.

    This is `swiftforce.checks.shuffle` for tensors. A seed gives the same masks whatever the memory
    format, the device and the sharding. If masks are sharded, all ranks must call it.

    Parameters
    ----------
    masks : Pruning, or mapping of name to bool tensor or array
        The result of `prune`, or masks by parameter name: True where a weight is kept, in the shape
        of the parameter.
    seed : int
        Seed of the random choice.

    Returns
    -------
    dict of name to bool tensor
        Of the shapes of the masks, on their devices; `apply` takes them.

    Raises
    ------
    StructureError
        If `masks` is not a mapping.
    SeedError
        If `seed` is not an integer in 0 ... 2**64 - 1.
    UnsupportedTypeError
        If a mask is not a bool tensor.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> model = torch.nn.Linear(4, 2)
    >>> pruning = sft.prune(model, method="magnitude", sparsity=0.5)
    >>> model = sft.apply(model, sft.shuffle(pruning, seed=1))
    >>> int((model.weight != 0).sum())
    4
    """
    return _changed(masks, lambda arrays: checks.shuffle(arrays, seed))


def invert(
    masks: Masks, *, scores: Mapping[str, torch.Tensor] | None = None, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Masks that keep as many weights of each parameter as these, preferably removed ones.

    This is `swiftforce.checks.invert` for tensors. Without scores, the weights are a random choice
    from the removed ones; if fewer weights of a parameter are removed than kept, all of them are
    chosen, and others from those kept. If masks are sharded, all ranks must call it.

    Parameters
    ----------
    masks : Pruning, or mapping of name to bool tensor or array
        The result of `prune`, or masks by parameter name: True where a weight is kept, in the shape
        of the parameter.
    scores : mapping of name to tensor, optional
        The scores of the weights, of the shapes of the masks: the weights of smallest score are
        kept.
    seed : int
        Seed of the random choice.

    Returns
    -------
    dict of name to bool tensor
        Of the shapes of the masks, on their devices; `apply` takes them.

    Raises
    ------
    NonFiniteError
        If a score is NaN or infinite.
    StructureError, ShapeError
        If `masks` is not a mapping, or the scores do not fit the masks.
    SeedError
        If `seed` is not an integer in 0 ... 2**64 - 1.
    UnsupportedTypeError
        If a mask is not a bool tensor.
    """
    ranked = None
    if scores is not None:
        ranked = {
            name: array_of(gathered(score).detach().cpu().contiguous(), name)
            for name, score in scores.items()
        }
    return _changed(masks, lambda arrays: checks.invert(arrays, scores=ranked, seed=seed))


def overlap(a: Masks, b: Masks) -> checks.Overlap:
    """Count the weights that two masks of a model both keep.

    This is `swiftforce.checks.overlap` for tensors, whatever their memory format and device. If
    masks are sharded, all ranks must call it.

    Parameters
    ----------
    a, b : Pruning, or mapping of name to bool tensor or array
        Results of `prune`, or masks by parameter name: True where a weight is kept. Both have the
        same names and shapes.

    Returns
    -------
    swiftforce.checks.Overlap

    Raises
    ------
    StructureError
        If masks are not a mapping, or the names of the parameters differ.
    ShapeError
        If two masks of a parameter differ in shape.
    UnsupportedTypeError
        If a mask is not a bool tensor.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> model = torch.nn.Linear(4, 2)
    >>> pruning = sft.prune(model, method="random", sparsity=0.5)
    >>> sft.overlap(pruning, sft.invert(pruning))
    <Overlap: 0 of 4 and 4 weights kept>
    """
    first, second = _tensors(a, "masks a"), _tensors(b, "masks b")
    return checks.overlap(_arrays(first), _arrays(second))


def _changed(
    masks: Masks, change: Callable[[dict[str, Array]], dict[str, Array]]
) -> dict[str, torch.Tensor]:
    """Changed masks of the same shapes, on the same devices."""
    tensors = _tensors(masks, "masks")
    changed = change(_arrays(tensors))
    return {name: _like(changed[name], mask) for name, mask in tensors.items()}


def _tensors(masks: Masks, role: str) -> dict[str, torch.Tensor]:
    """Masks as tensors; messages name them by their role.

    Raises
    ------
    StructureError
        If they are not a mapping.
    UnsupportedTypeError
        If one is not a tensor or an array of bools.
    """
    named = masks_of(masks)
    if not isinstance(named, Mapping):
        raise StructureError(
            f"{role} must be a mapping of names to tensors, not {type(named).__name__}"
        )
    return {name: _tensor(f"{role}[{name!r}]", mask) for name, mask in named.items()}


def _arrays(masks: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    """Whole masks on the CPU; a copy only of one that is not there, or not contiguous."""
    return {name: gathered(mask).cpu().contiguous().numpy() for name, mask in masks.items()}


def _tensor(label: str, mask: object) -> torch.Tensor:
    """A mask as a tensor.

    Raises
    ------
    UnsupportedTypeError
        If it is not a tensor or an array of bools.
    """
    tensor = torch.from_numpy(mask) if isinstance(mask, np.ndarray) else mask
    if not isinstance(tensor, torch.Tensor) or tensor.dtype != torch.bool:
        kind = tensor.dtype if isinstance(tensor, torch.Tensor) else type(mask).__name__
        raise UnsupportedTypeError(f"{label} must be a tensor of bools, not {kind}")
    return tensor


def _like(array: Array, mask: torch.Tensor) -> torch.Tensor:
    return sharded_as(torch.from_numpy(array).to(mask.device), mask)
