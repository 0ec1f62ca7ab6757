"""Networks in files: layers, parameters and masks, written and read back."""

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
    _FORMAT.write(path, arrays, about)


def load(path: str | os.PathLike[str]) -> Network:
    """Read what `save` wrote.

    Raises
    ------
    NetworkFileError
        If the file is damaged, or is not one of a network of swiftforce.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be read.
    """
    arrays, about = _FORMAT.read(path)
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
            # Whoever made the masks was warned of them.
            network._apply([_mask(arrays, name, w.shape) for name, w in network.weights.items()])
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
    # Sizes may be numpy's numbers, of which JSON knows nothing.
    sizes = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in asdict(layer).items()
    }
    return {"kind": type(layer).__name__, **sizes}


def _layer(plain: dict[str, Any]) -> AnyLayer:
    kind = {kind.__name__: kind for kind in KINDS}[plain["kind"]]
    if kind is Residual:
        return Residual(
            [_layer(part) for part in plain["body"]], [_layer(part) for part in plain["shortcut"]]
        )
    layer: AnyLayer = kind(**{name: value for name, value in plain.items() if name != "kind"})
    return layer
