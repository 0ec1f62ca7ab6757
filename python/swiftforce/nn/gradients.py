"""Gradients for a search: the mean over batches, at the weights that the search passes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from swiftforce import _core
from swiftforce.inputs import FLOAT32, SINGLES, Array, Tensors
from swiftforce.native import native_call
from swiftforce.nn.samples import Samples


class GradientFunction:
    """From masked weights to the dense gradients of the mean cross entropy of the next batches.

    Threads may share one: each call takes its own batches.

    Parameters
    ----------
    handle : object
        The native network.
    weights : Tensors
        The network's weights, whose names and shapes calls must match.
    samples : Samples
    batches : iterator of array of int64
        Row numbers of each batch, without end.
    batches_per_step : int
        How many batches a call averages over.
    running : bool
        Whether batch normalisation uses its running statistics.
    normalises : bool
        Whether the network has batch normalisation.
    """

    def __init__(
        self,
        handle: object,
        weights: Tensors,
        samples: Samples,
        batches: Iterator[NDArray[np.int64]],
        *,
        batches_per_step: int,
        running: bool,
        normalises: bool,
    ) -> None:
        self._handle = handle
        self._weights = weights
        self._samples = samples
        self._batches = batches
        self._batches_per_step = batches_per_step
        self._running = running
        self._normalises = normalises
        self._lock = threading.Lock()

    def __call__(self, weights: Mapping[str, Array]) -> dict[str, NDArray[np.float32]]:
        """The gradients at these weights, as new arrays by name."""
        arrays = self._weights.matching(weights, "weights", SINGLES)
        with self._lock:
            batches = [next(self._batches) for _ in range(self._batches_per_step)]
        result: dict[str, NDArray[np.float32]] = self._weights.restore(self._mean(arrays, batches))
        return result

    def _mean(
        self, weights: Sequence[Array], batches: Sequence[NDArray[np.int64]]
    ) -> Sequence[Array]:
        """Gradients of the mean loss over batches, each of which is normalised by itself.

        The core takes batches of one size together. A shorter one, at the end of a pass over the
        samples, is a call of its own.
        """
        if self._running or not self._normalises:
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
                    self._handle,
                    weights,
                    gradients,
                    *self._samples,
                    rows,
                    len(group[0]),
                    self._running,
                )
            parts.append((len(rows) / total, gradients))
        return parts[0][1] if len(parts) == 1 else _core.ieee(lambda: self._weighted_sum(parts))

    def _weighted_sum(self, parts: Sequence[tuple[float, Sequence[Array]]]) -> Sequence[Array]:
        sums = self._weights.empty(FLOAT32)
        (first_share, first), *others = parts
        for i in range(len(sums)):
            np.multiply(first[i], np.float32(first_share), out=sums[i])
            for share, gradients in others:
                np.add(sums[i], np.float32(share) * gradients[i], out=sums[i])
        return sums
