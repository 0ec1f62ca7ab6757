"""The damping of a search in a file: JSON, checked."""

from __future__ import annotations

from typing import Any

from swiftforce.files import checks
from swiftforce.result.records import UNDAMPED, Damping


def damping_from(entries: Any) -> Damping:  # noqa: ANN401 - of a file
    """The damping that a file holds as a dict; none in files of earlier versions.

    Raises
    ------
    LookupError, TypeError, ValueError
        If a number is missing, of a wrong type or out of range.
    """
    if entries is None:
        return UNDAMPED
    momentum = checks.number(entries["momentum"], "the momentum")
    factor = checks.number(entries["removed_factor"], "the factor of removed weights")
    step = entries["nested_from"]
    if not 0 <= momentum < 1 or not 0 <= factor <= 1:
        raise ValueError(f"the momentum is {momentum} and the factor {factor}")
    if step is not None and checks.whole(step, "the step that nests", most=2**63 - 1) < 1:
        raise ValueError(f"the step that nests is {step}")
    return Damping(momentum, factor, step)
