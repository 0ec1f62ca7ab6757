"""Networks in safetensors files: layers, parameters and masks."""

from __future__ import annotations

import math
import os
from dataclasses import asdict
from typing import Any

import numpy as np

from swiftforce.errors import NetworkFileError
from swiftforce.files import BITS, GAPS, FileFormat, checks, decoded_mask, encoded
from swiftforce.inputs import FLOAT32, Array
from swiftforce.nn.layers import KINDS, AnyLayer, Flattened, Residual
from swiftforce.nn.network import Network

_FORMAT = FileFormat("swiftforce-network", 2, "a network", NetworkFileError, oldest=1)
_PARAMETER = "parameter."
#: How the entries of masks begin, by their coding.
_MASKS = {BITS: "mask.", GAPS: "mask_gaps."}


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to a safetensors file: its layers, parameters and masks.

    Of a masked layer the kept weights and their positions are written: at 99 % removed, a network
    takes 1.3 % of the bytes of its weights. Momentum is not saved, since every call of
    `Network.fit` starts without it.

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
    arrays: dict[str, Array] = {}
    for name, array in network.parameters.items():
        if masks is None or name not in masks:
            arrays[f"{_PARAMETER}{name}"] = array
        else:
            arrays[f"{_PARAMETER}{name}"] = array[masks[name]]
            coding, code = encoded(masks[name])
            arrays[f"{_MASKS[coding]}{name}"] = code
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
    AllocationError
        If there is not enough memory for the parameters in the file.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be read, or is no regular file.
    """
    arrays, about = _FORMAT.read(path)
    try:
        return _network(arrays, about)
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise NetworkFileError(f"{path} is damaged: {error}") from None


def _network(arrays: dict[str, Array], about: dict[str, Any]) -> Network:
    layers = [_from_json(values) for values in checks.items(about["layers"], "the list of layers")]
    sides = checks.items(about["input_shape"], "the shape of a sample")
    # Before memory is allocated: a short text can ask for any amount of it.
    stored = {name: _stored(arrays, name, one) for name, one in Flattened(layers).shapes.items()}
    network = Network(layers, input_shape=[checks.whole(side, "a side", 1) for side in sides])
    for name, array in network.parameters.items():
        array[...] = stored[name]
    if not isinstance(about["masked"], bool):
        raise ValueError(f"masked is {checks.shown(about['masked'])}")
    if about["masked"]:
        # `Network.apply` warned of unreachable classes before the network was saved.
        network._masks.apply(
            {name: _mask(arrays, name, w.shape) for name, w in network.weights.items()}
        )
    return network


def _stored(arrays: dict[str, Array], name: str, shape: tuple[int, ...]) -> Array:
    """A parameter in the file."""
    array = arrays[f"{_PARAMETER}{name}"]
    if array.dtype != FLOAT32:
        raise ValueError(f"{name} holds {array.dtype}, not float32")
    # Format 1 holds all weights of masked layers, too.
    if array.shape == shape or not any(f"{start}{name}" in arrays for start in _MASKS.values()):
        return _shaped(array, shape, name)
    mask = _mask(arrays, name, shape)
    whole = np.zeros(shape, FLOAT32)
    whole[mask] = _shaped(array, (int(np.count_nonzero(mask)),), f"the kept part of {name}")
    return whole


def _shaped(array: Array, shape: tuple[int, ...], name: str) -> Array:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, not {shape}")
    return array


def _mask(arrays: dict[str, Array], name: str, shape: tuple[int, ...]) -> Array:
    """The mask of a weight in the file; gaps tell its size, so no short text asks for memory."""
    size = math.prod(shape)
    coding = next(each for each, start in _MASKS.items() if f"{start}{name}" in arrays)
    return decoded_mask(coding, arrays[f"{_MASKS[coding]}{name}"], size).reshape(shape)


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


def _from_json(values: Any) -> AnyLayer:  # noqa: ANN401 - from JSON
    if not isinstance(values, dict):
        raise ValueError(f"{checks.shown(values)} is no layer")
    kind = {kind.__name__: kind for kind in KINDS}[values["kind"]]
    if kind is Residual:
        return Residual(
            [_from_json(part) for part in checks.items(values["body"], "a body")],
            [_from_json(part) for part in checks.items(values["shortcut"], "a shortcut")],
        )
    if not isinstance(values.get("bias", True), bool):
        raise ValueError(f"the bias of a layer is {checks.shown(values['bias'])}")
    layer: AnyLayer = kind(**{name: value for name, value in values.items() if name != "kind"})
    return layer
