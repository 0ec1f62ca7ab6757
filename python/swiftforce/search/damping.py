"""What keeps a search from replacing most of its mask in each step: checked, with its step."""

from __future__ import annotations

from numbers import Integral, Real

from swiftforce.errors import HyperparameterError
from swiftforce.inputs import integer
from swiftforce.result import Damping


def checked_damping(
    momentum: float, removed_factor: float, nested_from: float | None, *, steps: int
) -> Damping:
    """The damping that a caller passes. The core refuses what the method does not have.

    Parameters
    ----------
    momentum, removed_factor : float
    nested_from : int or float, optional
        A step, counted from 1; or a share of the steps, in (0, 1), after which removed weights stay
        removed.
    steps : int
        Steps of the search.

    Raises
    ------
    HyperparameterError
    """
    if nested_from is not None:
        nested_from = _step(nested_from, steps)
    return Damping(
        _real(momentum, "momentum", "a number in [0, 1)"),
        _real(removed_factor, "removed_factor", "a number in [0, 1]"),
        nested_from,
    )


def is_nested(damping: Damping, step: int, *, free: bool) -> bool:
    """Whether only the weights compete in a step that the one before kept; 1 is the first.

    Parameters
    ----------
    free : bool
        Whether removed weights may return by the rule.
    """
    is_late = damping.nested_from is not None and step >= damping.nested_from
    return is_late or not free or damping.removed_factor == 0


def _step(nested_from: float, steps: int) -> int:
    if isinstance(nested_from, Real) and not isinstance(nested_from, Integral):
        share = float(nested_from)
        if not 0 < share < 1:
            raise HyperparameterError(
                f"nested_from must be a step in 1 ... {steps} or a share of the steps in (0, 1), "
                f"not {nested_from!r}"
            )
        return min(steps, round(share * steps) + 1)
    step = integer(nested_from, "nested_from", HyperparameterError)
    if not 1 <= step <= steps:
        raise HyperparameterError(
            f"nested_from must be in 1 ... {steps}, the steps of the search, not {step}"
        )
    return step


def _real(value: float, name: str, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise HyperparameterError(f"{name} must be {expected}, not {value!r}")
    return float(value)
