"""The smallest kept score of a step on a device, digit by digit, and what a pass over all tells.

Each pass over the tensors counts one digit of the keys that agree with the threshold so far, and
the device looks up the next digit itself. What must not live here: masks, and who competes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from swiftforce.torch.device.contest import Contest, fetched, sum_of, total_of
from swiftforce.torch.device.scores import DIGIT, Part

_BINS = 1 << DIGIT


@dataclass(frozen=True)
class Threshold:
    """The key of the smallest kept score, and what was found on the way to it."""

    key: int
    kept_ties: int
    ties: int
    zeros: int
    total: float
    objective: float
    squares: float


class _Survey:
    """What the first pass finds besides the first digit; each entry is one number on the device."""

    def __init__(self, contest: Contest) -> None:
        self._contest = contest
        self.largest: list[torch.Tensor] = []
        self.zeros: list[torch.Tensor] = []
        self.totals: list[torch.Tensor] = []
        self.objectives: list[torch.Tensor] = []
        self.squares: list[torch.Tensor] = []

    def add(self, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        """Look at a part; returns the scores by which its weights compete, and their keys."""
        contest, scores = self._contest, self._contest.scores
        values, keys = scores.of(part)
        before, candidates = contest.before(part), contest.candidates(part)
        self.largest.append(scores.magnitude(values, keys))
        zeros = keys == 0
        self.zeros.append((zeros if candidates is None else zeros.logical_and_(candidates)).sum())
        if before is not None and (not contest.nested or contest.damping.accumulated is not None):
            self.objectives.append(sum_of(values, before))
        if scores.gradients is not None and not scores.is_signed:
            gradients = part.of(scores.gradients)
            self.squares.append(torch.linalg.vector_norm(gradients, dtype=torch.float64).square())
        sums = contest.sums(part, values)
        if sums is not values:
            stored = contest.damping.stored(part, sums).to(sums.dtype)
            self.largest.append(scores.magnitude(stored, scores.key(stored)))
        values, keys = contest.from_own(values, keys, sums, part)
        self.totals.append(sum_of(values, candidates))
        return values, keys


def find_threshold(contest: Contest, keep: int, *, checks_weights: bool) -> Threshold:
    """The smallest score that is kept if so many are, the first of equal ones.

    Parameters
    ----------
    checks_weights : bool
        Whether weights must be finite that the scores do not read.

    Raises
    ------
    NonFiniteError
    """
    scores, survey = contest.scores, _Survey(contest)
    rank = torch.full((1,), keep, dtype=torch.int64, device=scores.device)
    prefix: torch.Tensor | None = None
    ties = rank
    for shift in scores.shifts:
        counts = torch.zeros(_BINS, dtype=torch.int64, device=scores.device)
        for part in scores.parts:
            _, keys = survey.add(part) if prefix is None else contest.of(part)
            counts += _counts(
                keys, contest.candidates(part), shift, prefix, is_signed=scores.is_signed
            )
        digit, rank, ties = _lookup(counts, rank)
        digit = digit.to(scores.key_dtype)
        if prefix is None:
            prefix = digit - _BINS // 2 if scores.is_signed else digit
        else:
            prefix = (prefix << DIGIT) + digit
    assert prefix is not None
    integers = [prefix, rank, ties, torch.stack(survey.largest).amax(), total_of(survey.zeros)]
    if checks_weights:
        integers.append(
            total_of([torch.isfinite(p.of(scores.weights)).all() for p in scores.parts])
        )
    sums = [total_of(one) for one in (survey.totals, survey.objectives, survey.squares) if one]
    (key, kept_ties, tied, largest, zeros, *finite), floats = fetched(integers, sums)
    if largest >= scores.infinity or (finite and finite[0] < len(scores.parts)):
        contest.check_finite()
    total, *others = floats
    objective = others.pop(0) if survey.objectives else total
    squares = others.pop(0) if survey.squares else 0.0
    return Threshold(key, kept_ties, tied, zeros, total, objective, squares)


def _counts(
    keys: torch.Tensor,
    candidates: torch.Tensor | None,
    shift: int,
    prefix: torch.Tensor | None,
    *,
    is_signed: bool,
) -> torch.Tensor:
    """How often each digit occurs in the keys that compete and begin with the prefix."""
    digits = keys >> shift
    if prefix is None:
        counted = candidates
        if is_signed:
            digits += _BINS // 2
    else:
        digits &= _BINS - 1
        counted = (keys >> (shift + DIGIT)) == prefix
        if candidates is not None:
            counted &= candidates
    # A key that does not count adds zero to a bin of its own, so that no bin is added to by all.
    if counted is None:
        ones = torch.ones(1, dtype=torch.int32, device=keys.device).expand(keys.shape)
    else:
        ones = counted.to(torch.int32)
    counts = torch.zeros(_BINS, dtype=torch.int32, device=keys.device)
    return counts.index_add_(0, digits, ones)


def _lookup(
    counts: torch.Tensor, rank: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The digit of the key at a rank, its rank among keys with that digit, and how many there are.

    All are tensors of one number, and stay on the device.
    """
    falling = counts.flip(0)
    through = falling.cumsum(0)
    # An index outside would end the process on some devices; there is none if nothing changes.
    place = (through < rank).sum().clamp_(max=_BINS - 1).view(1)
    matches = falling.index_select(0, place)
    return _BINS - 1 - place, rank - (through.index_select(0, place) - matches), matches
