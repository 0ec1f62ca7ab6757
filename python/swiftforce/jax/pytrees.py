"""Pytrees of JAX as the search needs them: leaves by path, which are prunable, masks in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import tree_util

from swiftforce import adapters
from swiftforce.adapters import Patterns
from swiftforce.errors import StructureError
from swiftforce.inputs import Array

#: Any nesting of containers that JAX knows (dict, list, tuple, NamedTuple, a registered class).
Pytree = Any
#: Arrays by the paths of their leaves.
Named = Mapping[str, Any]


class Leaves:
    """The leaves of a pytree by their paths, and the way back.

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

    def restore(self, leaves: Named) -> Pytree:
        """Other leaves, by the same names, in the structure that came in."""
        return tree_util.tree_unflatten(self._structure, [leaves[name] for name in self.by_name])


def path_name(path: Sequence[Any]) -> str:
    """A path as text, such as ``Dense_0/kernel``."""
    return "/".join(str(_key(entry)) for entry in path) or "params"


def _key(entry: Any) -> Any:  # noqa: ANN401 - whatever a registered class calls its children
    for attribute in ("key", "idx", "name"):
        if hasattr(entry, attribute):
            return getattr(entry, attribute)
    return entry


def prunable(leaves: Named, include: Patterns | None, exclude: Patterns) -> list[str]:
    """Names of the prunable leaves, in their order; `swiftforce.jax.prune` says which.

    Raises
    ------
    UnknownNameError
        If a pattern matches no leaf; one to include, no leaf of floating-point numbers.
    StructureError
        If no leaf is prunable.
    """
    dimensions = {name: leaf.ndim if is_floating(leaf) else None for name, leaf in leaves.items()}
    return adapters.prunable(dimensions, include, exclude, nothing="no leaf of params is prunable")


def is_array(leaf: object) -> bool:
    """Whether a leaf is an array of JAX or numpy."""
    return isinstance(leaf, (jax.Array, np.ndarray))


def is_floating(leaf: Any) -> bool:  # noqa: ANN401 - a leaf may be anything
    """Whether a leaf is an array of floating-point numbers."""
    return is_array(leaf) and bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def on_cpu(array: Any) -> Array:  # noqa: ANN401 - of JAX or numpy
    """An array of the CPU as numpy sees it, without a copy; any other, copied."""
    found: Array = np.asarray(array, order="C")
    return found


def placed(mask: Array, leaf: Any) -> jax.Array:  # noqa: ANN401 - a leaf may be anything
    """A mask on the devices of its leaf, in the same sharding."""
    # A leaf that is not committed to a device may follow a batch to another: so may the mask.
    # The oldest versions of JAX cannot tell, and are told where to compute.
    if isinstance(leaf, jax.Array) and getattr(leaf, "committed", True):
        there: jax.Array = jax.device_put(mask, leaf.sharding)
        return there
    return jnp.asarray(mask)


def chosen(mask: Any, array: Any) -> jax.Array:  # noqa: ANN401 - of JAX or numpy
    """The array where the mask is True, +0 elsewhere."""
    return jax.lax.select(jnp.asarray(mask), jnp.asarray(array), jnp.zeros_like(array))
