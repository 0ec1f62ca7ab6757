"""The axes of a search that differ from its method in a file: JSON, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swiftforce.errors import BoundsError
from swiftforce.files import checks
from swiftforce.inputs import Allocation, Pattern, case_names


def saved_axes(
    saliency: str, rule: str, allocation: Allocation | None, pattern: Pattern | None
) -> dict[str, Any]:
    """What `axes_from` reads."""
    return {
        "saliency": saliency,
        "rule": rule,
        "allocation": None if allocation is None else allocation.to_json(),
        "pattern": None if pattern is None else pattern.to_json(),
    }


def axes_from(about: Mapping[str, Any]) -> dict[str, Any]:
    """The saliency, the rule, the allocation and the pattern of a file; older files have none.

    Raises
    ------
    LookupError, TypeError, ValueError
        If a name is unknown, or a value is of a wrong type or out of range.
    """
    found: dict[str, Any] = {}
    for axis in ("saliency", "rule"):
        name = checks.text(about.get(axis, ""), f"the {axis}")
        if name and name not in case_names(axis):
            raise ValueError(f"there is no {axis} {name!r}")
        found[axis] = name
    kinds: tuple[tuple[str, Any], ...] = (("allocation", Allocation), ("pattern", Pattern))
    for axis, kind in kinds:
        entries = about.get(axis)
        if entries is not None and not isinstance(entries, dict):
            raise ValueError(f"the {axis} is {checks.shown(entries)}")
        try:
            found[axis] = None if entries is None else kind(**entries)
        except BoundsError as error:
            raise ValueError(f"the {axis}: {error}") from None
    return found
