"""Networks in files: layers, parameters and masks, written and read back."""

from __future__ import annotations

import os
import warnings
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from swiftforce.errors import ArchitectureError, NetworkFileError, UnreachableClassWarning
from swiftforce.layers import KINDS, AnyLayer, Residual
from swiftforce.network import Network
from swiftforce.sealed import Seal
from swiftforce.tensors import FLOAT32, Array

_SEAL = Seal("swiftforce-network", 1, "a network", NetworkFileError)
_PARAMETER, _MASK = "parameter.", "mask."


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to a safetensors file: its parameters, and its masks with a bit per weight.

    Momentum is not kept: training that goes on starts anew, as every call of `Network.fit` does.

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
        "layers": [_plain(layer) for layer in network.layers],
        "input_shape": list(network.input_shape),
        "masked": masks is not None,
    }
    _SEAL.write(path, arrays, about)


def load(path: str | os.PathLike[str]) -> Network:
    """Read what `save` wrote.

    Raises
    ------
    NetworkFileError, UnreachableClassWarning
        If the file is damaged, or is not one of a network of swiftforce.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be read.
    """
    arrays, about = _SEAL.read(path)
    try:
        network = Network(
            [_layer(plain) for plain in about["layers"]], input_shape=about["input_shape"]
        )
        for name, array in network.parameters.items():
            found = arrays[f"{_PARAMETER}{name}"]
            if found.dtype != FLOAT32:
                raise ValueError(f"{name} holds {found.dtype}, not float32")
            array[...] = _shaped(found, array.shape, name)
        if about["masked"]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnreachableClassWarning)
                network.apply(
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


def _plain(layer: AnyLayer) -> dict[str, Any]:
    """A layer as text can hold it."""
    if isinstance(layer, Residual):
        return {
            "kind": "Residual",
            "body": [_plain(part) for part in layer.body],
            "shortcut": [_plain(part) for part in layer.shortcut],
        }
    return {"kind": type(layer).__name__, **asdict(layer)}


def _layer(plain: dict[str, Any]) -> AnyLayer:
    kind = {kind.__name__: kind for kind in KINDS}[plain["kind"]]
    if kind is Residual:
        return Residual(
            [_layer(part) for part in plain["body"]], [_layer(part) for part in plain["shortcut"]]
        )
    known = {field.name for field in fields(kind)}
    layer: AnyLayer = kind(**{name: value for name, value in plain.items() if name in known})
    return layer
