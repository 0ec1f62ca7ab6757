"""Where arrays lie in memory, and whether they overlap."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from swiftforce import _core
from swiftforce.errors import OverlapError
from swiftforce.inputs.arrays import Array
from swiftforce.inputs.tensors import Tensors

#: Where an array lies: its first byte, the byte after its last, its position in a list.
Span = tuple[int, int, int]


def spans(arrays: Sequence[Array]) -> list[Span]:
    """Where contiguous arrays lie, in the order of their addresses, without the empty ones."""
    return sorted(
        (start, start + array.nbytes, position)
        for position, (start, array) in enumerate(zip(_core.addresses(arrays), arrays, strict=True))
        if array.size
    )


def lies_in(array: Array, places: Sequence[Span]) -> bool:
    """Whether a contiguous array lies, even in part, in one of `spans` that do not overlap."""
    if not array.size:
        return False
    (start,) = _core.addresses((array,))
    return overlapping((start, start + array.nbytes, 0), places) is not None


def overlapping(span: Span, places: Sequence[Span]) -> Span | None:
    """The last of `spans` that a span overlaps, of spans that do not overlap each other."""
    start, end, _ = span
    before = bisect_left(places, (end,))
    return places[before - 1] if before > 0 and places[before - 1][1] > start else None


def check_distinct(tensors: Tensors) -> None:
    """Refuse tensors that share memory, even in part: shared weights would be counted twice."""
    arrays = tensors.arrays
    if len(arrays) == 1 or _are_apart(arrays):
        return
    for (_, end, first), (start, _, second) in pairwise(spans(arrays)):
        if start < end:
            raise OverlapError(
                f"{tensors.label(tensors.role, second)} shares memory with "
                f"{tensors.label(tensors.role, first)}: pass a shared tensor once"
            )


def _are_apart(arrays: Sequence[Array]) -> bool:
    """Whether no two contiguous arrays share memory, where none is empty."""
    starts = np.array(_core.addresses(arrays), np.uint64)
    sizes = np.array([array.nbytes for array in arrays], np.uint64)
    order = np.argsort(starts)
    ends = (starts + sizes)[order]
    return bool(sizes.all() and (ends[:-1] <= starts[order][1:]).all())
