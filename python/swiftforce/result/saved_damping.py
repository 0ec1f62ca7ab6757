"""The damping of a search in a file: JSON, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swiftforce.files import checks
from swiftforce.result.records import UNDAMPED, Damping

#: The first format version, of results and of searches, whose files say how a search was damped.
_SINCE = 3


def damping_from(about: Mapping[str, Any]) -> Damping:
    """The damping that a file holds, from its JSON; none in files of earlier format versions.

    Raises
    ------
    LookupError, TypeError, ValueError
        If a number is missing, of a wrong type or out of range.
    """
    if about["format_version"] < _SINCE:
        return UNDAMPED
    entries = about["damping"]
    momentum = checks.number(entries["momentum"], "the momentum")
    factor = checks.number(entries["removed_factor"], "the factor of removed weights")
    step = entries["nested_from"]
    if not 0 <= momentum < 1 or not 0 <= factor <= 1:
        raise ValueError(f"the momentum is {momentum} and the factor {factor}")
    if step is not None and checks.whole(step, "the step that nests", most=2**63 - 1) < 1:
        raise ValueError(f"the step that nests is {step}")
    return Damping(momentum, factor, step)
