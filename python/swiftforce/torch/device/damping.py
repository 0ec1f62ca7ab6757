"""The scores by which weights compete where a search is damped: sums over steps, and a factor.

What must not live here: the scores of one step (`scores`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from swiftforce.torch.device.scores import Part


@dataclass(frozen=True)
class DeviceDamping:
    """How the scores of a step become those by which weights compete.

    Every product and every sum is rounded to the type of scores, in which the two numbers are, too.
    No score is negative.

    Attributes
    ----------
    accumulated : sequence of tensor, optional
        The sums so far, flat: float64 for weights of that type, else float32. None: a step knows
        its own scores alone.
    momentum : float
        Their factor.
    removed_factor : float
        The factor of the scores of weights that the masks before remove.
    """

    accumulated: Sequence[torch.Tensor] | None = None
    momentum: float = 0.0
    removed_factor: float = 1.0

    def sums(self, part: Part, values: torch.Tensor) -> torch.Tensor:
        """The sums over the steps, from the scores of this one."""
        if self.accumulated is None:
            return values
        # In two steps, so that no device computes them as one, without the first rounding.
        return part.of(self.accumulated).to(values.dtype).mul(self.momentum).add(values)

    def stored(self, part: Part, sums: torch.Tensor) -> torch.Tensor:
        """The sums as they are stored: they may be infinite in a smaller type."""
        if self.accumulated is None:
            return sums
        return sums.to(self.accumulated[part.tensor].dtype)

    def discounted(self, sums: torch.Tensor, before: torch.Tensor | None) -> torch.Tensor:
        """The sums, multiplied by the factor where the masks before remove weights."""
        if before is None or self.removed_factor == 1:
            return sums
        return torch.where(before, sums, sums * self.removed_factor)

    def store(self, part: Part, sums: torch.Tensor, candidates: torch.Tensor | None) -> None:
        """Write the sums of this step; 0 for the weights that do not compete."""
        if self.accumulated is not None:
            found = sums if candidates is None else torch.where(candidates, sums, 0)
            part.of(self.accumulated).copy_(found)


UNDAMPED = DeviceDamping()


def accumulators(weights: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Sums of scores before the first step, of the types in which they are kept."""
    return [torch.zeros_like(one, dtype=_type(one.dtype)) for one in weights]


def _type(weights: torch.dtype) -> torch.dtype:
    return torch.float64 if weights == torch.float64 else torch.float32
