"""Control masks of a model: other weights, as many of each parameter."""

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

Masks = Pruning[Any] | Mapping[str, torch.Tensor]


def shuffle(masks: Masks, seed: int = 0) -> dict[str, torch.Tensor]:
    """Masks that keep as many weights of each parameter as these, at random positions.

    This is `swiftforce.checks.shuffle` for tensors. A seed gives the same masks whatever the memory
    format, the device and the sharding. If masks are sharded, all ranks must call it.

    Parameters
    ----------
    masks : ModelPruning, or mapping of name to bool tensor
        True where a weight is kept.
    seed : int
        The seed of the random positions.

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

    This is `swiftforce.checks.invert` for tensors. If masks are sharded, all ranks must call it.

    Parameters
    ----------
    masks : ModelPruning, or mapping of name to bool tensor
        True where a weight is kept.
    scores : mapping of name to tensor, optional
        The scores of the weights, of the shapes of the masks: the weights of smallest score are
        kept.
    seed : int
        Without scores, the seed of a random choice from the removed weights. If fewer weights of a
        parameter are removed than kept, all of them are chosen, and others from those kept.

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


def _changed(
    masks: Masks, change: Callable[[dict[str, Array]], dict[str, Array]]
) -> dict[str, torch.Tensor]:
    """Changed masks of the same shapes, on the same devices."""
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
