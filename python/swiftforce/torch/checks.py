"""Masks of a model that keep as many weights of each parameter, and others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from swiftforce import checks
from swiftforce.errors import StructureError, UnsupportedTypeError
from swiftforce.inputs import Array
from swiftforce.result import Pruning
from swiftforce.torch.memory import array_of
from swiftforce.torch.sharded import gathered, sharded_as

Masks = Pruning | Mapping[str, torch.Tensor]


def shuffle(masks: Masks, seed: int = 0) -> dict[str, torch.Tensor]:
    """Masks that keep as many weights of each parameter as these, at random places.

    As `swiftforce.checks.shuffle`, with the same result for the same seed whatever the memory
    format, the device or the sharding; of sharded masks, all ranks call this.

    Parameters
    ----------
    masks : ModelPruning, or mapping of name to bool tensor
    seed : int

    Returns
    -------
    dict of name to bool tensor
        On the devices of the masks, for `apply`.

    Raises
    ------
    StructureError, SeedError, UnsupportedTypeError

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> model = torch.nn.Linear(4, 2)
    >>> pruning = sft.prune(model, method="magnitude", sparsity=0.5)
    >>> sft.apply(model, sft.shuffle(pruning, seed=1))
    >>> int((model.weight != 0).sum())
    4
    """
    return _changed(masks, lambda arrays: checks.shuffle(arrays, seed))


def invert(
    masks: Masks, *, scores: Mapping[str, torch.Tensor] | None = None, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Masks that keep as many weights of each parameter as these, but the rejected ones.

    As `swiftforce.checks.invert`; of sharded masks, all ranks call this.

    Parameters
    ----------
    masks : ModelPruning, or mapping of name to bool tensor
    scores : mapping of name to tensor, optional
        What the weights were ranked by.
    seed : int
        Without scores, the weights are drawn at random.

    Returns
    -------
    dict of name to bool tensor
        On the devices of the masks, for `apply`.

    Raises
    ------
    NonFiniteError, StructureError, ShapeError, SeedError, UnsupportedTypeError
    """
    ranked = None
    if scores is not None:
        ranked = {
            name: array_of(gathered(score).detach().cpu().contiguous(), name)
            for name, score in scores.items()
        }
    return _changed(masks, lambda arrays: checks.invert(arrays, scores=ranked, seed=seed))


def _changed(
    masks: Masks, change: Callable[[dict[str, Array]], dict[str, Array]]
) -> dict[str, torch.Tensor]:
    """Other masks of the same shapes, where these are."""
    named = masks.masks if isinstance(masks, Pruning) else masks
    if not isinstance(named, Mapping):
        raise StructureError(
            f"masks must be a mapping of names to tensors, not {type(named).__name__}"
        )
    changed = change({name: _array(name, mask) for name, mask in named.items()})
    return {name: _like(changed[name], mask) for name, mask in named.items()}


def _array(name: str, mask: Any) -> Array:  # noqa: ANN401 - refused if it is no tensor
    if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise UnsupportedTypeError(f"masks[{name!r}] must be a tensor of bools, not {kind}")
    array: Array = gathered(mask).cpu().contiguous().numpy()
    return array


def _like(array: Array, mask: torch.Tensor) -> torch.Tensor:
    return sharded_as(torch.from_numpy(array).to(mask.device), mask)
