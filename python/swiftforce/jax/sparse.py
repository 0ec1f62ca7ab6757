"""Sparse parameters: removed weights are set to zero, wherever masks and parameters correspond."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import tree_util

from swiftforce.errors import ShapeError, StructureError, UnsupportedTypeError
from swiftforce.jax.pytrees import (
    Leaves,
    NamedLeaves,
    Pytree,
    empty_nodes,
    is_array,
    is_floating,
    masked,
    unboxed_name,
)
from swiftforce.result import masks_of


def apply(params: Pytree, masks: Pytree) -> Pytree:
    """Set the removed weights of parameters to exactly zero.

    Removed weights become +0 whatever they were: weights are selected, not multiplied by the mask,
    so NaN does not stay NaN and negative weights do not become -0. Works under `jax.jit`. Masks and
    parameters belong together by their paths, so a dict may have become a FrozenDict, and boxes
    such as ``flax.linen.Partitioned`` may have come or gone.

    Parameters
    ----------
    params : pytree of arrays
        The dense parameters. Leaves that are not real floating-point arrays are returned unchanged.
        A part may be None, or another node without leaves, and stays so.
    masks : PytreePruning, or pytree of bool arrays
        True where a weight is kept.

    Returns
    -------
    pytree of arrays
        In the structure of the parameters.

    Raises
    ------
    ShapeError, UnsupportedTypeError
        If a mask has another shape than its leaf, or is not an array of bool.
    StructureError
        If a leaf has no mask, or a mask no leaf.

    Examples
    --------
    >>> import jax.numpy as jnp, swiftforce.jax as sfj
    >>> sfj.apply([jnp.array([jnp.nan, -2.0])], [jnp.array([False, True])])
    [Array([ 0., -2.], dtype=float32)]
    """
    leaves, by_name = _matched(params, masks)
    return leaves.restore(
        {name: selected(name, leaf, by_name) for name, leaf in leaves.by_name.items()}
    )


def to_bcoo(params: Pytree, masks: Pytree) -> Pytree:
    """The kept weights of parameters as sparse arrays of ``jax.experimental.sparse``.

    Parameters
    ----------
    params : pytree of arrays
        The parameters, dense or with zeros. What masks remove is left out, whatever it is.
    masks : PytreePruning, or pytree of bool arrays
        True where a weight is kept.

    Returns
    -------
    pytree of arrays
        In the structure of the parameters. A leaf from which its mask removes weights is a
        ``BCOO`` of the same shape and type, with the kept weights in their order and an index of
        int32 for each axis; zeros among them are stored. Other leaves are returned unchanged.

    Raises
    ------
    ShapeError, UnsupportedTypeError
        If a mask has another shape than its leaf, or is not an array of bool.
    StructureError
        If a leaf has no mask, or a mask no leaf.

    Notes
    -----
    Positions of kept weights depend on the values of masks, so this cannot be called under
    `jax.jit`. What it returns can be passed to functions that are.

    Examples
    --------
    >>> import jax.numpy as jnp, swiftforce.jax as sfj
    >>> sparse = sfj.to_bcoo([jnp.arange(4.0).reshape(2, 2)], [jnp.eye(2) > 0])[0]
    >>> sparse.data, sparse.indices.tolist()
    (Array([0., 3.], dtype=float32), [[0, 0], [1, 1]])
    >>> sparse @ jnp.array([1.0, 2.0])
    Array([0., 6.], dtype=float32)
    """
    leaves, by_name = _matched(params, masks)
    return leaves.restore(
        {name: _as_bcoo(name, leaf, by_name) for name, leaf in leaves.by_name.items()}
    )


def _as_bcoo(name: str, leaf: Any, masks: NamedLeaves) -> Any:  # noqa: ANN401 - as in a pytree
    from jax.experimental.sparse import BCOO  # which takes a while to import

    mask = masks.get(unboxed_name(name))
    if mask is None or not check_mask(name, leaf, mask) or np.all(mask):
        return leaf
    places = np.nonzero(np.asarray(mask))
    indices = jnp.asarray(np.stack(places, axis=1).astype(np.int32))
    return BCOO(
        (jnp.asarray(leaf)[places], indices),
        shape=np.shape(leaf),
        indices_sorted=True,
        unique_indices=True,
    )


def _matched(params: Pytree, masks: Pytree) -> tuple[Leaves, NamedLeaves]:
    """The leaves of parameters, and masks by their paths.

    Raises
    ------
    StructureError
        If a leaf has no mask, or a mask no leaf.
    """
    leaves, by_name = Leaves(params), unboxed(masks_of(masks))
    names = {unboxed_name(name) for name in leaves.by_name}
    lacking = [name for name, leaf in leaves.by_name.items() if is_floating(leaf)]
    lacking = [name for name in lacking if unboxed_name(name) not in by_name]
    nodes = empty_nodes(params)
    left = [name for name in by_name if name not in names and not _lies_in(name, nodes)]
    if lacking or left:
        which = f"{lacking[0]} has no mask" if lacking else f"there is a mask of {left[0]}"
        raise StructureError(
            f"masks and params have different structures ({which}): pass masks that were found "
            "for these parameters"
        )
    return leaves, by_name


def unboxed(tree: Pytree) -> dict[str, Any]:
    """The leaves of a tree by their paths, without the names that boxes add."""
    return {unboxed_name(name): leaf for name, leaf in Leaves(tree).by_name.items()}


def selected(name: str, leaf: Any, masks: NamedLeaves) -> Any:  # noqa: ANN401 - as in a pytree
    """A leaf with its removed weights set to zero; unchanged without a mask for its path."""
    mask = masks.get(unboxed_name(name))
    return masked(mask, leaf) if mask is not None and check_mask(name, leaf, mask) else leaf


def check_mask(name: str, leaf: Any, mask: Any) -> bool:  # noqa: ANN401 - as in a pytree
    """Whether a leaf can have removed weights, after a check that the mask fits.

    Raises
    ------
    ShapeError, UnsupportedTypeError
    """
    if not is_floating(leaf):
        return False
    if np.shape(mask) != np.shape(leaf):
        raise ShapeError(f"{name} has shape {np.shape(leaf)} and its mask has {np.shape(mask)}")
    kind = jnp.result_type(mask) if is_array(mask) else type(mask).__name__
    if kind != np.bool_:
        raise UnsupportedTypeError(f"the mask of {name} has dtype {kind}, not bool")
    return True


def masks_within(masks: Pytree, tree: Pytree) -> Pytree:
    """The masks of the leaves that a tree has, in its structure.

    An optimizer may hand a transformation a part of the parameters, or all of them in one array.
    A leaf without a mask gets the number True.

    Raises
    ------
    StructureError
        If none of the tree's floating-point leaves has a mask.
    ShapeError, UnsupportedTypeError
    """
    by_name = unboxed(masks)
    leaves = Leaves(tree)
    floating = [name for name, leaf in leaves.by_name.items() if is_floating(leaf)]
    found: dict[str, Any] = {name: by_name.get(unboxed_name(name)) for name in leaves.by_name}
    if floating and all(found[name] is None for name in floating):
        (leaf, *more) = leaves.by_name.values()
        if more or np.ndim(leaf) != 1 or np.size(leaf) != sum(map(np.size, by_name.values())):
            raise StructureError(
                f"no mask is of {floating[0]}: pass masks that were found for these parameters"
            )
        # optax.flatten puts all leaves into one array, in their order.
        flat = [jnp.reshape(mask, -1) for mask in tree_util.tree_leaves(masks)]
        found = {floating[0]: jnp.concatenate(flat)}
    for name in floating:
        if found[name] is not None:
            check_mask(name, leaves.by_name[name], found[name])
    return leaves.restore({name: True if one is None else one for name, one in found.items()})


def _lies_in(name: str, nodes: Mapping[str, Any]) -> bool:
    """Whether a path is that of a node, or leads through it."""
    return any(name == node or name.startswith(f"{node}/") or not node for node in nodes)
