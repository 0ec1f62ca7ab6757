"""How many weights to keep: from a share to a number, from a schedule to a number per step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from numbers import Integral

from swiftforce import _core
from swiftforce.errors import KeepError, ScheduleError, SparsityError, StepsError
from swiftforce.inputs import check_sparsity, integer, method_info, number
from swiftforce.native import public_error

#: Steps of a progressive search where the caller names none: those of the paper's experiments.
DEFAULT_STEPS = 60

#: What a caller may pass as a schedule: a name, sparsities, or numbers of weights.
Schedule = str | Sequence[float] | Sequence[int]


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
        Number of prunable weights.
    keep : int, optional
        Number kept after the last step. Needed for a name; a list must end there if it is given.
    steps : int, optional
        Number of steps. Needed for a name; a list must have so many entries if it is given.

    Returns
    -------
    tuple of int
        One number per step; they never grow.

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
            raise ScheduleError(f"the schedule {schedule!r} needs keep and steps")
        number("schedule", schedule)
        return named_keeps(
            schedule, n, integer(keep, "keep", KeepError), integer(steps, "steps", StepsError)
        )
    return _listed_keeps(schedule, n, keep, steps)


def named_keeps(schedule: str, n: int, keep: int, steps: int) -> tuple[int, ...]:
    """As `schedule_keeps`, of integers that were checked."""
    kind = number("schedule", schedule)
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
        raise ScheduleError(f"the schedule ends at {keeps[-1]} weights where {keep} are to be kept")
    previous = n
    for step, kept in enumerate(keeps, start=1):
        if not 1 <= kept <= previous:
            raise ScheduleError(
                f"step {step} of the schedule keeps {kept} weights after {previous}: "
                "each step keeps at least one weight and no more than the one before"
            )
        previous = kept
    return keeps


def plan(
    schedule: Schedule,
    n: int,
    sparsity: float | None,
    keep: int | None,
    steps: int | None,
    *,
    method: str,
) -> tuple[int, ...]:
    """Number of weights kept after each step of a search by a method, from what its caller gave.

    Raises
    ------
    StepsError
        If a one-shot method is to take several steps.
    ScheduleError, KeepError, SparsityError, UnknownNameError
    """
    one_shot = method_info(method)["one_shot"]
    if isinstance(schedule, str):
        if steps is None:
            steps = 1 if one_shot else DEFAULT_STEPS
        steps = integer(steps, "steps", StepsError)
        check_steps(steps, method, one_shot=one_shot)
        return named_keeps(schedule, n, require_keep(n, sparsity, keep), steps)
    keeps = schedule_keeps(schedule, n, resolve_keep(n, sparsity, keep), steps)
    check_steps(len(keeps), method, one_shot=one_shot)
    return keeps


def check_steps(steps: int, method: str, *, one_shot: bool) -> None:
    """Refuse a number of steps that a method does not take."""
    if steps < 1:
        raise StepsError(f"a search takes at least one step, not {steps}")
    if steps != 1 and one_shot:
        raise StepsError(f"{method} takes exactly one step, not {steps}")


def resolve_keep(n: int, sparsity: float | None, keep: int | None) -> int | None:
    """The number to keep from whichever of the two was given; None where neither was.

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
    """As `resolve_keep`, where one of the two must be given."""
    kept = resolve_keep(n, sparsity, keep)
    if kept is None:
        raise SparsityError("give sparsity (the share to remove) or keep (how many to keep)")
    return kept
