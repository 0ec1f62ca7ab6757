"""Pytrees as the search needs them: leaves by path, the prunable ones, masks on their devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import tree_util

from swiftforce.adapters import Candidate, Decision, NameRule, Patterns, Reason, choose
from swiftforce.errors import StructureError, UnsupportedTypeError
from swiftforce.inputs import Array

#: Any nesting of containers that JAX knows (dict, list, tuple, NamedTuple, a registered class).
Pytree = Any
#: Leaves by their paths.
NamedLeaves = Mapping[str, Any]
#: What boxes call their contents.
_VALUES = ("value", "raw_value")


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
        In the order of the leaves. The path of a leaf in a box, such as a variable of flax.nnx or
        ``nn.Partitioned``, is that of the box.
    """

    def __init__(self, tree: Pytree) -> None:
        leaves, self._structure = tree_util.tree_flatten_with_path(tree)
        boxes = _boxes([path for path, _ in leaves])
        self._kinds = _kinds(tree)
        self.by_name: dict[str, Any] = {}
        self._whole: dict[str, str] = {}
        for path, leaf in leaves:
            whole = path_name(path)
            name = path_name(path[:-1]) if whole in boxes else whole
            if name in self.by_name:
                raise StructureError(f"two leaves of params have the path {name!r}")
            self.by_name[name] = leaf
            self._whole[name] = whole

    def spellings(self, name: str) -> tuple[str, ...]:
        """Other ways to write the path of a leaf: with a box's ``value`` at its end, or without."""
        whole = self._whole[name]
        if whole != name:
            return (whole,)
        path, _, last = name.rpartition("/")
        return (path,) if path and last in _VALUES and path not in self.by_name else ()

    def name_of(self, spelling: str) -> str:
        """The name of a leaf whose path may end with the ``value`` of a box, as in older files."""
        path, _, last = spelling.rpartition("/")
        return path if last in _VALUES and self._whole.get(path) == spelling else spelling

    def kind(self, name: str) -> Reason | None:
        """What the layer of a leaf is, if its type says that its arrays are no weights."""
        parts = name.split("/")
        prefixes = ("/".join(parts[:length]) for length in range(1, len(parts)))
        return next((self._kinds[one] for one in prefixes if one in self._kinds), None)

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


def _boxes(paths: Sequence[Sequence[Any]]) -> set[str]:
    """The paths that end in the only attribute of a box: variables of nnx, ``nn.Partitioned``."""
    inside = Counter(path_name(path[:length]) for path in paths for length in range(len(path)))
    return {
        path_name(path)
        for path in paths
        if path
        and isinstance(path[-1], tree_util.GetAttrKey)
        and path[-1].name in _VALUES
        and inside[path_name(path[:-1])] == 1
    }


def _kinds(tree: Pytree) -> dict[str, Reason]:
    """What the layers of equinox in a tree are that are no weights, by their paths."""
    found = {}
    for path, node in tree_util.tree_flatten_with_path(tree, is_leaf=_is_known)[0]:
        if (kind := _kind(node)) is not None:
            found[path_name(path)] = kind
    return found


def _is_known(node: object) -> bool:
    return _kind(node) is not None


def _kind(node: object) -> Reason | None:
    """What a layer of equinox is, if its arrays are no weights; other libraries keep no types."""
    for base in type(node).__mro__:
        if base.__module__.startswith("equinox."):
            if base.__name__.endswith("Norm"):
                return Reason.NORM
            if base.__name__ == "Embedding":
                return Reason.TABLE
    return None


def decisions(
    leaves: Leaves,
    include: Patterns | None,
    exclude: Patterns,
    stacks: Mapping[str, Sequence[str]],
) -> list[Decision]:
    """For each array among the leaves, whether it is prunable; `swiftforce.jax.prune` says why.

    Parameters
    ----------
    stacks : mapping of str to sequence of str
        The names of the layers in each leaf that is a stack: they are decided on one by one.

    Raises
    ------
    UnknownNameError
        If a pattern of `exclude` matches no leaf, or one of `include` no floating-point leaf.
    UnsupportedTypeError
        If only complex leaves would be prunable, or a pattern of `include` matches only those.
    StructureError
        If no leaf is prunable.
    """
    candidates = [
        Candidate(
            name,
            tuple(np.shape(leaf)) if is_array(leaf) else (),
            _known(leaf) or leaves.kind(name),
            floating=is_floating(leaf),
            spellings=leaves.spellings(name),
        )
        for name, leaf in leaves.by_name.items()
    ]
    _check_not_complex(candidates, leaves, include)
    candidates = _by_layers(candidates, stacks)
    quantised = next((one.name for one in candidates if one.known is Reason.QUANTISED), None)
    nothing = "no leaf of params is prunable; of floating-point numbers there are"
    try:
        return choose(candidates, include, exclude, nothing=nothing)
    except StructureError:
        if quantised is None:
            raise
        raise UnsupportedTypeError(
            f"weights[{quantised!r}] has dtype {leaves.by_name[quantised].dtype}: pass weights of "
            "16, 32 or 64 bits"
        ) from None


