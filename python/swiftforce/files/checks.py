"""Checks of values that were read from files.

Each returns the value, or raises ValueError with a message that names it. A reader adds the path
of its file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

#: The largest integer that the core takes, and the most dimensions of an array in numpy 2.
LARGEST, _MOST_DIMENSIONS = 2**63 - 1, 64


def whole(value: object, what: str, least: int = 0, most: int = LARGEST) -> int:
    """An integer in `least` ... `most`."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{what} is {shown(value)}, not an integer in {least} ... {most}")
    return value


def number(value: object, what: str) -> float:
    """A number; infinity and NaN are numbers, since sums of scores may overflow."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{what} is {shown(value)}, not a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{what} is {shown(value)}, which is too large") from None


def text(value: object, what: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ValueError(f"{what} is {shown(value)}, not a text")
    return value


def items(value: object, what: str, length: int | None = None) -> list[Any]:
    """A list, of a length if one is given."""
    if not isinstance(value, list) or length not in (None, len(value)):
        raise ValueError(f"{what} is {shown(value)}, not a list of {length or 'values'}")
    return value


def distinct(names: Sequence[str], what: str) -> None:
    """Names of which no two are the same."""
    if len(set(names)) < len(names):
        raise ValueError(f"two of the names of {what} are the same")


def shape(value: object, what: str) -> tuple[int, ...]:
    """The shape of an array that numpy can hold."""
    sides = tuple(whole(side, f"a side of {what}") for side in items(value, f"the shape of {what}"))
    # numpy multiplies the other sides even if one is zero.
    if len(sides) > _MOST_DIMENSIONS or math.prod(filter(None, sides)) > LARGEST:
        raise ValueError(f"{what} has the shape {shown(list(sides))}, which no array can have")
    return sides


def shown(value: object, most: int = 60) -> str:
    """A value for a message, cut off if it is long."""
    try:
        written = repr(value)
    except (RecursionError, ValueError):  # an integer of more digits than Python writes
        written = f"a value of type {type(value).__name__}"
    return written if len(written) <= most else f"{written[:most]}..."
