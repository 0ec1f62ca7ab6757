"""Masks applied to weights."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from swiftforce.adapters import listed
from swiftforce.errors import (
    OverlapError,
    StructureError,
    UnsupportedTypeError,
    WeightsDifferError,
)
from swiftforce.inputs import (
    FLOATS,
    MASK,
    MASKS,
    Array,
    Arrays,
    Tensors,
    differences,
    overlapping,
    spans,
    write_whole,
)
from swiftforce.result.parts import joined
from swiftforce.result.records import PruningRecord, masks_of


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
        Mappings and sequences may hold others.
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
        If an array of `out` shares memory with another one, with masks, or with weights that are
        not its own, or only in part.

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
        _check_outputs(tensors, kept, targets)
    # All memory is there before anything is written.
    removed = np.empty(max(tensors.sizes), MASK)

    def write() -> None:
        for weight, mask, target in zip(tensors.arrays, kept, targets, strict=True):
            if target is not weight:
                np.copyto(target, weight)
            where = removed[: mask.size].reshape(mask.shape)
            np.copyto(target, target.dtype.type(0), where=np.logical_not(mask, out=where))

    write_whole(write)
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
    given = Tensors(masks.masks, role, MASKS)
    # Adapters have another name for an array that is all there is.
    alone = tensors.structure == given.structure == "array"
    found = dict(zip(tensors.names if alone else given.names, given.arrays, strict=True))
    # A result of swiftforce.jax also has masks of leaves that were not searched: all True.
    wanted = {*tensors.names, *(layer.name for layer in masks.layers)}
    found = {name: mask for name, mask in found.items() if name in wanted}
    found = joined(found, tensors.shapes)
    if problems := differences({name: mask.shape for name, mask in found.items()}, tensors):
        raise WeightsDifferError(
            f"the masks of {masks.method} do not fit the weights: {'; '.join(problems)}"
        )
    return tuple(found[name] for name in tensors.names)


def masks_by_name(
    masks: PruningRecord[Any] | Arrays, shapes: Mapping[str, tuple[int, ...]], source: str
) -> dict[str, Array]:
    """Masks by the names of the tensors that they are of; other tensors may have none.

    Parameters
    ----------
    masks : PruningRecord, or mapping of str to array of bool
    shapes : mapping of str to tuple of int
        Of all tensors.
    source : str
        How messages name the masks.

    Raises
    ------
    WeightsDifferError
        If a tensor is missing or has another shape; the message lists the differences.
    ShapeError, StructureError, UnsupportedTypeError, LayoutError
    """
    given = Tensors(masks_of(masks), "masks", MASKS, may_be_empty=True)
    found = joined(dict(zip(given.names, given.arrays, strict=True)), shapes)
    wrong = []
    if missing := [name for name in found if name not in shapes]:
        wrong.append(f"{listed(missing)} missing")
    wrong += [
        f"{name!r} has shape {shapes[name]}, not {mask.shape}"
        for name, mask in found.items()
        if name in shapes and shapes[name] != mask.shape
    ]
    if wrong:
        raise WeightsDifferError(f"{source} holds masks of other weights: {'; '.join(wrong)}")
    return found


def _check_outputs(tensors: Tensors, masks: tuple[Array, ...], targets: tuple[Array, ...]) -> None:
    """Refuse outputs of other types, and those that overlap what is still to be read."""
    for position, (weight, target) in enumerate(zip(tensors.arrays, targets, strict=True)):
        if target.dtype != weight.dtype:
            raise UnsupportedTypeError(
                f"{tensors.label('out', position)} has dtype {target.dtype} where "
                f"{tensors.label(tensors.role, position)} has {weight.dtype}: numbers are not "
                "converted"
            )
    places = spans(targets)
    for (_, end, first), (start, _, second) in pairwise(places):
        if start < end:
            raise _overlap(tensors, second, "out", first)
    for role, arrays in ((tensors.role, tensors.arrays), ("masks", masks)):
        for span in spans(arrays):
            found = overlapping(span, places)
            # An output may be its own weights, but no part of them.
            if found is not None and (role == "masks" or found != span):
                raise _overlap(tensors, found[2], role, span[2])


def _overlap(tensors: Tensors, position: int, role: str, other: int) -> OverlapError:
    return OverlapError(
        f"{tensors.label('out', position)} shares memory with {tensors.label(role, other)}: "
        "pass arrays of their own, or the weights themselves"
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
