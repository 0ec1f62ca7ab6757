"""Weights and gradients as a network has them: many tensors of unequal sizes and scales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: How much of a gradient one step of training leaves as it was.
DRIFT = 0.95
TENSORS = 50


def sizes(total: int, tensors: int = TENSORS) -> list[int]:
    """So many elements in so many tensors, the largest some hundred times the smallest."""
    shares = np.geomspace(1, 400, tensors)
    # Large and small ones alternate, as convolutions and the layers around them do.
    shares = np.concatenate([shares[::2], shares[1::2][::-1]])
    found = [max(1, int(total * share / shares.sum())) for share in shares]
    found[int(np.argmax(found))] += total - sum(found)
    return found


@dataclass
class Problem:
    """Weights, and gradients that are prepared so that making them is not timed.

    Attributes
    ----------
    weights : list of array
    alternating : list of list of array
        Two sets of gradients with nothing in common.
    drifting : list of list of array
        Sets of which each follows from the one before: ``0.95 g + noise`` of the same variance.
    """

    weights: list[Array]
    alternating: list[list[Array]]
    drifting: list[list[Array]] = field(default_factory=list)

    @property
    def gradients(self) -> list[Array]:
        """Those of a single step."""
        return self.alternating[0]

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(array.size for array in self.weights)

    @property
    def bytes(self) -> int:
        """Size of weights and one set of gradients."""
        return sum(array.nbytes for array in (*self.weights, *self.gradients))


def problem(
    total: int, dtype: str = "float32", *, alternating: int = 2, drifting: int = 0, seed: int = 1
) -> Problem:
    """A problem of this many weights, with so many sets of gradients of each kind."""
    rng = np.random.default_rng(seed)
    shape = sizes(total)
    kind = dtype_of(dtype)
    spread = np.float32((2 / np.sqrt(shape)) ** 0.5)  # of weights: as He and others draw them
    scales = np.float32(np.exp(rng.normal(-4, 0.5, len(shape)))) / spread
    weights = _drawn(rng, shape, spread, kind)
    sets = [_drawn(rng, shape, scales, kind) for _ in range(alternating)]
    chain = [sets[0]]
    for _ in range(drifting - 1):
        chain.append(_drifted(rng, chain[-1], scales, kind))
    return Problem(weights, sets, chain if drifting else [])


def dtype_of(name: str) -> np.dtype[Any]:
    """The dtype of that name; bfloat16 is that of ml_dtypes."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def back_and_forth(sets: Sequence[list[Array]]) -> Iterator[list[Array]]:
    """Sets without end, each next to the one before it: 0 1 2 1 0 1 2 ..."""
    order = [*range(len(sets)), *range(len(sets) - 2, 0, -1)]
    while True:
        for position in order:
            yield sets[position]


def _drawn(
    rng: np.random.Generator, shape: Sequence[int], scales: Array, kind: np.dtype[Any]
) -> list[Array]:
    found = []
    for size, scale in zip(shape, scales, strict=True):
        array = rng.standard_normal(size, dtype=np.float32)
        array *= scale
        found.append(array.astype(kind, copy=False))
    return found


def _drifted(
    rng: np.random.Generator, before: list[Array], scales: Array, kind: np.dtype[Any]
) -> list[Array]:
    found = []
    for array, scale in zip(before, scales, strict=True):
        noise = rng.standard_normal(array.size, dtype=np.float32)
        noise *= np.float32((1 - DRIFT**2) ** 0.5) * scale
        noise += np.float32(DRIFT) * array.astype(np.float32, copy=False)
        found.append(noise.astype(kind, copy=False))
    return found
