"""Gradients for a search: the mean over batches, at the weights that the search passes."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swiftforce import _core
from swiftforce.inputs import FLOAT32, SINGLES, Array, Tensors
from swiftforce.native import native_call
from swiftforce.nn.parameters import Parameters
from swiftforce.nn.samples import Batches, Samples
from swiftforce.nn.settings import ScoringLoss


class _Network(Protocol):
    """What gradients need of a network."""

    _handle: object
    weights: Parameters
    statistics: Parameters


def shaped(shapes: Mapping[str, tuple[int, ...]]) -> Tensors:
    """Tensors of the shapes of weights, never read: views would keep the dense weights."""
    arrays = {name: np.empty(shape, FLOAT32) for name, shape in shapes.items()}
    return Tensors(arrays, "weights", SINGLES)


class GradientFunction:
    """From masked weights to the dense gradients of the mean loss of the next batches.

    Threads may share one: each call takes its own batches. It can be pickled and copied; a copy
    has a network of its own in another process, and shares it in this one.

    Parameters
    ----------
    network : Network
        Calls must match the names and shapes of its weights.
    samples : Samples
    batches : Batches
    batches_per_step : int
        How many batches a call averages over.
    running : bool
        Whether batch normalisation uses its running statistics.
    loss : ScoringLoss
    """

    def __init__(
        self,
        network: _Network,
        samples: Samples,
        batches: Batches,
        *,
        batches_per_step: int,
        running: bool,
        loss: ScoringLoss,
    ) -> None:
        self._network = network
        self._weights = shaped(network.weights.shapes)
        self._samples = samples
        self._batches = batches
        self._batches_per_step = batches_per_step
        self._running = running
        self._loss = loss
        #: The position of the next call's first batch.
        self._next = 0
        self._lock = threading.RLock()

    def __call__(self, weights: Mapping[str, Array]) -> dict[str, NDArray[np.float32]]:
        """The gradients at these weights, as new arrays by name."""
        return self._next_gradients(weights, of_zeros=True)

    def of_nonzero(self, weights: Mapping[str, Array]) -> dict[str, NDArray[np.float32]]:
        """The same without the gradients of weights that are zero: those may be zeros, too.

        A method that scores only what is left, by products with the weights, calls this instead:
        it costs less the more weights are zero.
        """
        return self._next_gradients(weights, of_zeros=False)

    def _next_gradients(
        self, weights: Mapping[str, Array], *, of_zeros: bool
    ) -> dict[str, NDArray[np.float32]]:
        arrays = self._weights.matching(weights, "weights", SINGLES)
        first, count = None, self._batches_per_step
        try:
            with self._lock:
                first = self._next
                self._next += count
            batches = [self._batches.rows(first + number) for number in range(count)]
            found: dict[str, NDArray[np.float32]]
            found = self._weights.restore(self._mean(arrays, batches, of_zeros=of_zeros))
            return found
        except BaseException:
            # A call that raises leaves its batches to the next, unless another went on meanwhile.
            with self._lock:
                if first is not None and self._next == first + count:
                    self._next = first
            raise

    def _mean(
        self,
        weights: Sequence[Array],
        batches: Sequence[NDArray[np.int64]],
        *,
        of_zeros: bool,
    ) -> Sequence[Array]:
        """Gradients of the mean loss over batches, each of which is normalised by itself.

        The core takes batches of one size together. A shorter one, at the end of a pass over the
        samples, is a call of its own.
        """
        if self._running or not self._network.statistics:
            groups = [list(batches)]
        else:
            groups = [list(group) for _, group in groupby(batches, key=len)]
        total = sum(map(len, batches))
        parts = []
        for group in groups:
            rows = np.concatenate(group)
            gradients = self._weights.empty(FLOAT32)
            with native_call(self._weights.label):
                _core.network_gradients(
                    self._network._handle,
                    weights,
                    gradients,
                    *self._samples,
                    rows,
                    len(group[0]),
                    self._running,
                    of_zeros,
                    *self._loss,
                )
            parts.append((len(rows) / total, gradients))
        return parts[0][1] if len(parts) == 1 else _core.ieee(lambda: self._weighted_sum(parts))

    def _weighted_sum(self, parts: Sequence[tuple[float, Sequence[Array]]]) -> Sequence[Array]:
        sums = self._weights.empty(FLOAT32)
        (first_share, first), *others = parts
        # The search finds what is not finite, and names it.
        with np.errstate(all="ignore"):
            for i in range(len(sums)):
                np.multiply(first[i], np.float32(first_share), out=sums[i])
                for share, gradients in others:
                    np.add(sums[i], np.float32(share) * gradients[i], out=sums[i])
        return sums

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the lock, and the weights, which are the network's."""
        made = ("_lock", "_weights")
        return {name: value for name, value in vars(self).items() if name not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Go on with the batches after those of the other."""
        vars(self).update(state)
        self._weights = shaped(self._network.weights.shapes)
        self._lock = threading.RLock()
