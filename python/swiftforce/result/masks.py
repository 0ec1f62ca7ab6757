"""Masks applied to weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from swiftforce.errors import OverlapError, StructureError
from swiftforce.inputs import FLOATS, MASKS, Array, Arrays, Tensors
from swiftforce.result.records import PruningRecord


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


def check_not_sharded(pruning: PruningRecord[Any], masks: Tensors, purpose: str) -> None:
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
