"""Dictionaries, lists, sets and deques, also of subclasses: what they hold, and putting it back.

The methods of the built-in types are called, not those of subclasses: these may have constructors
of their own, refuse changes, or do more than storing what they are given.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

#: The built-in types, from the most special one.
KINDS: tuple[type, ...] = (OrderedDict, dict, list, set, deque)


def is_container(value: object) -> bool:
    """Whether a value is one of these; a proxy of one is not."""
    return issubclass(type(value), KINDS)


def contents(container: Any) -> list[Any]:  # noqa: ANN401
    """What a container holds, in order: pairs of a key and a value for dictionaries."""
    kind = _kind(container)
    if issubclass(kind, dict):
        return list(kind.items(container))
    return list(kind.__iter__(container))


def put(container: Any, held: list[Any]) -> None:  # noqa: ANN401
    """Make a container hold this, in this order; see `contents`."""
    kind = _kind(container)
    kind.clear(container)
    if issubclass(kind, dict):
        for key, value in held:
            kind.__setitem__(container, key, value)
    elif issubclass(kind, set):
        kind.update(container, held)
    else:
        kind.extend(container, held)


def is_unchanged(container: Any, held: list[Any]) -> bool:  # noqa: ANN401
    """Whether a container still holds the very objects of `held`, in their order."""
    now, before = contents(container), held
    if isinstance(container, dict):
        return [(id(key), id(value)) for key, value in now] == [(id(k), id(v)) for k, v in before]
    now, before = [id(one) for one in now], [id(one) for one in before]
    return set(now) == set(before) if isinstance(container, set) else now == before


def _kind(container: Any) -> Any:  # noqa: ANN401
    return next(kind for kind in KINDS if isinstance(container, kind))
