"""Parameters of a network, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike

from swiftforce.errors import ShapeError
from swiftforce.inputs import Array


class Parameters(Mapping[str, Array]):
    """Parameters of a network by name: float32 arrays that are views of its own memory.

    Putting an array in copies its numbers into that memory.

    Examples
    --------
    >>> from swiftforce import nn
    >>> net = nn.Network([nn.Linear(2, 1)])
    >>> net.weights["0.weight"] = [[3, 4]]
    >>> net.predict(np.float32([[1, 10]]))
    array([[43.]], dtype=float32)
    """

    def __init__(self, arrays: dict[str, Array]) -> None:
        self._arrays = arrays

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        array = self._arrays[name]
        numbers = np.asarray(value)
        if numbers.shape != array.shape:
            raise ShapeError(f"{name} has shape {array.shape}, not {numbers.shape}")
        array[...] = numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        """Names and shapes."""
        return f"<Parameters { ({name: array.shape for name, array in self.items()}) }>"
