"""Masks applied to weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from swiftforce.errors import OverlapError, StructureError, WeightsDifferError
from swiftforce.inputs import FLOATS, MASKS, Array, Arrays, Tensors, differences
from swiftforce.result.parts import joined
from swiftforce.result.records import PruningRecord


def apply_masks(
    weights: Arrays,
    masks: PruningRecord[Any] | Arrays,
    *,
    out: Arrays | None = None,
) -> Arrays:
    """Set removed weights to exactly zero.

    Weights are selected, not multiplied: a removed NaN or negative weight becomes 0, not NaN or -0.

    Parameters
    ----------
    weights : mapping, sequence or array of floats
    masks : Pruning, or mapping, sequence or array of bool
        The result of a search, or masks in the structure of the weights: True where kept.
    out : same structure and types as the weights, optional
        Where to write; pass the weights themselves to prune in place. New arrays by default.

    Returns
    -------
    same structure and types as the weights

    Raises
    ------
    WeightsDifferError
        If the names or shapes of a result are not those of the weights: the message says which
        are missing, unknown, or of another shape.
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
    >>> weights = {"fc": np.float32([1, -2, 3])}
    >>> sf.apply_masks(weights, sf.magnitude(weights, keep=2))
    {'fc': array([ 0., -2.,  3.], dtype=float32)}
    """
    tensors = Tensors(weights, "weights")
    kept = matching_masks(tensors, masks)
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


def matching_masks(
    tensors: Tensors, masks: PruningRecord[Any] | Arrays, role: str = "masks"
) -> tuple[Array, ...]:
    """One mask for each tensor of weights, from a result or from masks in their structure.

    Parameters
    ----------
    tensors : Tensors
    masks : PruningRecord, or structure of the weights
    role : str
        How messages name the masks.

    Raises
    ------
    WeightsDifferError
        If the names or shapes of a result are not those of the weights.
    ShapeError, StructureError, UnsupportedTypeError, LayoutError
    """
    if not isinstance(masks, PruningRecord):
        return tensors.matching(masks, role, MASKS)
    names = [layer.name for layer in masks.layers]
    found = dict(zip(names, Tensors(masks.masks, role, MASKS).arrays, strict=True))
    found = joined(found, tensors.shapes)
    if problems := differences({name: mask.shape for name, mask in found.items()}, tensors):
        raise WeightsDifferError(
            f"the masks of {masks.method} do not fit the weights: {'; '.join(problems)}"
        )
    return tuple(found[name] for name in tensors.names)


def _check_outputs(tensors: Tensors, targets: tuple[Array, ...]) -> None:
    """Refuse an output that overlaps weights that are still to be read."""
    for position, target in enumerate(targets):
        for other, weight in enumerate(tensors.arrays):
            same = other == position and target.ctypes.data == weight.ctypes.data
            if not same and np.may_share_memory(target, weight):
                raise OverlapError(
                    f"{tensors.label('out', position)} shares memory with "
                    f"{tensors.label(tensors.role, other)}"
                )


def check_not_sharded(pruning: PruningRecord[Any], masks: Tensors, purpose: str) -> None:
    """Refuse masks of a rank that has only pieces of the tensors.

    Parameters
    ----------
    pruning : PruningRecord
    masks : Tensors
        Its masks.
    purpose : str
        The verb of the message: what the masks are needed for.

    Raises
    ------
    StructureError
        If a mask has another shape than its whole tensor.
    """
    for layer, mask in zip(pruning.layers, masks.arrays, strict=True):
        if layer.shape != mask.shape:
            raise StructureError(
                f"the mask of {layer.name!r} is only a piece: shape {mask.shape} of {layer.shape}; "
                f"to {purpose} masks, put the pieces of all ranks together"
            )
