"""Other ways to the same masks, on the same arrays, and whether they are the same masks."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import swiftforce as sf

from benchmarks.arrays import Array, Problem
from benchmarks.measure import Call

NUMPY = "numpy partition"
TOPK = "torch topk, as FORCE's own code"
KTHVALUE = "torch kthvalue"


def missing(name: str) -> str | None:
    """Why a peer cannot take part, or None."""
    if name.startswith("torch") and find_spec("torch") is None:
        return "torch is not installed"
    return None


def prepare(name: str, problem: Problem, keep: int, threads: int) -> Call:
    """A call that finds masks the way of that name; arrays are converted here, not in the call."""
    return PEERS[name](problem.weights, problem.gradients, keep, threads)


def _numpy(weights: list[Array], gradients: list[Array], keep: int, threads: int) -> Call:
    del threads  # it uses one

    def call() -> list[Array]:
        scores = [np.abs(w * g) for w, g in zip(weights, gradients, strict=True)]
        everything = np.concatenate([array.ravel() for array in scores])
        place = everything.size - keep
        threshold = np.partition(everything, place)[place]
        return [array >= threshold for array in scores]

    return call


def _topk(weights: list[Array], gradients: list[Array], keep: int, threads: int) -> Call:
    import torch

    torch.set_num_threads(threads)
    ours, theirs = _tensors(weights), _tensors(gradients)

    def call() -> list[Any]:
        scores = [torch.abs(w * g) for w, g in zip(ours, theirs, strict=True)]
        everything = torch.cat([torch.flatten(x) for x in scores])
        best, _ = torch.topk(everything, keep, sorted=True)
        acceptable = best[-1]
        return [x >= acceptable for x in scores]

    return call


def _kthvalue(weights: list[Array], gradients: list[Array], keep: int, threads: int) -> Call:
    import torch

    torch.set_num_threads(threads)
    ours, theirs = _tensors(weights), _tensors(gradients)

    def call() -> list[Any]:
        scores = [torch.abs(w * g) for w, g in zip(ours, theirs, strict=True)]
        everything = torch.cat([torch.flatten(x) for x in scores])
        threshold = torch.kthvalue(everything, everything.numel() - keep + 1).values
        return [x >= threshold for x in scores]

    return call


def _tensors(arrays: list[Array]) -> list[Any]:
    import torch

    return [torch.from_numpy(array) for array in arrays]


PEERS: dict[str, Callable[[list[Array], list[Array], int, int], Call]] = {
    NUMPY: _numpy,
    TOPK: _topk,
    KTHVALUE: _kthvalue,
}


def check_masks(problem: Problem, keep: int) -> None:
    """Compare our masks with numpy's, where no score equals the threshold, and count.

    Raises
    ------
    RuntimeError
        If a figure would be that of a wrong mask.
    """
    masks = sf.snip(problem.weights, problem.gradients, keep=keep).masks
    if sum(int(np.count_nonzero(mask)) for mask in masks) != keep:
        raise RuntimeError(f"swiftforce does not keep {keep} weights")
    scores = [
        np.abs(w.astype(np.float32, copy=False) * g.astype(np.float32, copy=False))
        for w, g in zip(problem.weights, problem.gradients, strict=True)
    ]
    everything = np.concatenate(scores)
    threshold = np.partition(everything, everything.size - keep)[everything.size - keep]
    for score, mask in zip(scores, masks, strict=True):
        decided = score != threshold
        if not np.array_equal(mask[decided], (score > threshold)[decided]):
            raise RuntimeError("the masks of swiftforce and numpy differ")


def check_order(problem: Problem, keep: int) -> None:
    """Check, a tensor at a time, that no removed score is above a kept one, and count.

    For problems of which numpy would need copies that do not fit.
    """
    masks = sf.snip(problem.weights, problem.gradients, keep=keep).masks
    kept, least, most = 0, np.float32(np.inf), np.float32(0)
    for w, g, mask in zip(problem.weights, problem.gradients, masks, strict=True):
        for start in range(0, w.size, 1 << 24):
            part = slice(start, start + (1 << 24))
            score = np.abs(w[part].astype(np.float32) * g[part].astype(np.float32))
            kept += int(np.count_nonzero(mask[part]))
            least = min(least, score[mask[part]].min(initial=np.inf))
            most = max(most, score[~mask[part]].max(initial=0))
    if kept != keep or most > least:
        raise RuntimeError("swiftforce does not keep the largest scores")
