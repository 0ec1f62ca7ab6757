"""The same steps by the core and by the selection on a device, and what must be equal.

Also numbers of every kind and type for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
import torch
from kinds import KINDS
from swiftforce.search import planned
from swiftforce.torch import search
from swiftforce.torch.device import choice as device_choice
from swiftforce.torch.device import scores as device_scores
from swiftforce.torch.device.choice import selects_on_device
from swiftforce.torch.device.contest import Previous
from swiftforce.torch.device.damping import DeviceDamping, accumulators
from swiftforce.torch.device.scores import DeviceScores
from swiftforce.torch.device.selection import select
from swiftforce.torch.memory import array_of

#: What both say in the same words; the number of passes is that of each, and sums may be rounded.
EXACT = (
    *("keep", "candidates", "removed", "revived", "zero_scores", "at_threshold"),
    *("kept_at_threshold", "arbitrary", "threshold", "layer_kept"),
    *("kept_by_floors", "removed_by_caps"),
)
SUMS = ("saliency", "total_saliency", "gradient_norm")

TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
#: How many weights tensors have that are searched here.
SIZES = (200, 0, 1, 131)

Tensors = Sequence[torch.Tensor]


def of_kind(kind: str, sizes: Sequence[int], seed: int, *types: Any) -> list[torch.Tensor]:
    """Flat tensors with numbers of a kind; their types take turns."""
    values = KINDS[kind](sum(sizes), np.random.default_rng(seed))
    parts = np.split(values, np.cumsum(sizes)[:-1])
    found = [torch.from_numpy(one.copy()).to(types[i % len(types)]) for i, one in enumerate(parts)]
    return [torch.nan_to_num(one, posinf=1, neginf=-1) for one in found]


def named(tensors: Tensors) -> dict[str, Any]:
    """The arrays that the core reads, by the names that the device's errors have."""
    return {f"t{place}": array_of(one, "") for place, one in enumerate(tensors)}


def bits(tensor: torch.Tensor) -> bytes:
    found: bytes = array_of(tensor, "").tobytes()
    return found


class Both:
    """A search by the core, and the same steps on the device of the tensors.

    Parameters
    ----------
    weights : sequence of tensor
        Flat.
    keeps : sequence of int
    initial : sequence of tensor, optional
        Flat masks to begin at.
    """

    def __init__(
        self,
        method: str,
        weights: Tensors,
        keeps: Sequence[int],
        *,
        nested_from: int | None = None,
        momentum: float = 0.0,
        removed_factor: float = 1.0,
        seed: int = 0,
        initial: Tensors | None = None,
    ) -> None:
        self.weights = weights
        kept = None if initial is None else sum(int(one.sum()) for one in initial)
        self.plan = planned(
            [one.numel() for one in weights],
            method=method,
            sparsity=None,
            keep=None,
            steps=None,
            schedule=list(keeps),
            seed=seed,
            nested_from=nested_from,
            momentum=momentum,
            removed_factor=removed_factor,
            initial=kept,
        )
        self.search: Any = sf.MaskSearch(
            named(weights),
            method=method,
            schedule=list(keeps),
            nested_from=nested_from,
            momentum=momentum,
            removed_factor=removed_factor,
            seed=seed,
            initial_masks=None
            if initial is None
            else {f"t{place}": one.numpy() for place, one in enumerate(initial)},
        )
        self.masks = [torch.zeros(one.shape, dtype=torch.bool) for one in weights]
        self.previous = None
        if initial is not None and kept is not None:
            self.masks = [one.clone() for one in initial]
            self.previous = Previous(self.masks, kept)
        sums = accumulators(weights) if momentum > 0 else None
        self.damping = DeviceDamping(sums, momentum, removed_factor)
        self.masked = [torch.full_like(one, torch.nan) for one in weights]

    def scores(self, gradients: Tensors | None) -> DeviceScores:
        info = self.plan.info
        names = [f"t{place}" for place in range(len(self.weights))]
        read = gradients if info["needs_gradients"] else None
        return DeviceScores(info["saliency"], names, self.weights, read, seed=self.plan.seed)

    def on_device(self, gradients: Tensors | None, position: int) -> dict[str, Any]:
        scores = self.scores(gradients)
        report = select(
            scores,
            self.plan.keeps[position - 1],
            self.masks,
            previous=self.previous,
            nested=self.plan.is_nested(position),
            masked=self.masked,
            damping=self.damping,
            checks_weights=position == 1 and not scores.reads_weights,
        )
        self.previous = Previous(self.masks, self.plan.keeps[position - 1])
        return report

    def in_core(self, gradients: Tensors | None) -> sf.Step:
        read = gradients if self.plan.info["needs_gradients"] else None
        step: sf.Step = self.search.step(None if read is None else named(read))
        return step

    def step(self, gradients: Tensors | None) -> dict[str, Any]:
        """Take the next step by both, and assert that they do the same."""
        step = self.in_core(gradients)
        report = self.on_device(gradients, step.step)
        for name in EXACT:
            assert report[name] == getattr(step, name), name
        for name in SUMS:
            # No term of a sum is negative. The core adds eight numbers of float32 in float32.
            assert report[name] == pytest.approx(getattr(step, name), rel=2**-21, abs=0), name
        sums = self.search._buffers.accumulated or ()
        for mine, its in zip(self.damping.accumulated or (), sums, strict=True):
            np.testing.assert_array_equal(mine.numpy(), its, strict=True)
        masks = self.search.masks
        for name, mask in zip(masks, self.masks, strict=True):
            np.testing.assert_array_equal(mask.numpy(), masks[name], strict=True)
        for weight, mask, masked in zip(self.weights, self.masks, self.masked, strict=True):
            wanted_weights = weight.clone()
            wanted_weights[~mask] = 0
            assert bits(masked) == bits(wanted_weights)
        return report


@contextmanager
def on_device(*, forced: bool = True) -> Iterator[list[str]]:
    """Search there if `forced`; yields where each search ran."""
    ran: list[str] = []

    def noted(*args: Any, **options: Any) -> bool:
        found = selects_on_device(*args, **options)
        ran.append("device" if found else "core")
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device_choice, "_FORCED", forced)
        patch.setattr(device_scores, "PART", 100)
        patch.setattr(search, "selects_on_device", noted)
        yield ran
