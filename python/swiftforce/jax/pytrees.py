"""Pytrees as the search needs them: leaves by path, the prunable ones, masks on their devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import tree_util

from swiftforce import adapters
from swiftforce.adapters import Patterns
from swiftforce.errors import StructureError, UnsupportedTypeError
from swiftforce.inputs import Array

#: Any nesting of containers that JAX knows (dict, list, tuple, NamedTuple, a registered class).
Pytree = Any
#: Leaves by their paths.
NamedLeaves = Mapping[str, Any]


class Leaves:
    """The leaves of a pytree by their paths, and the structure to put others into.

    Parameters
    ----------
    tree : pytree

    Raises
    ------
    StructureError
        If two leaves have the same path as text.

    Attributes
    ----------
    by_name : dict
        In the order of the leaves.
    """

    def __init__(self, tree: Pytree) -> None:
        leaves, self._structure = tree_util.tree_flatten_with_path(tree)
        self.by_name: dict[str, Any] = {}
        for path, leaf in leaves:
            name = path_name(path)
            if name in self.by_name:
                raise StructureError(f"two leaves of params have the path {name!r}")
            self.by_name[name] = leaf

    def restore(self, leaves: NamedLeaves) -> Pytree:
        """Other leaves with the same names, in the structure of the tree."""
        return tree_util.tree_unflatten(self._structure, [leaves[name] for name in self.by_name])


def path_name(path: Sequence[Any]) -> str:
    """A path as text, such as ``Dense_0/kernel``."""
    return "/".join(str(_key(entry)) for entry in path) or "params"


def unboxed_name(name: str) -> str:
    """A path without the "value" that boxes of a leaf add: flax's Partitioned, nnx's variables."""
    return name.removesuffix("/value")


def empty_nodes(tree: Pytree) -> dict[str, Any]:
    """What a tree has in place of leaves: None, and containers and markers that hold none."""
    nodes, _ = tree_util.tree_flatten_with_path(
        tree, is_leaf=lambda node: not tree_util.tree_leaves(node)
    )
    return {
        "/".join(str(_key(entry)) for entry in path): node
        for path, node in nodes
        if not tree_util.tree_leaves(node)
    }


def _key(entry: Any) -> Any:  # noqa: ANN401 - whatever a registered class calls its children
    for attribute in ("key", "idx", "name"):
        if hasattr(entry, attribute):
            return getattr(entry, attribute)
    return entry


def prunable(leaves: NamedLeaves, include: Patterns | None, exclude: Patterns) -> list[str]:
    """Names of the prunable leaves, in their order; `swiftforce.jax.prune` says which they are.

    Raises
    ------
    UnknownNameError
        If a pattern of `exclude` matches no leaf, or one of `include` no floating-point leaf.
    UnsupportedTypeError
        If only complex leaves would be prunable, or a pattern of `include` matches only those.
    StructureError
        If no leaf is prunable.
    """
    dimensions = {name: leaf.ndim if is_floating(leaf) else None for name, leaf in leaves.items()}
    _check_not_complex(leaves, include)
    return adapters.prunable(dimensions, include, exclude, nothing="no leaf of params is prunable")


def _check_not_complex(leaves: NamedLeaves, include: Patterns | None) -> None:
    """Refuse to look for weights among complex leaves alone."""
    floating = {name: leaf.ndim for name, leaf in leaves.items() if is_floating(leaf)}
    others = {name: leaf.ndim for name, leaf in leaves.items() if _is_complex(leaf)}
    for pattern in [include] if include is None or isinstance(include, str) else include:
        if _first(floating, pattern) is None and (name := _first(others, pattern)) is not None:
            raise UnsupportedTypeError(
                f"{name} has dtype {leaves[name].dtype}, and complex weights cannot be pruned: "
                "store the real and the imaginary part as two leaves, or exclude it"
            )


def _first(dimensions: Mapping[str, int], pattern: str | None) -> str | None:
    """The first leaf that a pattern matches; without a pattern, the first weight of a layer."""
    for name, number in dimensions.items():
        if adapters.is_weight(name, number) if pattern is None else fnmatchcase(name, pattern):
            return name
    return None


def is_array(leaf: object) -> bool:
    """Whether a leaf is an array of JAX or numpy."""
    return isinstance(leaf, (jax.Array, np.ndarray))


def is_floating(leaf: Any) -> bool:  # noqa: ANN401 - a leaf may be anything
    """Whether a leaf is an array of real floating-point numbers."""
    return is_array(leaf) and bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def _is_complex(leaf: Any) -> bool:  # noqa: ANN401 - a leaf may be anything
    return is_array(leaf) and bool(jnp.issubdtype(leaf.dtype, jnp.complexfloating))


def to_numpy(array: Any) -> Array:  # noqa: ANN401 - of JAX or numpy
    """An array as numpy reads it: in place if it is on the CPU, a copy if it is on a device."""
    found: Array = np.asarray(jax.device_get(array), order="C")
    return found


def put_like(mask: Array, leaf: Any) -> jax.Array:  # noqa: ANN401 - a leaf may be anything
    """A mask on the devices of a leaf, in the same sharding; on the CPU without a copy."""
    # A leaf that is not committed to a device may follow a batch to another, and so may its mask.
    # The oldest supported versions of JAX do not say; there the mask gets the leaf's sharding.
    if not isinstance(leaf, jax.Array) or not getattr(leaf, "committed", True):
        return on_device(mask)
    if not leaf.is_fully_addressable:
        return jax.make_array_from_callback(leaf.shape, leaf.sharding, lambda index: mask[index])
    put: jax.Array = jax.device_put(mask, leaf.sharding)
    return put


def on_device(array: Any) -> jax.Array:  # noqa: ANN401 - of JAX or numpy
    """An array of JAX as it is, one of numpy on the default device."""
    # JAX would do it when it computes, but not under jax.transfer_guard("disallow").
    return array if isinstance(array, jax.Array) else jax.device_put(array)


def masked(mask: Any, array: Any) -> jax.Array:  # noqa: ANN401 - of JAX or numpy
    """The array where the mask is True, and +0 elsewhere."""
    found: jax.Array = _masked(on_device(mask), on_device(array))
    return found


@jax.jit
def _masked(mask: jax.Array, array: jax.Array) -> jax.Array:
    return jax.lax.select(mask, array, jnp.zeros_like(array))