def _by_layers(
    candidates: Sequence[Candidate], stacks: Mapping[str, Sequence[str]]
) -> list[Candidate]:
    """The candidates, with the layers of a stack in its place."""
    rule = NameRule({one.name: one.shape for one in candidates})
    found = []
    for one in candidates:
        shape = one.shape[1:]
        known = one.known or (rule.reason(one.name) if len(shape) > 1 else Reason.VECTOR)
        spellings = (one.name, *one.spellings)
        layers = [
            replace(one, name=name, shape=shape, known=known, spellings=spellings)
            for name in stacks.get(one.name, ())
        ]
        found += layers or [one]
    return found


def _known(leaf: Any) -> Reason | None:  # noqa: ANN401 - a leaf may be anything
    """What the dtype of a leaf says; None for one that may be prunable."""
    if is_floating(leaf):
        return Reason.QUANTISED if leaf.dtype.itemsize == 1 and leaf.ndim > 1 else None
    return Reason.COMPLEX if _is_complex(leaf) else Reason.NOT_FLOATING


def _check_not_complex(
    candidates: Sequence[Candidate], leaves: Leaves, include: Patterns | None
) -> None:
    """Refuse to look for weights among complex leaves alone."""
    rule = NameRule({one.name: one.shape for one in candidates})
    for pattern in [include] if include is None or isinstance(include, str) else include:
        matched = [
            one
            for one in candidates
            if (
                rule.reason(one.name) is Reason.NAME
                if pattern is None
                else any(fnmatchcase(name, pattern) for name in (one.name, *one.spellings))
            )
        ]
        complexes = [one.name for one in matched if one.known is Reason.COMPLEX]
        if complexes and not any(one.floating for one in matched):
            dtype = leaves.by_name[complexes[0]].dtype
            raise UnsupportedTypeError(
                f"{complexes[0]} has dtype {dtype}, and complex weights cannot be pruned: store "
                "the real and the imaginary part as two leaves, or exclude it"
            )


def is_array(leaf: object) -> bool:
    """Whether a leaf is an array of JAX or numpy."""
    return isinstance(leaf, (jax.Array, np.ndarray))


def is_shared(leaf: object) -> bool:
    """Whether a leaf is an array of which other processes hold shards."""
    return isinstance(leaf, jax.Array) and not leaf.is_fully_addressable


def is_floating(leaf: Any) -> bool:  # noqa: ANN401 - a leaf may be anything
    """Whether a leaf is an array of real floating-point numbers."""
    return is_array(leaf) and bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def _is_complex(leaf: Any) -> bool:  # noqa: ANN401 - a leaf may be anything
    return is_array(leaf) and bool(jnp.issubdtype(leaf.dtype, jnp.complexfloating))


def to_numpy(array: Any) -> Array:  # noqa: ANN401 - of JAX or numpy
    """An array as numpy reads it: in place if it is on the CPU, a copy if it is on a device."""
    if is_shared(array):
        if not array.is_fully_replicated:
            raise StructureError(
                f"an array of shape {array.shape} lies on several processes: read it on all of "
                "them by jax.experimental.multihost_utils.process_allgather(array, tiled=True)"
            )
        array = array.addressable_data(0)
    found: Array = np.asarray(jax.device_get(array), order="C")
    return found


def put_like(mask: Any, leaf: Any) -> jax.Array:  # noqa: ANN401 - a leaf may be anything
    """A mask on the devices of a leaf, in the same sharding; on the CPU without a copy."""
    if isinstance(mask, jax.Array):
        return mask
    # A leaf that is not committed to a device may follow a batch to another, and so may its mask.
    # The oldest supported versions of JAX do not say; there the mask gets the leaf's sharding.
    if not isinstance(leaf, jax.Array) or not getattr(leaf, "committed", True):
        return on_device(mask)
    if is_shared(leaf):
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
