"""Other libraries that find the same masks in the same arrays, and checks of the masks."""

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
    """Why a peer cannot be measured; None if it can."""
    if name.startswith("torch") and find_spec("torch") is None:
        return "torch is not installed"
    return None


def prepare(name: str, problem: Problem, keep: int, threads: int) -> Call:
    """A call that finds masks with a peer. Arrays are converted in advance."""
    return PEERS[name](problem.weights, problem.gradients, keep, threads)


def _numpy(weights: list[Array], gradients: list[Array], keep: int, threads: int) -> Call:
    del threads  # numpy uses one

    def call() -> list[Array]:
        scores = [np.abs(w * g) for w, g in zip(weights, gradients, strict=True)]
        all_scores = np.concatenate([array.ravel() for array in scores])
        position = all_scores.size - keep
        threshold = np.partition(all_scores, position)[position]
        return [array >= threshold for array in scores]

    return call


def _topk(weights: list[Array], gradients: list[Array], keep: int, threads: int) -> Call:
    import torch

    torch.set_num_threads(threads)
    ours, theirs = _tensors(weights), _tensors(gradients)

    def call() -> list[Any]:
        scores = [torch.abs(w * g) for w, g in zip(ours, theirs, strict=True)]
        all_scores = torch.cat([torch.flatten(x) for x in scores])
        best, _ = torch.topk(all_scores, keep, sorted=True)
        acceptable = best[-1]
        return [x >= acceptable for x in scores]

    return call


def _kthvalue(weights: list[Array], gradients: list[Array], keep: int, threads: int) -> Call:
    import torch

    torch.set_num_threads(threads)
    ours, theirs = _tensors(weights), _tensors(gradients)

    def call() -> list[Any]:
        scores = [torch.abs(w * g) for w, g in zip(ours, theirs, strict=True)]
        all_scores = torch.cat([torch.flatten(x) for x in scores])
        threshold = torch.kthvalue(all_scores, all_scores.numel() - keep + 1).values
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
    """Check the number of weights kept, and compare the masks with numpy's except at ties.

    Raises
    ------
    RuntimeError
        If the masks are wrong.
    """
    masks = sf.snip(problem.weights, problem.gradients, keep=keep).masks
    if sum(int(np.count_nonzero(mask)) for mask in masks) != keep:
        raise RuntimeError(f"swiftforce does not keep {keep} weights")
    scores = [
        np.abs(w.astype(np.float32, copy=False) * g.astype(np.float32, copy=False))
        for w, g in zip(problem.weights, problem.gradients, strict=True)
    ]
    all_scores = np.concatenate(scores)
    threshold = np.partition(all_scores, all_scores.size - keep)[all_scores.size - keep]
    for score, mask in zip(scores, masks, strict=True):
        decided = score != threshold
        if not np.array_equal(mask[decided], (score > threshold)[decided]):
            raise RuntimeError("the masks of swiftforce and numpy differ")


def check_order(problem: Problem, keep: int) -> None:
    """Check the number of weights kept, and that no removed score is above a kept one.

    This is for large problems, where `check_masks` would need copies that do not fit into memory.
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
