"""Masks of a pytree that keep as many weights of each leaf, and others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swiftforce import checks
from swiftforce.jax.pytrees import Leaves, Named, Pytree, on_cpu, placed
from swiftforce.result import Pruning


def shuffle(masks: Pytree, seed: int = 0) -> Pytree:
    """Masks that keep as many weights of each leaf as these, at random places.

    As `swiftforce.checks.shuffle`. Leaves that keep everything, such as those that were not
    prunable, stay as they are.

    Parameters
    ----------
    masks : PytreePruning, or pytree of bool arrays
    seed : int

    Returns
    -------
    pytree of bool arrays
        In the same structure, where the masks are.

    Raises
    ------
    StructureError, SeedError, UnsupportedTypeError

    Examples
    --------
    >>> import jax.numpy as jnp, swiftforce.jax as sfj
    >>> masks = {"dense": {"kernel": jnp.array([[True, False], [False, False]])}}
    >>> int(sfj.shuffle(masks, seed=1)["dense"]["kernel"].sum())
    1
    """
    return _changed(masks, lambda arrays: checks.shuffle(arrays, seed))


def invert(masks: Pytree, *, scores: Pytree | None = None, seed: int = 0) -> Pytree:
    """Masks that keep as many weights of each leaf as these, but the rejected ones.

    As `swiftforce.checks.invert`. Leaves that keep everything stay as they are.

    Parameters
    ----------
    masks : PytreePruning, or pytree of bool arrays
    scores : pytree of arrays, optional
        In the same structure: what the weights were ranked by.
    seed : int
        Without scores, the weights are drawn at random.

    Returns
    -------
    pytree of bool arrays
        In the same structure, where the masks are.

    Raises
    ------
    NonFiniteError, StructureError, ShapeError, SeedError, UnsupportedTypeError
    """
    ranked = None
    if scores is not None:
        ranked = {name: on_cpu(leaf) for name, leaf in Leaves(scores).by_name.items()}
    return _changed(masks, lambda arrays: checks.invert(arrays, scores=ranked, seed=seed))


def _changed(masks: Pytree, change: Callable[[dict[str, Any]], Named]) -> Pytree:
    """Other masks of the same shapes, where these are."""
    leaves = Leaves(masks.masks if isinstance(masks, Pruning) else masks)
    changed = change({name: on_cpu(leaf) for name, leaf in leaves.by_name.items()})
    return leaves.restore(
        {name: placed(changed[name], leaf) for name, leaf in leaves.by_name.items()}
    )
