"""The exact choice of the best weights of all tensors together, where the tensors lie.

It runs by torch's own operations on integers, and its masks are those of the core, bit for bit.
Once the threshold is known (`threshold`), a pass over the tensors writes masks and masked
weights. What must not live here: what a score is (`scores`), who competes
(`contest`), and how many weights a step keeps.

Only counts and sums travel to the host: once when the threshold is found, and once at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from swiftforce.torch.device.contest import (
    Contest,
    Previous,
    Tensors,
    fetched,
    score_of,
    sum_of,
    total_of,
)
from swiftforce.torch.device.damping import UNDAMPED, DeviceDamping
from swiftforce.torch.device.scores import DeviceScores
from swiftforce.torch.device.threshold import Threshold, find_threshold


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
        The fields of a `Step`, as the core reports them; sums may differ by less than one part in
        two million of the sum of the magnitudes.

    Raises
    ------
    NonFiniteError
        Before anything is written.
    """
    nested = nested and previous is not None
    size = sum(one.numel() for one in scores.weights)
    candidates = previous.kept if nested and previous is not None else size
    contest = Contest(scores, previous, damping, nested=nested)
    found = find_threshold(contest, keep, checks_weights=checks_weights)
    kept, again, saliency = _write(contest, found, masks, masked)
    threshold = score_of(found.key, is_wide=scores.is_wide)
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
        sums.append(sum_of(values, part.of(masks)))
    (highest,), (total,) = fetched([torch.stack(largest).amax()], [torch.stack(sums).sum()])
    if highest >= scores.infinity:
        scores.check_finite(masks)
    return total


def _write(
    contest: Contest, found: Threshold, masks: Tensors, masked: Tensors | None
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
        totals.append(sum_of(values, chosen))
        contest.damping.store(part, sums, candidates)
        part.of(masks).copy_(chosen)
        if masked is not None:
            weights = part.of(scores.weights)
            torch.where(chosen, weights, weights.new_zeros(()), out=part.of(masked))
    counts, (saliency,) = fetched([*kept, *again], [total_of(totals)])
    layers = [0] * len(scores.weights)
    for part, count in zip(scores.parts, counts, strict=False):
        layers[part.tensor] += count
    return layers, counts[len(kept) :], saliency


class _Ties:
    """Which weights at the threshold are kept: the first of all."""

    def __init__(self, found: Threshold, device: torch.device) -> None:
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
