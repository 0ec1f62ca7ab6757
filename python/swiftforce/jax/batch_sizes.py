"""How many samples a batch has: a mean over batches weighs them by that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import tree_util

from swiftforce.errors import BatchesError
from swiftforce.inputs import integer
from swiftforce.jax.pytrees import Pytree

#: ``batch_size(batch)``: the number of samples of a batch, or one number for all batches.
BatchSize = Callable[[Pytree], int] | int

#: Numbers of 32 bits in a raw key of each generator of JAX: threefry, and rbg.
_KEY_LENGTHS = (2, 4)


class BatchSizes:
    """The numbers of samples of the batches of one mean.

    Parameters
    ----------
    given : callable or int, optional
        What the caller says.
    """

    def __init__(self, given: BatchSize | None) -> None:
        self._given = given
        #: Of the first batch: its leading axes, and its size if they tell.
        self._first: tuple[dict[str, int], int | None] | None = None

    def of(self, batch: Pytree) -> int:
        """The number of samples of a batch, or 1 if all batches have the same shapes.

        Raises
        ------
        BatchesError
            If it has no samples, or its arrays differ in their leading axes.
        """
        if self._given is not None:
            said = self._given(batch) if callable(self._given) else self._given
            if integer(said, "batch_size", BatchesError) < 1:
                raise BatchesError(f"batch_size says that a batch has {said} samples")
            return int(said)
        axes = _leading_axes(batch)
        # An axis of length 1 goes with any other.
        sizes = set(axes.values()) - {1} or set(axes.values())
        if not sizes or 0 in sizes:
            raise BatchesError(
                "a batch has no samples: none of its arrays has a leading axis above 0; "
                "if it needs none, pass batch_size=1"
            )
        size = sizes.pop() if len(sizes) == 1 else None
        if self._first is None:
            self._first = axes, size
        first_axes, first_size = self._first
        if axes != first_axes and (size is None or first_size is None):
            raise BatchesError(_ambiguous(axes if size is None else first_axes))
        return 1 if size is None else size


def _ambiguous(axes: dict[str, int]) -> str:
    different = ", ".join(f"{length} (batch{place})" for place, length in axes.items())
    return (
        f"the arrays of a batch differ in their leading axes: {different}; say how many samples "
        f"it has, such as batch_size=lambda batch: len(batch{next(iter(axes))})"
    )


def _leading_axes(batch: Pytree) -> dict[str, int]:
    """The lengths of the leading axes of what may hold samples, by how Python reads them."""
    leaves, _ = tree_util.tree_flatten_with_path(batch)
    return {
        tree_util.keystr(path): int(np.shape(leaf)[0])
        for path, leaf in leaves
        if np.shape(leaf) and not _is_key(leaf)
    }


def _is_key(leaf: Any) -> bool:  # noqa: ANN401 - a leaf may be anything
    """Whether a leaf is keys of random numbers, of the new type or of the old one."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return True
    raw = getattr(leaf, "dtype", None) == np.uint32
    return raw and np.shape(leaf)[-1] in _KEY_LENGTHS
