"""Shuffled and inverted masks of a pytree, with as many weights of each leaf; and overlaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swiftforce import checks
from swiftforce.adapters import Patterns, as_patterns
from swiftforce.jax.pruning import PytreePruning
from swiftforce.jax.pytrees import Leaves, NamedLeaves, Pytree, put_like, to_numpy
from swiftforce.jax.stacks import Stacks
from swiftforce.result import masks_of


def shuffle(masks: Pytree, seed: int = 0, *, stacked: Patterns | None = None) -> Pytree:
    """Shuffle the masks of each leaf: as many weights are kept, at random positions.

    Works as `swiftforce.checks.shuffle`. A leaf that keeps all its weights, such as one that is
    not prunable, keeps its mask. A result knows which leaves are stacks of layers.

    Parameters
    ----------
    masks : PytreePruning, or pytree of bool arrays
        True where a weight is kept.
    seed : int
        In 0 ... 2**64 - 1. The same seed gives the same masks on every machine.
    stacked : str or sequence of str, optional
        Patterns of leaves whose first axis counts layers, as `nn.scan` makes them. Each layer is
        listed, warned of, shuffled and chosen by patterns as a leaf of its own: the one at position
        3 of ``blocks/kernel`` is ``blocks/kernel[3]``.

    Returns
    -------
    pytree of bool arrays
        In the same structure and on the same devices.

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
    return _changed(masks, stacked, lambda arrays, _: checks.shuffle(arrays, seed))


def invert(
    masks: Pytree,
    *,
    scores: Pytree | None = None,
    seed: int = 0,
    stacked: Patterns | None = None,
) -> Pytree:
    """Invert the masks of each leaf: as many weights are kept, those that were removed first.

    Works as `swiftforce.checks.invert`. A leaf that keeps all its weights keeps its mask.

    Parameters
    ----------
    masks : PytreePruning, or pytree of bool arrays
        True where a weight is kept.
    scores : pytree of arrays, optional
        The scores that ranked the weights, in the structure of the masks. Without scores, the
        weights to keep are drawn at random.
    seed : int
        In 0 ... 2**64 - 1. The same seed gives the same masks on every machine.
    stacked : str or sequence of str, optional
        Patterns of leaves whose first axis counts layers, as `nn.scan` makes them. Each layer is
        listed, warned of, shuffled and chosen by patterns as a leaf of its own: the one at position
        3 of ``blocks/kernel`` is ``blocks/kernel[3]``.

    Returns
    -------
    pytree of bool arrays
        In the same structure and on the same devices.

    Raises
    ------
    NonFiniteError, StructureError, ShapeError, SeedError, UnsupportedTypeError

    Examples
    --------
    >>> import jax.numpy as jnp, swiftforce.jax as sfj
    >>> masks = {"dense": {"kernel": jnp.array([[True, False], [True, False]])}}
    >>> sfj.invert(masks)["dense"]["kernel"]
    Array([[False,  True],
           [False,  True]], dtype=bool)
    """

    def inverted(arrays: dict[str, Any], stacks: Stacks) -> NamedLeaves:
        ranked = None
        if scores is not None:
            leaves = Leaves(scores).by_name
            ranked = stacks.split({name: to_numpy(leaf) for name, leaf in leaves.items()})
        found: NamedLeaves = checks.invert(arrays, scores=ranked, seed=seed)
        return found

    return _changed(masks, stacked, inverted)


def overlap(a: Pytree, b: Pytree, *, stacked: Patterns | None = None) -> checks.Overlap:
    """Count the weights that two pytrees of masks both keep.

    Works as `swiftforce.checks.overlap`. If one of the two is a result, leaves that were not
    searched do not count.

    Parameters
    ----------
    a, b : PytreePruning, or pytree of bool arrays
        True where a weight is kept. Both have leaves of the same paths and shapes.
    stacked : str or sequence of str, optional
        Patterns of leaves whose first axis counts layers, as `nn.scan` makes them. Each layer is
        listed, warned of, shuffled and chosen by patterns as a leaf of its own: the one at position
        3 of ``blocks/kernel`` is ``blocks/kernel[3]``.

    Returns
    -------
    swiftforce.checks.Overlap

    Raises
    ------
    StructureError, ShapeError, UnsupportedTypeError

    Examples
    --------
    >>> import jax.numpy as jnp, swiftforce.jax as sfj
    >>> masks = {"dense": {"kernel": jnp.array([[True, False], [True, False]])}}
    >>> sfj.overlap(masks, sfj.invert(masks))
    <Overlap: 0 of 2 and 2 weights kept>
    """
    results = [masks for masks in (a, b) if isinstance(masks, PytreePruning)]
    searched = {layer.name for result in results for layer in result.layers}

    def named(masks: Pytree) -> dict[str, Any]:
        leaves = Leaves(masks_of(masks))
        if stacked is None:
            stacks = Stacks.named(searched, leaves.by_name)
        else:
            stacks = Stacks.matching(leaves, as_patterns(stacked))
        arrays = stacks.split({name: to_numpy(leaf) for name, leaf in leaves.by_name.items()})
        return {name: arrays[name] for name in arrays if name in searched or not results}

    return checks.overlap(named(a), named(b))


def _changed(
    masks: Pytree,
    stacked: Patterns | None,
    change: Callable[[dict[str, Any], Stacks], NamedLeaves],
) -> Pytree:
    """What a function makes of the masks, in their structure and on their devices."""
    leaves = Leaves(masks_of(masks))
    if stacked is None and isinstance(masks, PytreePruning):
        stacks = Stacks.named([layer.name for layer in masks.layers], leaves.by_name)
    else:
        stacks = Stacks.matching(leaves, as_patterns(stacked))
    arrays = {name: to_numpy(leaf) for name, leaf in leaves.by_name.items()}
    changed = stacks.join(change(stacks.split(arrays), stacks), leaves.by_name)
    return leaves.restore(
        {name: put_like(changed[name], leaf) for name, leaf in leaves.by_name.items()}
    )
