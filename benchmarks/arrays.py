"""Random weights and gradients, in many tensors of unequal sizes and scales, as in a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Correlation of the gradients of two successive steps.
DRIFT = 0.95
TENSORS = 50


def sizes(total: int, tensors: int = TENSORS) -> list[int]:
    """Sizes of tensors with `total` elements in all, the largest 400 times the smallest."""
    shares = np.geomspace(1, 400, tensors)
    # Large and small tensors alternate, as convolutions and other layers do.
    shares = np.concatenate([shares[::2], shares[1::2][::-1]])
    found = [max(1, int(total * share / shares.sum())) for share in shares]
    found[int(np.argmax(found))] += total - sum(found)
    return found


@dataclass
class Problem:
    """Weights, and gradients generated in advance so that this is not timed.

    Attributes
    ----------
    weights : list of array
    alternating : list of list of array
        Two independent sets of gradients.
    drifting : list of list of array
        Sets that each follow from the one before: ``0.95 g + noise``, with the same variance.
    """

    weights: list[Array]
    alternating: list[list[Array]]
    drifting: list[list[Array]] = field(default_factory=list)

    @property
    def gradients(self) -> list[Array]:
        """The gradients of a single step."""
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
    """A problem with `total` weights and this many sets of gradients of each kind."""
    rng = np.random.default_rng(seed)
    shape = sizes(total)
    kind = dtype_of(dtype)
    spread = np.float32((2 / np.sqrt(shape)) ** 0.5)  # of weights: Kaiming-normal
    scales = np.float32(np.exp(rng.normal(-4, 0.5, len(shape)))) / spread
    weights = _random_arrays(rng, shape, spread, kind)
    sets = [_random_arrays(rng, shape, scales, kind) for _ in range(alternating)]
    chain = [sets[0]]
    for _ in range(drifting - 1):
        chain.append(_drifted_arrays(rng, chain[-1], scales, kind))
    return Problem(weights, sets, chain if drifting else [])


def dtype_of(name: str) -> np.dtype[Any]:
    """The dtype of a name; bfloat16 is the type of ml_dtypes."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def back_and_forth(sets: Sequence[list[Array]]) -> Iterator[list[Array]]:
    """Sets without end, forwards and backwards: 0 1 2 1 0 1 2 ..."""
    order = [*range(len(sets)), *range(len(sets) - 2, 0, -1)]
    while True:
        for position in order:
            yield sets[position]


def _random_arrays(
    rng: np.random.Generator, shape: Sequence[int], scales: Array, kind: np.dtype[Any]
) -> list[Array]:
    found = []
    for size, scale in zip(shape, scales, strict=True):
        array = rng.standard_normal(size, dtype=np.float32)
        array *= scale
        found.append(array.astype(kind, copy=False))
    return found


def _drifted_arrays(
    rng: np.random.Generator, before: list[Array], scales: Array, kind: np.dtype[Any]
) -> list[Array]:
    found = []
    for array, scale in zip(before, scales, strict=True):
        noise = rng.standard_normal(array.size, dtype=np.float32)
        noise *= np.float32((1 - DRIFT**2) ** 0.5) * scale
        noise += np.float32(DRIFT) * array.astype(np.float32, copy=False)
        found.append(noise.astype(kind, copy=False))
    return found
