"""Mappings and sequences of arrays, and of others: taken apart, compared, put together again."""

from __future__ import annotations

from array import array as typed_array
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, repeat
from typing import Any, Literal, TypeGuard

import numpy as np

from swiftforce.errors import StructureError
from swiftforce.inputs.arrays import is_array

Kind = Literal["mapping", "list", "tuple"]
#: The keys and positions that lead to an array.
Path = tuple[Hashable, ...]

#: How deep structures may be. Python's own limit is a few times as much.
_DEEPEST = 100
#: Sequences of numbers or letters, not of arrays.
_FLAT = (str, bytes, bytearray, memoryview, range, typed_array)
_SEQUENCES = (list, tuple)
_NO_MAPPINGS = (*_SEQUENCES, np.ndarray)


@dataclass(frozen=True)
class Node:
    """A mapping, list or tuple, and what is in it.

    Attributes
    ----------
    kind : {"mapping", "list", "tuple"}
    keys : tuple
        The keys of a mapping; the positions in a sequence.
    children : tuple of Node or None, optional
        The structure at each key; None for an array. Where all are arrays, None in place of the
        tuple.
    """

    kind: Kind
    keys: Path
    children: tuple[Node | None, ...] | None = None

    @property
    def is_flat(self) -> bool:
        """Whether it holds nothing but arrays."""
        return self.children is None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The name of each array: the keys that lead to it, with slashes between."""
        if self.is_flat:
            return tuple(map(str, self.keys))
        return tuple(["/".join(map(str, path)) for path in self.paths()])

    @property
    def has_distinct_names(self) -> bool:
        """Whether no two names can be equal: keys are distinct, and are their own names."""
        if not self.is_flat or self.kind != "mapping":
            return self.is_flat
        # A mapping of its own kind may have a key twice.
        return set(map(type, self.keys)) <= {str} and len(set(self.keys)) == len(self.keys)

    def path(self, position: int) -> Path:
        """The path to the array at a position."""
        return (self.keys[position],) if self.is_flat else self._all_paths[position]

    @cached_property
    def _all_paths(self) -> tuple[Path, ...]:
        return tuple(self.paths())

    def paths(self, before: Path = ()) -> Iterator[Path]:
        """The path to each array."""
        for key, child in self._entries():
            if child is None:
                yield (*before, key)
            else:
                yield from child.paths((*before, key))

    def leaves(self, value: Any, role: str, like: str) -> list[Any]:  # noqa: ANN401 - of callers
        """The arrays of a value of this structure, in this order.

        Parameters
        ----------
        value : object
        role, like : str
            How messages name the value, and what has this structure.

        Raises
        ------
        StructureError
            If it has another structure.
        """
        items = self._items(value, role, like)
        if self.is_flat:
            return items
        found: list[Any] = []
        for (key, child), item in zip(self._entries(), items, strict=True):
            if child is None:
                found.append(item)
            else:
                found += child.leaves(item, f"{role}[{key!r}]", f"{like}[{key!r}]")
        return found

    def _items(self, value: Any, role: str, like: str) -> list[Any]:  # noqa: ANN401 - of callers
        if self.kind == "mapping":
            return self._mapped(value, role, like)
        if is_array(value) or not is_sequence(value):
            raise StructureError(
                f"{role} must be a sequence of arrays, as {like} is, not {type(value).__name__}"
            )
        if len(value) != len(self.keys):
            raise StructureError(
                f"{role} hold {len(value)} arrays where {like} hold {len(self.keys)}"
            )
        return list(value)

    def _mapped(self, value: Any, role: str, like: str) -> list[Any]:  # noqa: ANN401 - of callers
        if not is_mapping(value):
            raise StructureError(
                f"{role} must be a mapping of names to arrays, as {like} is, "
                f"not {type(value).__name__}"
            )
        missing = [key for key in self.keys if key not in value]
        if missing:
            raise StructureError(f"{role} lack {listed(missing)}, which {like} have")
        if len(value) != len(self.keys):
            known = set(self.keys)
            extra = [key for key in value if key not in known]
            raise StructureError(f"{role} have {listed(extra)}, which {like} lack")
        return [value[key] for key in self.keys]

    def restore(self, arrays: Iterator[Any]) -> Any:  # noqa: ANN401 - of any structure
        """The next of these arrays, put into this structure."""
        if self.children is None:
            values = list(islice(arrays, len(self.keys)))
            assert len(values) == len(self.keys)
        else:
            values = [next(arrays) if one is None else one.restore(arrays) for one in self.children]
        if self.kind == "mapping":
            return dict(zip(self.keys, values, strict=True))
        return tuple(values) if self.kind == "tuple" else values

    def described(self) -> Any:  # noqa: ANN401 - JSON
        """The structure as JSON: its kind if it is flat, else kind, names and children."""
        return self.kind if self.is_flat else self._described()

    def _described(self) -> list[Any]:
        children = [None if one is None else one._described() for _, one in self._entries()]
        return [self.kind, [str(key) for key in self.keys], children]

    def _entries(self) -> Iterator[tuple[Hashable, Node | None]]:
        """Each key with what is at it: None for an array."""
        return zip(self.keys, self.children or repeat(None, len(self.keys)), strict=True)


def node_of(value: Any, role: str, depth: int = 0) -> Node:  # noqa: ANN401 - of callers
    """The structure of a mapping or a sequence.

    Raises
    ------
    StructureError
        If it is nested deeper than any model is, as one that contains itself.
    """
    if depth == _DEEPEST:
        raise StructureError(f"{role} are nested more than {_DEEPEST} deep")
    if is_mapping(value):
        kind: Kind = "mapping"
        keys: Path = tuple(value)
        items = list(value.values())
    else:
        kind = "tuple" if isinstance(value, tuple) else "list"
        keys, items = tuple(range(len(value))), list(value)
    # The type that nearly all have, without a check of each.
    if set(map(type, items)) == {np.ndarray}:
        return Node(kind, keys)
    children = [node_of(item, role, depth + 1) if _is_structure(item) else None for item in items]
    return Node(kind, keys, tuple(children) if any(children) else None)


def node_from(described: Any, names: Sequence[str]) -> Node:  # noqa: ANN401 - JSON
    """The structure that `Node.described` gave; the names are those of the arrays.

    Raises
    ------
    ValueError
        If it is none, or holds another number of arrays.
    """
    if isinstance(described, str):
        keys: Path = tuple(names) if described == "mapping" else tuple(range(len(names)))
        return _checked(described, keys, None)
    node = _node_from(described, 0)
    if sum(1 for _ in node.paths()) != len(names):
        raise ValueError(f"the structure is not that of {len(names)} arrays")
    return node


def _node_from(described: Any, depth: int) -> Node:  # noqa: ANN401 - JSON
    if not isinstance(described, list) or len(described) != 3 or depth == _DEEPEST:
        raise ValueError("the structure is none")
    kind, names, children = described
    if not (isinstance(names, list) and isinstance(children, list)) or len(names) != len(children):
        raise ValueError("the structure has other names than children")
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError("the structure has names that are none, or that are equal")
    keys: Path = tuple(names) if kind == "mapping" else tuple(range(len(names)))
    below = [one if one is None else _node_from(one, depth + 1) for one in children]
    return _checked(kind, keys, tuple(below) if any(below) else None)


def _checked(
    kind: Any,  # noqa: ANN401
    keys: Path,
    children: tuple[Node | None, ...] | None,
) -> Node:
    if kind not in ("mapping", "list", "tuple"):
        raise ValueError("the structure is of an unknown kind")
    return Node(kind, keys, children)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether a value is a mapping."""
    # Types that nearly every caller passes: `isinstance` of an abstract class is slow.
    return type(value) is dict or (type(value) not in _NO_MAPPINGS and isinstance(value, Mapping))


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a sequence that may hold arrays."""
    return type(value) in _SEQUENCES or (
        isinstance(value, Sequence) and not isinstance(value, _FLAT)
    )


def _is_structure(value: object) -> bool:
    """Whether a value in a structure is one itself; a list of numbers is not."""
    if type(value) is np.ndarray or is_array(value):
        return False
    if is_mapping(value):
        return True
    return is_sequence(value) and not _is_of_numbers(value)


def _is_of_numbers(value: Sequence[Any], depth: int = _DEEPEST) -> bool:
    """Whether a sequence is an array written as lists: it holds numbers, or such sequences."""
    # A sequence that is deeper, or contains itself, is refused as a structure.
    if not value or depth == 0:
        return False
    return not any(
        is_array(one)
        or is_mapping(one)
        or (is_sequence(one) and not _is_of_numbers(one, depth - 1))
        for one in value
    )


def listed(keys: Sequence[Hashable], most: int = 3) -> str:
    """Keys for a message; some of them if there are many."""
    text = ", ".join(repr(key) for key in keys[:most])
    return f"{text} and {len(keys) - most} more" if len(keys) > most else text
