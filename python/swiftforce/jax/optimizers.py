"""Optimizers of optax under which removed weights are zero and stay so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import tree_util

from swiftforce.errors import StructureError
from swiftforce.jax.pytrees import Leaves, Pytree, is_floating, on_device, unboxed_name
from swiftforce.jax.sparse import check_mask, masks_within, selected, unboxed
from swiftforce.result import masks_of

if TYPE_CHECKING:
    import optax


class KeepRemovedZeroState(NamedTuple):
    """The state of `keep_removed_zero`: the masks, so that they are arguments under `jax.jit`."""

    masks: Pytree


class WrappedState(NamedTuple):
    """The state of `wrap_optax`: that of the optimizer inside, and the masks."""

    inner_state: Any
    masks: Pytree


def keep_removed_zero(masks: Pytree) -> optax.GradientTransformation:
    """Keep removed weights exactly zero with any optimizer, by what it makes of their updates.

    Put it last in `optax.chain`. The update of a removed weight is minus the weight, so it is zero
    after the step, also if it came in dense, as from a checkpoint. Only NaN and infinity stay:
    `apply` removes them. Momentum, second moments and weight decay act on the kept weights as if
    there were no others.

    It works inside `optax.masked`, `optax.partition`, `optax.flatten` and other wrappers: a part
    that is ``optax.MaskedNode()``, None or missing is passed through, and so is a leaf that has no
    mask.

    Transformations before it still see dense gradients. Use `wrap_optax` if they combine weights,
    such as clipping by the global norm, or keep parameters of their own, such as
    `optax.contrib.schedule_free`.

    Parameters
    ----------
    masks : PytreePruning, or pytree of bool arrays
        True where a weight is kept.

    Returns
    -------
    optax.GradientTransformation
        Its ``update`` needs the parameters. Its state holds copies of the masks, so a compiled step
        may donate the state's buffers.

    Raises
    ------
    ImportError
        If optax is not installed.
    StructureError
        When it is used, if there are no parameters, or no leaf has a mask.
    ShapeError, UnsupportedTypeError
        When it is used, if a leaf has another shape than its mask, or a mask is not bool.

    Examples
    --------
    >>> import jax.numpy as jnp, optax, swiftforce.jax as sfj
    >>> params, masks = {"w": jnp.array([1.0, 5.0])}, {"w": jnp.array([True, False])}
    >>> optimizer = optax.chain(optax.adamw(0.1), sfj.keep_removed_zero(masks))
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update({"w": jnp.array([0.5, 0.5])}, state, params)
    >>> float(optax.apply_updates(params, updates)["w"][1])
    0.0
    """
    library = _optax("keep_removed_zero")

    def init(params: Pytree) -> KeepRemovedZeroState:
        return KeepRemovedZeroState(_own_masks(masks, params))

    def update(
        updates: Pytree, state: KeepRemovedZeroState, params: Pytree | None = None
    ) -> tuple[Pytree, KeepRemovedZeroState]:
        _check_params(params, "keep_removed_zero")
        return _zeroing(updates, state.masks, params), state

    made: optax.GradientTransformation = library.GradientTransformation(init, update)
    return made


def wrap_optax(
    optimizer: optax.GradientTransformation, masks: Pytree
) -> optax.GradientTransformationExtraArgs:
    """An optimizer that never sees removed weights: neither their gradients nor their values.

    The optimizer inside gets gradients and parameters that are zero where weights are removed, and
    the update of a removed weight is minus the weight, as in `keep_removed_zero`. So whatever the
    optimizer keeps of parameters (the averages of `optax.contrib.schedule_free`, the slow weights
    of `optax.lookahead`) is zero there as well, and a norm for clipping is that of kept weights.

    Parameters
    ----------
    optimizer : optax.GradientTransformation
        Any, also a chain.
    masks : PytreePruning, or pytree of bool arrays
        True where a weight is kept.

    Returns
    -------
    optax.GradientTransformationExtraArgs
        Its state has the optimizer's own state as ``inner_state``: evaluate with
        ``schedule_free_eval_params(state.inner_state, params)``.

    Raises
    ------
    ImportError
        If optax is not installed.
    StructureError
        When it is used, if there are no parameters, or no leaf has a mask.
    ShapeError, UnsupportedTypeError
        When it is used, if a leaf has another shape than its mask, or a mask is not bool.

    Examples
    --------
    >>> import jax.numpy as jnp, optax, swiftforce.jax as sfj
    >>> params, masks = {"w": jnp.array([1.0, 5.0])}, {"w": jnp.array([True, False])}
    >>> optimizer = sfj.wrap_optax(optax.contrib.schedule_free_adamw(0.1), masks)
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update({"w": jnp.array([0.5, 0.5])}, state, params)
    >>> params = optax.apply_updates(params, updates)
    >>> float(optax.contrib.schedule_free_eval_params(state.inner_state, params)["w"][1])
    0.0
    """
    library = _optax("wrap_optax")
    inner = library.with_extra_args_support(optimizer)

    def init(params: Pytree) -> WrappedState:
        own = _own_masks(masks, params)
        return WrappedState(inner.init(_without_removed(params, own)), own)

    def update(
        updates: Pytree,
        state: WrappedState,
        params: Pytree | None = None,
        **extra: Any,  # noqa: ANN401 - whatever the optimizer takes
    ) -> tuple[Pytree, WrappedState]:
        _check_params(params, "wrap_optax")
        found, inner_state = inner.update(
            _without_removed(updates, state.masks),
            state.inner_state,
            _without_removed(params, state.masks),
            **extra,
        )
        return _zeroing(found, state.masks, params), WrappedState(inner_state, state.masks)

    made: optax.GradientTransformationExtraArgs = library.GradientTransformationExtraArgs(
        init, update
    )
    return made


def _optax(needed_by: str) -> Any:  # noqa: ANN401 - the module
    try:
        import optax
    except ImportError:
        raise ImportError(f"{needed_by} needs optax: pip install 'swiftforce[jax]'") from None
    return optax


def _check_params(params: Pytree | None, needed_by: str) -> None:
    if params is None:
        raise StructureError(
            f"{needed_by} needs the parameters: call optimizer.update(updates, state, params)"
        )


def _is_lookahead(tree: Pytree) -> bool:
    """Whether a tree is the two copies of parameters that `optax.lookahead` works on."""
    return type(tree).__name__ == "LookaheadParams"


def _own_masks(masks: Pytree, params: Pytree) -> Pytree:
    """Copies of the masks of the leaves that an optimizer is initialised with."""
    if _is_lookahead(params):
        return type(params)(*(_own_masks(masks, part) for part in params))
    # optax.tree_map_params asks with a placeholder that has no leaves, and looks for it in states.
    if not tree_util.tree_leaves(params):
        return params
    _check_not_constants(masks_of(masks), params)
    return tree_util.tree_map(_copy, masks_within(masks_of(masks), params))


def _copy(mask: Any) -> jax.Array:  # noqa: ANN401 - of JAX or numpy, or True
    return jnp.copy(on_device(mask))


def _check_not_constants(masks: Pytree, params: Pytree) -> None:
    """Refuse masks of several processes in a compiled function, where they would be constants."""
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in tree_util.tree_leaves(params)):
        return
    arrays = [mask for mask in tree_util.tree_leaves(masks) if isinstance(mask, jax.Array)]
    known = [mask for mask in arrays if not isinstance(mask, jax.core.Tracer)]
    if not all(mask.is_fully_addressable for mask in known):
        raise StructureError(
            "masks lie on several processes: call the optimizer's init outside jax.jit"
        )


def _without_removed(tree: Pytree, masks: Pytree) -> Pytree:
    """Gradients or parameters that are zero where weights are removed."""
    if _is_lookahead(tree):
        return type(tree)(*map(_without_removed, tree, masks))
    leaves = Leaves(tree)
    by_name = _masks_by_name(masks, leaves)
    return leaves.restore(
        {name: selected(name, leaf, by_name) for name, leaf in leaves.by_name.items()}
    )


def _zeroing(updates: Pytree, masks: Pytree, params: Pytree) -> Pytree:
    """Updates after which removed weights are zero."""
    if _is_lookahead(updates):
        return type(updates)(*map(_zeroing, updates, masks, params))
    leaves, values = Leaves(updates), unboxed(params)
    by_name = _masks_by_name(masks, leaves)
    return leaves.restore(
        {
            name: _zeroed(name, leaf, by_name, values.get(unboxed_name(name)))
            for name, leaf in leaves.by_name.items()
        }
    )


def _masks_by_name(masks: Pytree, leaves: Leaves) -> dict[str, Any]:
    """The masks that a state has of leaves, without the numbers that stand for none."""
    found = unboxed(masks.fast if _is_lookahead(masks) else masks)
    numbers = {unboxed_name(name) for name, leaf in leaves.by_name.items() if not np.ndim(leaf)}
    return {name: mask for name, mask in found.items() if mask.ndim or name in numbers}


def _zeroed(name: str, update: Any, masks: dict[str, Any], value: Any) -> Any:  # noqa: ANN401
    """The update of a leaf, and minus the weight where it is removed."""
    mask = masks.get(unboxed_name(name))
    if mask is None or not check_mask(name, update, mask):
        return update
    if not is_floating(value) or value.shape != update.shape:
        raise StructureError(f"params have no leaf {name} of shape {update.shape}")
    # In a narrower type, minus the weight would be rounded, and not its inverse.
    kind = jnp.promote_types(update.dtype, value.dtype)
    return jax.lax.select(
        on_device(mask), on_device(update).astype(kind), -on_device(value).astype(kind)
    )
