"""The arrays that a search writes: two alternating sets of masks, and the masked weights."""

from __future__ import annotations

from typing import Literal

import numpy as np

from swiftforce.errors import OverlapError
from swiftforce.inputs import MASK, Array, Arrays, Tensors, lies_in, read_only, spans


class SearchBuffers:
    """The masks of a search's last two steps, and its masked weights.

    A step never writes over the masks that it starts from, so a step that fails changes nothing.

    Parameters
    ----------
    tensors : Tensors
        The dense weights.
    masked_weights : structure of the weights or False, optional
        Where the masked weights are written; new arrays by default, nowhere if False.
    steps : int
        Of the whole search. A search of one step needs no masked weights to continue with.

    Attributes
    ----------
    masked : tuple of array, or None
        The masked weights; None for a search of one step, or if they are not wanted.

    Raises
    ------
    StructureError, ShapeError, UnsupportedTypeError, LayoutError
    OverlapError
        If an array of `masked_weights` shares memory with the weights.
    """

    def __init__(
        self, tensors: Tensors, masked_weights: Arrays | Literal[False] | None, *, steps: int
    ) -> None:
        self._tensors = tensors
        # By the parity of the step.
        self._masks: dict[int, tuple[Array, ...]] = {}
        self.masked: tuple[Array, ...] | None = None
        if steps > 1 and masked_weights is None:
            self.masked = tensors.empty()
        elif steps > 1 and masked_weights is not False:
            self.masked = self._given(masked_weights)
        self._written = [] if self.masked is None else spans(self.masked)

    def _given(self, masked_weights: Arrays) -> tuple[Array, ...]:
        """The caller's arrays for masked weights."""
        tensors = self._tensors
        masked = tensors.matching(masked_weights, "masked weights", writable=True)
        places = spans(tensors.arrays)
        for position, array in enumerate(masked):
            if lies_in(array, places):
                raise OverlapError(
                    f"{tensors.label('masked weights', position)} shares memory with weights: "
                    "pass a copy of one of them"
                )
        return masked

    def masks(self, step: int) -> tuple[Array, ...]:
        """The masks of a step, which are those that the step two later writes."""
        if step % 2 not in self._masks:
            self._masks[step % 2] = self._tensors.empty(MASK)
        return self._masks[step % 2]

    def release_masks(self, step: int) -> None:
        """Free the memory of the masks of a step, until a step writes there again."""
        self._masks.pop(step % 2, None)

    def shown_masks(self, step: int) -> tuple[Array, ...]:
        """The masks of a step as read-only views; all True before the first."""
        if step:
            return tuple([read_only(mask) for mask in self.masks(step)])
        return tuple([read_only(np.ones(one.shape, MASK)) for one in self._tensors.arrays])

    def shown_weights(self, step: int) -> tuple[Array, ...]:
        """The weights with those removed after a step replaced by zero, as read-only views."""
        arrays = self._tensors.arrays
        if step and self.masked is not None:
            arrays = self.masked
        elif step:
            arrays = tuple(
                np.where(mask, weight, weight.dtype.type(0))
                for mask, weight in zip(self.masks(step), arrays, strict=True)
            )
        return tuple([read_only(array) for array in arrays])

    def restore(self, step: int, masks: tuple[Array, ...]) -> None:
        """Take over the masks of a step, none before the first, and write the masked weights."""
        if step:
            self._masks = {step % 2: masks}
        for weight, masked in zip(self._tensors.arrays, self.masked or (), strict=False):
            np.copyto(masked, weight)
        for mask, masked in zip(masks, self.masked or (), strict=False):
            np.copyto(masked, masked.dtype.type(0), where=~mask)

    def apart(self, gradients: tuple[Array, ...]) -> tuple[Array, ...]:
        """Gradients of which none lies in the masked weights, which a step writes: copied there."""
        if not self._written:
            return gradients
        # A caller's function may return the masked weights that it was given.
        return tuple(
            gradient.copy() if lies_in(gradient, self._written) else gradient
            for gradient in gradients
        )
