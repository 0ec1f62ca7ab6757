"""Parameters of a network, by name: views of the memory that the core owns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swiftforce import _core
from swiftforce.errors import ShapeError, UnsupportedTypeError
from swiftforce.inputs import BFLOAT16, FLOAT32, case_names, write_whole

#: The group of a parameter, by its role.
_GROUPS = {
    "weight": "weights",
    "bias": "biases",
    "scale": "biases",
    "mean": "statistics",
    "variance": "statistics",
}


class Parameters(Mapping[str, NDArray[np.float32]]):
    """Parameters of a network by name: float32 arrays that are views of the network's memory.

    Assigning an array to a name copies its numbers into that memory.

    Examples
    --------
    >>> from swiftforce import nn
    >>> net = nn.Network([nn.Linear(2, 1)])
    >>> net.weights["0.weight"] = [[3, 4]]
    >>> net.predict(np.float32([[1, 10]]))
    array([[43.]], dtype=float32)
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        self._arrays = dict(arrays)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return self._arrays[name]

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        array = self._arrays[name]
        numbers = np.asarray(value)
        if numbers.shape != array.shape:
            raise ShapeError(f"{name} has shape {array.shape}, not {numbers.shape}")
        if numbers.dtype.kind not in "fiub" and numbers.dtype.name != BFLOAT16:
            raise UnsupportedTypeError(
                f"{name} holds float32: pass real numbers, not dtype {numbers.dtype}"
            )
        # What is out of range warns, and may raise, before anything is written.
        converted = numbers.astype(FLOAT32)
        write_whole(lambda: np.copyto(array, converted))

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        """Names and shapes."""
        return f"<Parameters { ({name: array.shape for name, array in self.items()}) }>"


class ParameterGroups(NamedTuple):
    """All parameters of a network.

    Attributes
    ----------
    weights : Parameters
        Those that can be pruned.
    biases : Parameters
        The other trained ones.
    statistics : Parameters
        Running means and variances of batch normalisation.
    """

    weights: Parameters
    biases: Parameters
    statistics: Parameters


def parameter_groups(handle: object, layer_names: Sequence[str]) -> ParameterGroups:
    """The parameters of a native network, whose layers have these names."""
    groups: dict[str, dict[str, NDArray[np.float32]]] = {
        name: {} for name in ParameterGroups._fields
    }
    for view, layer, role_number, shape in _core.network_parameters(handle):
        role = case_names("role")[role_number]
        array = np.frombuffer(cast(Any, view), FLOAT32).reshape(shape)
        groups[_GROUPS[role]][f"{layer_names[layer]}.{role}"] = array
    return ParameterGroups(*(Parameters(groups[name]) for name in ParameterGroups._fields))
