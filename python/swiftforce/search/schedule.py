"""How many weights to keep: a number for a sparsity, and for a schedule a number for each step."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence, Set
from numbers import Integral

from swiftforce import _core
from swiftforce.errors import (
    KeepError,
    ScheduleError,
    SparsityError,
    StepsError,
    StepsIgnoredWarning,
)
from swiftforce.inputs import (
    ScheduleName,
    canonical_name,
    case_number,
    check_sparsity,
    integer,
    method_info,
    schedules,
)
from swiftforce.native import public_error

#: Steps of a progressive search if the caller gives no number: those of the paper's experiments.
DEFAULT_STEPS = 60

#: What a caller may pass as a schedule: a name, sparsities, or numbers of weights.
Schedule = ScheduleName | Sequence[float] | Sequence[int]


def keep_count(n: int, sparsity: float) -> int:
    """Number of weights kept of `n` at a sparsity: exactly so many are kept.

    ``round(n * (1 - sparsity))``, ties to even, at least 1.

    Parameters
    ----------
    n : int
        Number of prunable weights, at least 1.
    sparsity : float
        Share of them to remove, in [0, 1).

    Raises
    ------
    SparsityError, ShapeError

    Examples
    --------
    >>> import swiftforce as sf
    >>> sf.keep_count(100, 0.9)
    10
    """
    share = check_sparsity(sparsity)
    try:
        return _core.keep_count(integer(n, "n", KeepError), share)
    except _core.NativeError as error:
        raise public_error(error) from None


def schedule_keeps(
    schedule: Schedule, n: int, keep: int | None = None, steps: int | None = None
) -> tuple[int, ...]:
    """Number of weights kept after each step of a search.

    Parameters
    ----------
    schedule : str or sequence
        One of `schedules`, or a list of your own: floats are the sparsity after each step, in
        [0, 1); integers are the number of weights kept after each step.
    n : int
        Number of prunable weights, at least 1.
    keep : int, optional
        Number of weights kept after the last step. A name needs it; a list must end with it.
    steps : int, optional
        Number of steps. A name needs it; a list must have as many entries.

    Returns
    -------
    tuple of int
        One number per step, none larger than the one before.

    Raises
    ------
    ScheduleError, KeepError, StepsError, SparsityError, UnknownNameError

    References
    ----------
    De Jorge et al., "Progressive Skeletonization", ICLR 2021: the exponential schedule,
    ``k_t = exp(a log k + (1 - a) log n)`` with ``a = t / T``.

    Examples
    --------
    >>> import swiftforce as sf
    >>> sf.schedule_keeps("exponential", 10_000, keep=100, steps=4)
    (3162, 1000, 316, 100)
    >>> sf.schedule_keeps([0.5, 0.9], 1000)
    (500, 100)
    """
    n = integer(n, "n", KeepError)
    if isinstance(schedule, str):
        if keep is None or steps is None:
            raise ScheduleError(f"the schedule {schedule!r} needs keep and steps: pass both")
        return named_keeps(
            schedule, n, integer(keep, "keep", KeepError), integer(steps, "steps", StepsError)
        )
    return _listed_keeps(schedule, n, keep, steps)


def named_keeps(schedule: str, n: int, keep: int, steps: int) -> tuple[int, ...]:
    """As `schedule_keeps`, for integers that were checked."""
    kind = case_number("schedule", schedule)
    try:
        return _core.schedule(kind, n, keep, steps)
    except _core.NativeError as error:
        raise public_error(error) from None


def _listed_keeps(
    schedule: Sequence[float] | Sequence[int], n: int, keep: int | None, steps: int | None
) -> tuple[int, ...]:
    try:
        entries = None if isinstance(schedule, (bytes, Mapping, Set)) else list(schedule)
    except TypeError:
        entries = None
    if entries is None:
        raise ScheduleError(
            "schedule must be a name or a list of sparsities or of numbers of weights, "
            f"not {type(schedule).__name__}"
        )
    if not entries:
        raise ScheduleError("a schedule must have at least one step")
    whole = [entry for entry in entries if isinstance(entry, Integral)]
    if len(whole) == len(entries):
        keeps = tuple(integer(entry, "an entry of the schedule", ScheduleError) for entry in whole)
    else:
        keeps = tuple(keep_count(n, entry) for entry in entries)
    if steps is not None and integer(steps, "steps", StepsError) != len(keeps):
        raise ScheduleError(f"the schedule has {len(keeps)} steps where steps is {steps}")
    if keep is not None and keeps[-1] != integer(keep, "keep", KeepError):
        raise ScheduleError(f"the schedule ends at {keeps[-1]} where {keep} are to be kept")
    previous = n
    for step, kept in enumerate(keeps, start=1):
        if not 1 <= kept <= previous:
            raise ScheduleError(
                f"step {step} of the schedule keeps {kept} after {previous}: each step keeps at "
                "least 1 and no more than the one before"
            )
        previous = kept
    return keeps


def schedule_name(schedule: Schedule) -> str:
    """The canonical name of a schedule; ``custom`` for a list of the caller's.

    Raises
    ------
    UnknownNameError
    """
    if isinstance(schedule, str):
        return canonical_name("schedule", schedule, schedules())
    return "custom"


def plan(
    schedule: Schedule,
    n: int,
    sparsity: float | None,
    keep: int | None,
    steps: int | None,
    *,
    method: str,
    initial: int | None = None,
) -> tuple[int, ...]:
    """Number of weights kept after each step of a search by a method, from its caller's arguments.

    Parameters
    ----------
    initial : int, optional
        How many weights the masks keep that the search begins at. A schedule of a name falls from
        there; sparsities are shares of all `n` weights.

    Raises
    ------
    StepsError
        If a list has several entries and the method takes one step.
    ScheduleError, KeepError, SparsityError, UnknownNameError

    Warns
    -----
    StepsIgnoredWarning
        If a one-shot method is given a number of steps.
    """
    one_shot = method_info(method)["one_shot"]
    if steps is not None:
        steps = check_steps(integer(steps, "steps", StepsError), method, one_shot=one_shot)
    if isinstance(schedule, str):
        if steps is None:
            steps = 1 if one_shot else DEFAULT_STEPS
        target = require_keep(n, sparsity, keep)
        if initial is not None:
            _check_target(target, n, initial, sparsity)
        return named_keeps(schedule, n if initial is None else initial, target, steps)
    listed = None if one_shot else steps
    keeps = schedule_keeps(schedule, n, resolve_keep(n, sparsity, keep), listed)
    if initial is not None and keeps[0] > initial:
        raise ScheduleError(
            f"step 1 of the schedule keeps {keeps[0]} where initial_masks keep {initial}: "
            "each step keeps no more than are left"
        )
    if one_shot and len(keeps) > 1:
        raise StepsError(
            f"{method} takes exactly one step, not {len(keeps)}: pass a schedule of one entry"
        )
    return keeps


def _check_target(target: int, n: int, initial: int, sparsity: float | None) -> None:
    """Refuse to keep more weights than the masks that the search begins at."""
    if target <= initial:
        return
    kept = f"initial_masks keep {initial} of {n}: keep at most as many"
    if sparsity is None:
        raise KeepError(f"keep is {target} where {kept}")
    raise SparsityError(f"a sparsity of {sparsity} keeps {target} where {kept}")


def check_steps(steps: int, method: str, *, one_shot: bool) -> int:
    """The number of steps that a method takes: one for a one-shot method, whatever it is given.

    Raises
    ------
    StepsError
        If it is below one.

    Warns
    -----
    StepsIgnoredWarning
        If a one-shot method is given several steps; at the first line outside of swiftforce.
    """
    if steps < 1:
        raise StepsError(f"a search takes at least one step, not {steps}")
    if not one_shot or steps == 1:
        return steps
    text = f"{method} takes one step: steps={steps} is ignored"
    warnings.warn(text, StepsIgnoredWarning, stacklevel=_callers_level())
    return 1


def _callers_level() -> int:
    """The `stacklevel` at which the function that calls this one warns its user."""
    # A search is reached by many ways, adapters among them: depths differ, and are found here.
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    return level


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "swiftforce"


def resolve_keep(n: int, sparsity: float | None, keep: int | None) -> int | None:
    """The number to keep from whichever of the two was given; None if neither was.

    Raises
    ------
    SparsityError
        If both are given, or the sparsity is not in [0, 1).
    KeepError
        If `keep` is not an integer in 1 ... n.
    """
    if sparsity is not None and keep is not None:
        raise SparsityError("give sparsity or keep, not both")
    if sparsity is not None:
        return keep_count(n, sparsity)
    if keep is None:
        return None
    kept = integer(keep, "keep", KeepError)
    if not 1 <= kept <= n:
        raise KeepError(f"keep must be in 1 ... {n}, the number of weights, not {kept}")
    return kept


def require_keep(n: int, sparsity: float | None, keep: int | None) -> int:
    """As `resolve_keep`, but one of the two must be given."""
    kept = resolve_keep(n, sparsity, keep)
    if kept is None:
        raise SparsityError("give sparsity (the share to remove) or keep (how many to keep)")
    return kept
