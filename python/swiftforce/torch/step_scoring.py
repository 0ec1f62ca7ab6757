"""What computes the numbers that each step of a search scores weights by: what all kinds share.

Which method has which kind does not belong here (`scoring`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

import torch

from swiftforce.adapters import endless


class Scoring:
    """Computes what the core scores each step by: nothing, for methods that need weights alone.

    Parameters
    ----------
    batches : iterable
    count : int
        Number of batches that a step takes.
    """

    def __init__(self, batches: Iterable[Any], count: int) -> None:
        self._queue: Iterator[Any] = endless(batches)
        self._count = count
        self._skipped = False

    @property
    def are_scores(self) -> bool:
        """Whether what it returns are scores themselves."""
        return False

    def __call__(self) -> list[torch.Tensor] | None:
        """Gradients of the next step, one for each parameter."""
        return None

    @property
    def contexts(self) -> tuple[AbstractContextManager[Any], ...]:
        """What the steps are taken inside of."""
        return ()

    def begin_batches_by(self, begin_batch: Callable[[], None]) -> None:
        """Call a function before each batch."""

    def check_reached(self) -> None:
        """Refuse parameters that no batch has reached.

        Raises
        ------
        MissingGradientsError
            On all ranks.
        """

    def skip(self, steps: int) -> None:
        """Consume the batches of that many steps."""
        for _ in range(steps):
            deque(self._take(), maxlen=0)
        self._skipped = self._skipped or steps > 0

    def _take(self) -> Iterator[Any]:
        """The batches of the next step."""
        return islice(self._queue, self._count)
