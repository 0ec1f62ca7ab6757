"""The axes of a search that differ from its method in a file: JSON, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swiftforce.errors import BoundsError
from swiftforce.files import checks
from swiftforce.inputs import Allocation, case_names


def saved_axes(saliency: str, rule: str, allocation: Allocation | None) -> dict[str, Any]:
    """What `axes_from` reads."""
    return {
        "saliency": saliency,
        "rule": rule,
        "allocation": None if allocation is None else allocation.to_json(),
    }


def axes_from(about: Mapping[str, Any]) -> dict[str, Any]:
    """The saliency, the rule and the allocation of a file; older files have none.

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
    entries = about.get("allocation")
    if entries is None:
        return {**found, "allocation": None}
    if not isinstance(entries, dict):
        raise ValueError(f"the allocation is {checks.shown(entries)}")
    try:
        return {**found, "allocation": Allocation(**entries)}
    except BoundsError as error:
        raise ValueError(f"the allocation: {error}") from None
