"""Masks at work and at rest: applied to weights, written to files, read back."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import numpy as np

from swiftforce.errors import MaskFileError, OverlapError, StructureError, WeightsDifferError
from swiftforce.files import FileFormat, packed_masks, unpacked_mask
from swiftforce.inputs import FLOATS, MASKS, Array, Arrays, Tensors, differences
from swiftforce.report import Layer, Pruning, Step

_FORMAT = FileFormat("swiftforce-masks", 1, "masks", MaskFileError)


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
    StructureError
        If the masks are pieces of whole tensors, as one of several ranks has them.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be written.
    """
    masks = Tensors(pruning.masks, "masks", MASKS)
    check_whole(pruning, masks, "save")
    about = {
        "structure": masks.structure,
        "method": pruning.method,
        "sparsity": pruning.sparsity,
        "steps": pruning.steps,
        "seed": pruning.seed,
        "schedule": pruning.schedule,
        "layers": [[layer.name, list(layer.shape), layer.kept] for layer in pruning.layers],
        "history": [asdict(step) for step in pruning.history],
    }
    _FORMAT.write(path, packed_masks(masks.arrays), about)


def check_whole(pruning: Pruning, masks: Tensors, purpose: str) -> None:
    """Refuse masks that are pieces of whole tensors, as one of several ranks has them.

    Raises
    ------
    StructureError
        It says that all pieces are needed for the purpose.
    """
    for layer, mask in zip(pruning.layers, masks.arrays, strict=True):
        if layer.shape != mask.shape:
            raise StructureError(
                f"the mask of {layer.name!r} is a piece of {mask.shape} of its {layer.shape}: "
                f"put the pieces of all ranks together to {purpose} them"
            )


def load(path: str | os.PathLike[str], weights: Arrays | None = None) -> Pruning:
    """Read what `Pruning.save` wrote.

    Parameters
    ----------
    path : path
        The file.
    weights : mapping, sequence or array, optional
        Weights that the masks must fit: the same names and shapes, in any order and type.

    Returns
    -------
    Pruning
        With the masks in the structure they were saved in; names are strings.

    Raises
    ------
    MaskFileError
        If the file is damaged, or is not one of swiftforce.
    WeightsDifferError
        If the masks do not fit the weights: the message says which are missing, unknown, or of
        another shape.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be read.
    """
    packed, about = _FORMAT.read(path)
    try:
        pruning = _pruning(packed, about)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise MaskFileError(f"{path} is damaged: {error}") from None
    if weights is not None:
        expected = {layer.name: layer.shape for layer in pruning.layers}
        if found := differences(expected, Tensors(weights, "weights")):
            raise WeightsDifferError(f"{path} holds masks of other weights: {'; '.join(found)}")
    return pruning


def _pruning(packed: dict[str, Array], about: dict[str, Any]) -> Pruning:
    layers, masks = [], []
    for position, (name, shape, kept) in enumerate(about["layers"]):
        mask = unpacked_mask(packed, position, name, tuple(shape), kept)
        layers.append(Layer(name, tuple(shape), mask.size, kept))
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
