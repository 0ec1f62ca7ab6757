"""The arrays that a search writes: two sets of masks, the masked weights, accumulated scores."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from swiftforce.errors import OverlapError
from swiftforce.inputs import MASK, Array, Arrays, Tensors, lies_in, read_only, spans, write_whole


class SearchBuffers:
    """The masks of a search's last two steps, its masked weights, and accumulated scores.

    A step never writes over the masks that it starts from, so a step that fails changes nothing.

    Parameters
    ----------
    tensors : Tensors
        The dense weights.
    masked_weights : structure of the weights or False, optional
        Where the masked weights are written; new arrays by default, nowhere if False.
    needs_masked : bool
        Whether a step takes gradients at masked weights. One that begins with all weights, and
        takes one step, does not.
    accumulated : bool
        Whether scores are accumulated over the steps.

    Attributes
    ----------
    masked : tuple of array, or None
        The masked weights; None if no step needs them, or if they are not wanted.
    accumulated : tuple of array, or None
        The accumulated scores so far: float64 for weights of that type, else float32. A step
        writes them in place, once it is certain that it succeeds.

    Raises
    ------
    StructureError, ShapeError, UnsupportedTypeError, LayoutError
    OverlapError
        If an array of `masked_weights` shares memory with the weights.
    """

    def __init__(
        self,
        tensors: Tensors,
        masked_weights: Arrays | Literal[False] | None,
        *,
        needs_masked: bool,
        accumulated: bool,
    ) -> None:
        self._tensors = tensors
        #: The first step whose masks there are: 0 for a search that begins at masks.
        self._first = 1
        # By the parity of the step.
        self._masks: dict[int, tuple[Array, ...]] = {}
        self.masked: tuple[Array, ...] | None = None
        if needs_masked and masked_weights is None:
            self.masked = tensors.empty()
        elif needs_masked and masked_weights is not False:
            self.masked = self._given(masked_weights)
        self._written = [] if self.masked is None else spans(self.masked)
        self.accumulated: tuple[Array, ...] | None = None
        if accumulated:
            self.accumulated = tuple(
                [np.zeros(array.shape, accumulated_dtype(array.dtype)) for array in tensors.arrays]
            )

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

    def restore(
        self,
        step: int,
        masks: tuple[Array, ...] | None,
        accumulated: tuple[Array, ...] | None = None,
    ) -> None:
        """Take over masks and sums after so many steps, and write the masked weights."""
        if accumulated is not None:
            self.accumulated = accumulated
        if masks is not None:
            self._first = min(self._first, step)
            self._masks = {step % 2: masks}

        kept = masks or (True,) * len(self._tensors.arrays)

        def write() -> None:
            # Without new memory, which may be short once something is written.
            for weight, masked, mask in zip(
                self._tensors.arrays, self.masked or (), kept, strict=False
            ):
                masked.fill(0)
                np.copyto(masked, weight, where=mask)

        write_whole(write)

    def current(self, step: int) -> tuple[Array, ...] | None:
        """The masks after so many steps; None if the search begins with all weights, at its start.

        They are those that the next step starts from.
        """
        return self.masks(step) if step >= self._first else None

    def masks(self, step: int) -> tuple[Array, ...]:
        """The masks of a step, which are those that the step two later writes."""
        if step % 2 not in self._masks:
            self._masks[step % 2] = self._tensors.empty(MASK)
        return self._masks[step % 2]

    def release_masks(self, step: int) -> None:
        """Free the memory of the masks of a step, until a step writes there again."""
        self._masks.pop(step % 2, None)

    def shown_masks(self, step: int) -> tuple[Array, ...]:
        """The masks after so many steps as read-only views."""
        masks = self.current(step)
        if masks is None:
            masks = tuple([np.ones(one.shape, MASK) for one in self._tensors.arrays])
        return tuple([read_only(mask) for mask in masks])

    def shown_weights(self, step: int) -> tuple[Array, ...]:
        """The weights with those removed after a step replaced by zero, as read-only views."""
        arrays = self._tensors.arrays
        masks = self.current(step)
        if masks is not None and self.masked is not None:
            arrays = self.masked
        elif masks is not None:
            arrays = tuple(
                np.where(mask, weight, weight.dtype.type(0))
                for mask, weight in zip(masks, arrays, strict=True)
            )
        return tuple([read_only(array) for array in arrays])

    def apart(self, gradients: tuple[Array, ...]) -> tuple[Array, ...]:
        """Gradients of which none lies in the masked weights, which a step writes: copied there."""
        if not self._written:
            return gradients
        # A caller's function may return the masked weights that it was given.
        return tuple(
            gradient.copy() if lies_in(gradient, self._written) else gradient
            for gradient in gradients
        )


def accumulated_dtype(weights: np.dtype[Any]) -> np.dtype[Any]:
    """The type of the accumulated scores of weights of this type."""
    return np.dtype(np.float64 if weights == np.float64 else np.float32)
