"""Networks in safetensors files: layers, parameters and masks."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import numpy as np

from swiftforce.errors import ArchitectureError, NetworkFileError
from swiftforce.files import FileFormat
from swiftforce.inputs import FLOAT32, Array
from swiftforce.nn.layers import KINDS, AnyLayer, Residual
from swiftforce.nn.network import Network

_FORMAT = FileFormat("swiftforce-network", 1, "a network", NetworkFileError)
_PARAMETER, _MASK = "parameter.", "mask."


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to a safetensors file: its layers, parameters and masks, one bit per weight.

    Momentum is not saved, since every call of `Network.fit` starts without it.

    Parameters
    ----------
    network : Network
    path : str or os.PathLike
        A file of that name is replaced.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from swiftforce import nn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "network.safetensors")
    ...     nn.save(nn.lenet5(seed=1), path)
    ...     nn.load(path).weights["0.weight"].shape
    (6, 1, 5, 5)
    """
    masks = network.masks
    arrays: dict[str, Array] = {
        f"{_PARAMETER}{name}": array for name, array in network.parameters.items()
    }
    for name, mask in (masks or {}).items():
        arrays[f"{_MASK}{name}"] = np.packbits(mask, bitorder="little")
    about = {
        "layers": [_to_json(layer) for layer in network.layers],
        "input_shape": list(network.input_shape),
        "masked": masks is not None,
    }
    _FORMAT.write(path, arrays, about)


def load(path: str | os.PathLike[str]) -> Network:
    """Read a network that `save` wrote.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    Network
        Its seed is 0, whatever the seed of the saved network was.

    Raises
    ------
    NetworkFileError
        If the file is damaged, or is not a file that `save` wrote.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be read.
    """
    arrays, about = _FORMAT.read(path)
    try:
        network = Network(
            [_from_json(values) for values in about["layers"]], input_shape=about["input_shape"]
        )
        for name, array in network.parameters.items():
            stored = arrays[f"{_PARAMETER}{name}"]
            if stored.dtype != FLOAT32:
                raise ValueError(f"{name} holds {stored.dtype}, not float32")
            array[...] = _shaped(stored, array.shape, name)
        if about["masked"]:
            # `Network.apply` warned of unreachable classes before the network was saved.
            network._masks.apply(
                {name: _mask(arrays, name, w.shape) for name, w in network.weights.items()}
            )
    except (ArchitectureError, LookupError, TypeError, ValueError) as error:
        raise NetworkFileError(f"{path} is damaged: {error}") from None
    return network


def _shaped(array: Array, shape: tuple[int, ...], name: str) -> Array:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, not {shape}")
    return array


def _mask(arrays: dict[str, Array], name: str, shape: tuple[int, ...]) -> Array:
    size = int(np.prod(shape, dtype=np.int64))
    bits = _shaped(arrays[f"{_MASK}{name}"], ((size + 7) // 8,), f"the mask of {name}")
    return np.unpackbits(bits, count=size, bitorder="little").astype(bool).reshape(shape)


def _to_json(layer: AnyLayer) -> dict[str, Any]:
    """A layer as JSON values."""
    if isinstance(layer, Residual):
        return {
            "kind": "Residual",
            "body": [_to_json(part) for part in layer.body],
            "shortcut": [_to_json(part) for part in layer.shortcut],
        }
    # Sizes may be numbers of numpy, which JSON does not take.
    sizes = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in asdict(layer).items()
    }
    return {"kind": type(layer).__name__, **sizes}


def _from_json(values: dict[str, Any]) -> AnyLayer:
    kind = {kind.__name__: kind for kind in KINDS}[values["kind"]]
    if kind is Residual:
        return Residual(
            [_from_json(part) for part in values["body"]],
            [_from_json(part) for part in values["shortcut"]],
        )
    layer: AnyLayer = kind(**{name: value for name, value in values.items() if name != "kind"})
    return layer
