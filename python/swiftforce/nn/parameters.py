"""Parameters of a network, by name: views of the memory that the core owns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swiftforce import _core
from swiftforce.errors import ShapeError, UnsupportedTypeError
from swiftforce.inputs import BFLOAT16, FLOAT32, case_names, write_whole
from swiftforce.native import native_call

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

    Parameters
    ----------
    handle : object
        The native network.
    places : mapping of str to (int, tuple of int)
        The number and the shape of each parameter.

    Notes
    -----
    A masked layer that computes over its kept weights keeps no others. It gets memory for all of
    them while an array of them exists: drop arrays that you no longer need.

    Examples
    --------
    >>> from swiftforce import nn
    >>> net = nn.Network([nn.Linear(2, 1)])
    >>> net.weights["0.weight"] = [[3, 4]]
    >>> net.predict(np.float32([[1, 10]]))
    array([[43.]], dtype=float32)
    """

    def __init__(self, handle: object, places: Mapping[str, tuple[int, tuple[int, ...]]]) -> None:
        self._handle = handle
        self._places = dict(places)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter; takes no memory, unlike the arrays."""
        return {name: shape for name, (_, shape) in self._places.items()}

    @property
    def size(self) -> int:
        """How many numbers they are together."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        number, shape = self._places[name]
        with native_call():
            view = _core.network_view(self._handle, number)
        return np.frombuffer(cast(Any, view), FLOAT32).reshape(shape)

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        array = self[name]
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
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        """Names and shapes."""
        return f"<Parameters {self.shapes}>"

    def __reduce__(self) -> tuple[type, tuple[dict[str, NDArray[np.float32]]]]:
        """Copies and pickles are dictionaries of copies."""
        return dict, ({name: array.copy() for name, array in self.items()},)


class ParameterGroups(NamedTuple):
    """The parameters of a network.

    Attributes
    ----------
    all : Parameters
        All of them, in the core's order.
    weights : Parameters
        Those that can be pruned.
    biases : Parameters
        The other trained ones.
    statistics : Parameters
        Running means and variances of batch normalisation.
    """

    all: Parameters
    weights: Parameters
    biases: Parameters
    statistics: Parameters


def parameter_groups(handle: object, layer_names: Sequence[str]) -> ParameterGroups:
    """The parameters of a native network, whose layers have these names."""
    groups: dict[str, dict[str, tuple[int, tuple[int, ...]]]] = {
        name: {} for name in ParameterGroups._fields
    }
    for number, (layer, role_number, shape) in enumerate(_core.network_parameters(handle)):
        role = case_names("role")[role_number]
        for group in ("all", _GROUPS[role]):
            groups[group][f"{layer_names[layer]}.{role}"] = number, shape
    return ParameterGroups(**{name: Parameters(handle, places) for name, places in groups.items()})
