"""Masks at work and at rest: applied to weights, written to files, read back."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import numpy as np

from swiftforce.errors import MaskFileError, OverlapError
from swiftforce.report import Layer, Pruning, Step
from swiftforce.sealed import Seal
from swiftforce.tensors import FLOATS, MASKS, Array, Arrays, Tensors

_SEAL = Seal("swiftforce-masks", 1, "masks", MaskFileError)


def apply_masks(weights: Arrays, masks: Arrays, *, out: Arrays | None = None) -> Arrays:
    """Weights with the removed ones replaced by exactly zero.

    A choice, not a product: a removed weight leaves no NaN and no -0 behind.

    Parameters
    ----------
    weights : mapping, sequence or array of floats
    masks : same structure, bool
        True where kept.
    out : same structure and types, optional
        Where to write; pass the weights themselves to prune in place. New arrays by default.

    Returns
    -------
    same structure and types

    Raises
    ------
    ShapeError, StructureError, UnsupportedTypeError
    LayoutError
        Also if an array of `out` is read-only; nothing is written then.
    OverlapError
        If an array of `out` shares memory with other weights than its own.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> sf.apply_masks(np.float32([1, -2, 3]), np.array([True, False, True]))
    array([1., 0., 3.], dtype=float32)
    """
    tensors = Tensors(weights, "weights")
    kept = tensors.matching(masks, "masks", MASKS)
    if out is None:
        targets = tensors.empty()
    else:
        targets = tensors.matching(out, "out", FLOATS, writable=True)
        _check_outputs(tensors, targets)
    for weight, mask, target in zip(tensors.arrays, kept, targets, strict=True):
        if target is not weight:
            np.copyto(target, weight)
        np.copyto(target, target.dtype.type(0), where=~mask)
    return tensors.restore(targets) if out is None else out


def _check_outputs(tensors: Tensors, targets: tuple[Array, ...]) -> None:
    """Refuse an output that lies where weights lie that are still to be read."""
    for position, target in enumerate(targets):
        for other, weight in enumerate(tensors.arrays):
            same = other == position and target.ctypes.data == weight.ctypes.data
            if not same and np.may_share_memory(target, weight):
                raise OverlapError(
                    f"{tensors.label('out', position)} shares memory with "
                    f"{tensors.label(tensors.role, other)}"
                )


def save(pruning: Pruning, path: str | os.PathLike[str]) -> None:
    """Write masks, method and history to a safetensors file, a bit per weight.

    The file is written aside and then renamed, so a half-written one never has its name.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be written.
    """
    masks = Tensors(pruning.masks, "masks", MASKS)
    packed = {
        name: np.packbits(mask, bitorder="little")
        for name, mask in zip(_entries(len(masks.arrays)), masks.arrays, strict=True)
    }
    about = {
        "structure": masks.structure,
        "method": pruning.method,
        "seed": pruning.seed,
        "schedule": pruning.schedule,
        "layers": [[layer.name, list(layer.shape), layer.kept] for layer in pruning.layers],
        "history": [asdict(step) for step in pruning.history],
    }
    _SEAL.write(path, packed, about)


def load(path: str | os.PathLike[str]) -> Pruning:
    """Read what `Pruning.save` wrote.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    Pruning
        With the masks in the structure they were saved in; names are strings.

    Raises
    ------
    MaskFileError
        If the file is damaged, or is not one of swiftforce.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be read.
    """
    packed, about = _SEAL.read(path)
    try:
        return _pruning(packed, about)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise MaskFileError(f"{path} is damaged: {error}") from None


def _pruning(packed: dict[str, Array], about: dict[str, Any]) -> Pruning:
    layers, masks = [], []
    for entry, (name, shape, kept) in zip(
        _entries(len(about["layers"])), about["layers"], strict=True
    ):
        size = int(np.prod(shape, dtype=np.int64))
        bits = packed[entry]
        if bits.dtype != np.uint8 or bits.shape != ((size + 7) // 8,):
            raise ValueError(f"{name} has {bits.shape} bytes of mask for {size} weights")
        mask = np.unpackbits(bits, count=size, bitorder="little").astype(bool).reshape(shape)
        if int(np.count_nonzero(mask)) != kept:
            raise ValueError(f"{name} keeps {np.count_nonzero(mask)} weights, not {kept}")
        layers.append(Layer(name, tuple(shape), size, kept))
        masks.append(mask)
    history = [
        Step(**{**step, "layer_kept": tuple(step["layer_kept"])}) for step in about["history"]
    ]
    return Pruning(
        masks=_structured(about["structure"], [layer.name for layer in layers], masks),
        method=about["method"],
        layers=tuple(layers),
        history=tuple(history),
        seed=about["seed"],
        schedule=about["schedule"],
    )


def _structured(structure: str, names: list[str], masks: list[Array]) -> Arrays:
    match structure:
        case "mapping":
            return dict(zip(names, masks, strict=True))
        case "list":
            return masks
        case "tuple":
            return tuple(masks)
        case "array":
            return masks[0]
    raise ValueError(f"unknown structure {structure!r}")


def _entries(count: int) -> list[str]:
    """Keys in the file; the layers' own names, which may be any text, stand in the metadata."""
    return [f"mask.{position}" for position in range(count)]
