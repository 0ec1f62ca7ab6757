"""Sparse parameters: removed weights are set to zero, and an optimizer keeps them there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import tree_util

from swiftforce.errors import ShapeError, StructureError, UnsupportedTypeError
from swiftforce.jax.pytrees import Pytree, is_floating, masked, path_name
from swiftforce.result import masks_of

if TYPE_CHECKING:
    import optax


def apply(params: Pytree, masks: Pytree) -> Pytree:
    """Set the removed weights of parameters to exactly zero.

    Removed weights become +0 whatever they were: weights are selected, not multiplied by the mask,
    so NaN does not stay NaN and negative weights do not become -0. Works under `jax.jit`. The masks
    must have the structure and the shapes of the parameters.

    Parameters
    ----------
    params : pytree of arrays
        The dense parameters. Leaves that are not real floating-point arrays are returned unchanged.
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
        If the structures differ.

    Examples
    --------
    >>> import jax.numpy as jnp, swiftforce.jax as sfj
    >>> sfj.apply([jnp.array([jnp.nan, -2.0])], [jnp.array([False, True])])
    [Array([ 0., -2.], dtype=float32)]
    """
    masks = masks_of(masks)
    structures = {tree_util.tree_structure(tree) for tree in (params, masks)}
    if len(structures) > 1:
        raise StructureError(
            "masks and params have different structures: pass masks that were found for these "
            "parameters"
        )
    return tree_util.tree_map_with_path(_applied, params, masks)


class KeepRemovedZeroState(NamedTuple):
    """The state of `keep_removed_zero`: the masks, so that they are arguments under `jax.jit`."""

    masks: Pytree


def keep_removed_zero(masks: Pytree) -> optax.GradientTransformation:
    """Keep removed weights exactly zero with any optimizer, by setting their updates to zero.

    Put it last in `optax.chain`, and start training from ``apply(params, masks)``. Momentum, second
    moments and weight decay then act on the kept weights as if there were no others. A
    transformation that combines weights, such as clipping by the global norm, still sees the dense
    gradients; put another ``keep_removed_zero(masks)`` before it if it must not.

    Parameters
    ----------
    masks : PytreePruning, or pytree of bool arrays
        True where a weight is kept.

    Returns
    -------
    optax.GradientTransformation
        Its state holds copies of the masks, so a compiled step may donate the state's buffers.

    Raises
    ------
    ImportError
        If optax is not installed.
    ShapeError
        When it is used, if an update has another shape than its mask.

    Examples
    --------
    >>> import jax.numpy as jnp, optax, swiftforce.jax as sfj
    >>> params, masks = {"w": jnp.array([1.0, 0.0])}, {"w": jnp.array([True, False])}
    >>> optimizer = optax.chain(optax.adamw(0.1), sfj.keep_removed_zero(masks))
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update({"w": jnp.array([0.5, 0.5])}, state, params)
    >>> float(optax.apply_updates(params, updates)["w"][1])
    0.0
    """
    try:
        import optax
    except ImportError:
        raise ImportError("keep_removed_zero needs optax: pip install 'swiftforce[jax]'") from None

    def init(params: Pytree) -> KeepRemovedZeroState:
        del params
        return KeepRemovedZeroState(tree_util.tree_map(jnp.copy, masks_of(masks)))

    def update(
        updates: Pytree, state: KeepRemovedZeroState, params: Pytree | None = None
    ) -> tuple[Pytree, KeepRemovedZeroState]:
        del params
        return apply(updates, state.masks), state

    return optax.GradientTransformation(init, update)


def _applied(path: Sequence[Any], leaf: Any, mask: Any) -> Any:  # noqa: ANN401 - as in a pytree
    if not is_floating(leaf):
        return leaf
    if np.shape(mask) != np.shape(leaf):
        raise ShapeError(
            f"{path_name(path)} has shape {np.shape(leaf)} and its mask has {np.shape(mask)}"
        )
    kind = jnp.result_type(mask)
    if kind != np.bool_:
        raise UnsupportedTypeError(f"the mask of {path_name(path)} has dtype {kind}, not bool")
    return masked(mask, leaf)
