"""The exact choice of the best weights of all tensors together, where the tensors lie.

It runs by torch's own operations on integers, and its masks are those of the core, bit for bit. The
threshold is found digit by digit: each pass over the tensors counts one digit of the keys that
agree with the threshold so far, and the device looks up the next digit itself. One more pass writes
masks and masked weights. What must not live here: what a score is (`device_scores`), and how many
weights a step keeps.

Only counts and sums travel to the host: once when the threshold is found, and once at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from swiftforce.torch.device_damping import UNDAMPED, DeviceDamping
from swiftforce.torch.device_scores import DIGIT, DeviceScores, Part

Tensors = Sequence[torch.Tensor]

_BINS = 1 << DIGIT


@dataclass(frozen=True)
class Previous:
    """The masks of the step before.

    Attributes
    ----------
    masks : sequence of tensor
        Flat, bool.
    kept : int
        How many weights they keep.
    """

    masks: Tensors
    kept: int


@dataclass(frozen=True)
class _Threshold:
    """The key of the smallest kept score, and what was found on the way to it."""

    key: int
    kept_ties: int
    ties: int
    zeros: int
    total: float
    objective: float
    squares: float


def select(
    scores: DeviceScores,
    keep: int,
    masks: Tensors,
    *,
    previous: Previous | None,
    nested: bool,
    masked: Tensors | None,
    damping: DeviceDamping = UNDAMPED,
    checks_weights: bool = False,
) -> dict[str, Any]:
    """Keep the best weights: larger score first, then lower position; exactly so many.

    Parameters
    ----------
    scores : DeviceScores
    keep : int
        At least 1; no more than the weights that compete.
    masks : sequence of tensor
        Flat, bool, one per tensor: written. They may be the memory of the masks before.
    previous : Previous, optional
        None in the first step of a search that begins with all weights.
    nested : bool
        Whether only the weights compete that the masks before keep, if there are any.
    masked : sequence of tensor, optional
        Flat tensors that receive the weights, with removed ones set to zero.
    damping : DeviceDamping
        Its sums are written, too.
    checks_weights : bool
        Whether weights must be finite that the scores do not read.

    Returns
    -------
    dict
        The fields of a `Step`, as the core reports them; sums may differ in the last bits: each of
        n terms by less than n * 2**-53 of the sum of their magnitudes.

    Raises
    ------
    NonFiniteError
        Before anything is written.
    """
    nested = nested and previous is not None
    size = sum(one.numel() for one in scores.weights)
    candidates = previous.kept if nested and previous is not None else size
    contest = _Contest(scores, previous, damping, nested=nested)
    found = _threshold(contest, keep, checks_weights=checks_weights)
    kept, again, saliency = _write(contest, found, masks, masked)
    threshold = _score(found.key, is_wide=scores.is_wide)
    both = sum(kept) if nested else sum(again)
    is_arbitrary = threshold == 0 and found.kept_ties < found.ties
    return {
        "keep": keep,
        "candidates": candidates,
        "removed": size - keep if previous is None else previous.kept - both,
        "revived": 0 if previous is None else keep - both,
        "zero_scores": found.zeros,
        "at_threshold": found.ties,
        "kept_at_threshold": found.kept_ties,
        "arbitrary": found.kept_ties if is_arbitrary else 0,
        "passes": len(scores.shifts) + 1,
        "threshold": threshold,
        "saliency": saliency,
        "total_saliency": found.total,
        "gradient_norm": float(np.sqrt(found.squares)),
        "layer_kept": tuple(kept),
        "kept_by_floors": 0,
        "removed_by_caps": 0,
        "objective_before": found.objective,
    }


def kept_sum(scores: DeviceScores, masks: Tensors) -> float:
    """The sum of the scores of the weights that masks keep: the objective at these masks.

    Raises
    ------
    NonFiniteError
    """
    sums, largest = [], []
    for part in scores.parts:
        values, keys = scores.of(part)
        largest.append(scores.magnitude(values, keys))
        sums.append(_sum(values, part.of(masks)))
    (highest,), (total,) = _fetched([torch.stack(largest).amax()], [torch.stack(sums).sum()])
    if highest >= scores.infinity:
        scores.check_finite(masks)
    return total


@dataclass(frozen=True)
class _Contest:
    """Which weights compete in a step, and by which scores.

    Attributes
    ----------
    nested : bool
        Whether those compete alone that the masks before keep.
    """

    scores: DeviceScores
    previous: Previous | None
    damping: DeviceDamping
    nested: bool

    def before(self, part: Part) -> torch.Tensor | None:
        """The masks before; None in a first step."""
        return None if self.previous is None else part.of(self.previous.masks)

    def candidates(self, part: Part) -> torch.Tensor | None:
        """The masks of the weights that compete; None: all do."""
        return self.before(part) if self.nested else None

    def of(self, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        """The scores by which the weights of a part compete, and their keys."""
        values, keys = self.scores.of(part)
        return self.from_own(values, keys, self.sums(part, values), part)

    def sums(self, part: Part, values: torch.Tensor) -> torch.Tensor:
        """The sums over the steps, of which the scores of this one are the last."""
        return self.damping.sums(part, values)

    def from_own(
        self, values: torch.Tensor, keys: torch.Tensor, sums: torch.Tensor, part: Part
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, from the scores of this step and the sums."""
        found = sums if self.nested else self.damping.discounted(sums, self.before(part))
        return (values, keys) if found is values else (found, self.scores.key(found))

    def check_finite(self) -> None:
        """Name a value that is not finite, and that matters."""
        damping, previous = self.damping, self.previous
        self.scores.check_finite(
            previous.masks if self.nested and previous is not None else None,
            None
            if damping.accumulated is None
            else lambda part, values: damping.stored(part, damping.sums(part, values)),
        )


