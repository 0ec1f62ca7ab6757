"""Parts of an array along its first axis that may be layers of their own, such as experts."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from swiftforce.inputs import Array, Tensors
from swiftforce.result.layers import Layer, Layers

_PART = re.compile(r"(.*)\[(\d+)\]", re.DOTALL)
#: The longest side of the windows of convolutions that are recognised by their shapes.
_WINDOW = 11


def part_of(name: str, wholes: Container[str]) -> tuple[str, int] | None:
    """The array that ``name[3]`` is a part of, and 3; None if the name is that of an array.

    Examples
    --------
    >>> from swiftforce.result import part_of
    >>> part_of("blocks/kernel[3]", {"blocks/kernel"}), part_of("w[0]", {"w", "w[0]"})
    (('blocks/kernel', 3), None)
    """
    found = None if name in wholes else _PART.fullmatch(name)
    return (found[1], int(found[2])) if found is not None and found[1] in wholes else None


def joined(masks: Mapping[str, Array], shapes: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    """The masks of arrays of these shapes, from masks of parts of them; all else as it is.

    A part without a mask keeps everything, if another one has a mask.
    """
    found: dict[str, Array] = {}
    for name, mask in masks.items():
        part = part_of(name, shapes)
        whole, position = part or (name, 0)
        count, *shape = shapes.get(whole, ()) or (0,)
        if part is not None and position < count and mask.shape == tuple(shape):
            found.setdefault(whole, np.ones((count, *shape), np.bool_))[position] = mask
        else:
            found[name] = mask
    return found


def with_lost_parts(layers: Sequence[Layer], masks: Iterable[Array]) -> tuple[Layer, ...]:
    """The layers with the positions of their parts that keep nothing, from their masks."""
    return tuple(
        [
            replace(layer, lost=lost) if (lost := _lost(layer, mask)) else layer
            for layer, mask in zip(layers, masks, strict=True)
        ]
    )


def layers_kept(tensors: Tensors, kept: Sequence[int], masks: Sequence[Array]) -> Layers:
    """The layers of tensors with the positions of their parts that keep nothing."""
    shapes = [array.shape for array in tensors.arrays]
    lost = {}
    # No others have parts, and there may be many.
    for place in [place for place, shape in enumerate(shapes) if len(shape) > 2]:
        layer = Layer(tensors.names[place], shapes[place], tensors.sizes[place], kept[place])
        if found := _lost(layer, masks[place]):
            lost[place] = found
    return Layers(tensors.names, shapes, tensors.sizes, kept, lost)


def _lost(layer: Layer, mask: Array) -> tuple[int, ...]:
    # Of a mask that several ranks hold, one has no part as a whole.
    if mask.size != layer.size:
        return ()
    # If nothing is kept at all, that is said of the whole.
    if not 0 < layer.kept < layer.size or not has_parts(layer.name, layer.shape):
        return ()
    kept = np.reshape(mask, (layer.shape[0], -1)).any(axis=1)
    return tuple(int(position) for position in np.flatnonzero(~kept))


def has_parts(name: str, shape: Sequence[int]) -> bool:
    """Whether the first axis of an array may count layers, experts or heads.

    Not that of a convolution, whose units and positions may well lose all their weights.

    Examples
    --------
    >>> from swiftforce.result import has_parts
    >>> has_parts("blocks/kernel", (12, 64, 256)), has_parts("conv1/kernel", (3, 3, 64, 64))
    (True, False)
    """
    if len(shape) < 3 or not 1 < shape[0] <= max(shape[1:]) or "conv" in name.lower():
        return False
    if len(shape) > 3:
        # Windows come first in JAX, and last in torch.
        return max(shape[:-2]) > _WINDOW and max(shape[2:]) > _WINDOW
    return not (shape[2] <= _WINDOW and 4 * shape[2] <= shape[1])
