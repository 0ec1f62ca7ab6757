"""Parts of an array along its first axis that may be layers of their own, such as experts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from swiftforce.inputs import Array
from swiftforce.result.records import Layer

#: The longest side of the windows of convolutions that are recognised by their shapes.
_WINDOW = 11


def with_lost_parts(layers: Sequence[Layer], masks: Iterable[Array]) -> tuple[Layer, ...]:
    """The layers with the positions of their parts that keep nothing, from their masks."""
    return tuple(
        replace(layer, lost=_lost(layer, mask)) for layer, mask in zip(layers, masks, strict=True)
    )


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