class _Survey:
    """What the first pass finds besides the first digit; each entry is one number on the device."""

    def __init__(self, contest: _Contest) -> None:
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
            self.objectives.append(_sum(values, before))
        if scores.gradients is not None and not scores.is_signed:
            gradients = part.of(scores.gradients)
            self.squares.append(torch.linalg.vector_norm(gradients, dtype=torch.float64).square())
        sums = contest.sums(part, values)
        if sums is not values:
            stored = contest.damping.stored(part, sums).to(sums.dtype)
            self.largest.append(scores.magnitude(stored, scores.key(stored)))
        values, keys = contest.from_own(values, keys, sums, part)
        self.totals.append(_sum(values, candidates))
        return values, keys


def _threshold(contest: _Contest, keep: int, *, checks_weights: bool) -> _Threshold:
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
    integers = [prefix, rank, ties, torch.stack(survey.largest).amax(), _total(survey.zeros)]
    if checks_weights:
        integers.append(_total([torch.isfinite(p.of(scores.weights)).all() for p in scores.parts]))
    sums = [_total(one) for one in (survey.totals, survey.objectives, survey.squares) if one]
    (key, kept_ties, tied, largest, zeros, *finite), floats = _fetched(integers, sums)
    if largest >= scores.infinity or (finite and finite[0] < len(scores.parts)):
        contest.check_finite()
    total, *others = floats
    objective = others.pop(0) if survey.objectives else total
    squares = others.pop(0) if survey.squares else 0.0
    return _Threshold(key, kept_ties, tied, zeros, total, objective, squares)


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


def _write(
    contest: _Contest, found: _Threshold, masks: Tensors, masked: Tensors | None
) -> tuple[list[int], list[int], float]:
    """Write masks, masked weights and the sums over steps.

    Returns
    -------
    (list of int, list of int, float)
        How many weights are kept of each tensor; how many of those were kept before, if all
        competed; and the sum of the kept scores.
    """
    scores = contest.scores
    ties = _Ties(found, scores.device) if found.kept_ties < found.ties else None
    kept, again, totals = [], [], []
    for part in scores.parts:
        values, keys = scores.of(part)
        sums = contest.sums(part, values)
        values, keys = contest.from_own(values, keys, sums, part)
        before, candidates = contest.before(part), contest.candidates(part)
        chosen = keys >= found.key
        if candidates is not None:
            chosen &= candidates
        if ties is not None:
            chosen &= ties.kept(keys, candidates)
        if before is not None and candidates is None:
            again.append((chosen & before).sum())
        kept.append(chosen.sum())
        totals.append(_sum(values, chosen))
        contest.damping.store(part, sums, candidates)
        part.of(masks).copy_(chosen)
        if masked is not None:
            weights = part.of(scores.weights)
            torch.where(chosen, weights, weights.new_zeros(()), out=part.of(masked))
    counts, (saliency,) = _fetched([*kept, *again], [_total(totals)])
    layers = [0] * len(scores.weights)
    for part, count in zip(scores.parts, counts, strict=False):
        layers[part.tensor] += count
    return layers, counts[len(kept) :], saliency


class _Ties:
    """Which weights at the threshold are kept: the first of all."""

    def __init__(self, found: _Threshold, device: torch.device) -> None:
        self._key = found.key
        self._left = torch.full((1,), found.kept_ties, dtype=torch.int64, device=device)

    def kept(self, keys: torch.Tensor, candidates: torch.Tensor | None) -> torch.Tensor:
        """False for those of the next part that are at the threshold and not kept."""
        tied = keys == self._key
        if candidates is not None:
            tied &= candidates
        ranks = tied.cumsum(0, dtype=torch.int32)
        # A part has fewer weights than an int32 can count.
        most = self._left.clamp(max=keys.numel()).to(torch.int32)
        self._left = (self._left - ranks[-1]).clamp_(min=0)
        return tied.logical_not_() | (ranks <= most)


def _sum(values: torch.Tensor, counted: torch.Tensor | None) -> torch.Tensor:
    """The sum of the values, or of those that count, in float64."""
    if counted is not None:
        # Not a product: a score that does not count may be infinite.
        values = torch.where(counted, values, 0)
    return values.sum(dtype=torch.float64)


def _total(numbers: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(numbers)).sum()


def _fetched(
    integers: Sequence[torch.Tensor], floats: Sequence[torch.Tensor]
) -> tuple[list[int], list[float]]:
    """Numbers on the host, all at once: the one place that waits for the device."""
    bits = [one.reshape(()).to(torch.int64) for one in integers]
    bits += [one.reshape(()).to(torch.float64).view(torch.int64) for one in floats]
    numbers = torch.stack(bits).cpu().numpy()
    count = len(integers)
    return numbers[:count].tolist(), numbers[count:].view(np.float64).tolist()


def _score(key: int, *, is_wide: bool) -> float:
    """The score of a key."""
    kind, value = (np.int64, np.float64) if is_wide else (np.int32, np.float32)
    largest = np.iinfo(kind).max
    bits = key if key >= 0 else key ^ largest
    return float(np.array([bits], kind).view(value)[0])
