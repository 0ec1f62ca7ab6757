"""Which weights compete in a step on a device, and by which scores; sums and transfers of them.

What must not live here: what a score is (`scores`), and which weights are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from swiftforce.torch.device.damping import DeviceDamping
from swiftforce.torch.device.scores import DeviceScores, Part

Tensors = Sequence[torch.Tensor]


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
class Contest:
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


def sum_of(values: torch.Tensor, counted: torch.Tensor | None) -> torch.Tensor:
    """The sum of the values, or of those that count, in float64."""
    if counted is not None:
        # Not a product: a score that does not count may be infinite.
        values = torch.where(counted, values, 0)
    return values.sum(dtype=torch.float64)


def total_of(numbers: Sequence[torch.Tensor]) -> torch.Tensor:
    """The sum of numbers on the device."""
    return torch.stack(list(numbers)).sum()


def fetched(
    integers: Sequence[torch.Tensor], floats: Sequence[torch.Tensor]
) -> tuple[list[int], list[float]]:
    """Numbers on the host, all at once: the one place that waits for the device."""
    bits = [one.reshape(()).to(torch.int64) for one in integers]
    bits += [one.reshape(()).to(torch.float64).view(torch.int64) for one in floats]
    numbers = torch.stack(bits).cpu().numpy()
    count = len(integers)
    return numbers[:count].tolist(), numbers[count:].view(np.float64).tolist()


def score_of(key: int, *, is_wide: bool) -> float:
    """The score of a key."""
    kind, value = (np.int64, np.float64) if is_wide else (np.int32, np.float32)
    largest = np.iinfo(kind).max
    bits = key if key >= 0 else key ^ largest
    return float(np.array([bits], kind).view(value)[0])
