"""The names of methods, saliencies, schedules and layers, read from the core: no second list."""

from __future__ import annotations

from functools import cache
from typing import TypedDict

from swiftforce import _core
from swiftforce.errors import UnknownNameError


class MethodInfo(TypedDict):
    """What a search must know of a method, from the core's table."""

    saliency: str
    one_shot: bool
    needs_gradients: bool
    free: bool


@cache
def names(axis: str) -> tuple[str, ...]:
    """Names of the cases of one axis, in the core's order."""
    return _core.names(_core.AXES.index(axis.upper()))


def number(axis: str, name: str) -> int:
    """The core's number for a name.

    Raises
    ------
    UnknownNameError
        If the axis has no such name; the message lists those it has.
    """
    known = names(axis)
    if name not in known:
        raise UnknownNameError(f"there is no {axis} {name!r}; there are: {', '.join(known)}")
    return known.index(name)


def method_info(name: str) -> MethodInfo:
    """The row of a method: what it scores by, what it needs, whether removed weights may return."""
    return _method_table()[number("method", name)]


@cache
def _method_table() -> tuple[MethodInfo, ...]:
    rows = [_core.method(position) for position in range(len(names("method")))]
    return tuple(
        MethodInfo(
            saliency=names("saliency")[row["saliency"]],
            one_shot=row["one_shot"],
            needs_gradients=row["needs_gradients"],
            free=names("rule")[row["rule"]] == "free",
        )
        for row in rows
    )


def methods() -> tuple[str, ...]:
    """Names of all methods, for the ``method`` argument.

    Examples
    --------
    >>> import swiftforce as sf
    >>> sf.methods()
    ('snip', 'iterative_snip', 'force', 'grasp_it', 'magnitude', 'random')
    """
    return names("method")


def saliencies() -> tuple[str, ...]:
    """Names of all saliencies, for the ``criterion`` argument of `saliency`.

    Examples
    --------
    >>> import swiftforce as sf
    >>> sf.saliencies()
    ('connection_sensitivity', 'squared_gradient', 'magnitude', 'random')
    """
    return names("saliency")


def schedules() -> tuple[str, ...]:
    """Names of all schedules, for the ``schedule`` argument.

    Examples
    --------
    >>> import swiftforce as sf
    >>> sf.schedules()
    ('exponential', 'linear', 'cubic', 'cosine')
    """
    return names("schedule")
