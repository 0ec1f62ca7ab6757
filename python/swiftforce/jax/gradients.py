"""Gradients of a loss at the masked weights of a pytree, averaged over batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import tree_util

from swiftforce.adapters import endless
from swiftforce.errors import BatchesError
from swiftforce.inputs import Array, integer
from swiftforce.jax.pytrees import Leaves, Named, Pytree, chosen, is_array, on_cpu, placed

#: ``loss_fn(params, batch)``: the mean loss over the batch, a scalar.
Loss = Callable[[Pytree, Pytree], Any]


def gradient_function(
    loss_fn: Loss, leaves: Leaves, names: Sequence[str], *, jit: bool
) -> Callable[[Named, Pytree], Named]:
    """A function from masks and a batch to the dense gradients at the masked weights.

    Parameters
    ----------
    names : sequence of str
        The leaves that masks are of; all others are passed to the loss as they are.
    jit : bool
        Whether to compile it.
    """
    weights = {name: leaves.by_name[name] for name in names}
    others = {name: leaf for name, leaf in leaves.by_name.items() if name not in weights}
    # An array that the loss closed over would be compiled into the program as a constant.
    arrays = {name: leaf for name, leaf in others.items() if is_array(leaf)}

    def loss(masked: Named, arrays: Named, batch: Pytree) -> Any:  # noqa: ANN401 - a scalar
        return loss_fn(leaves.restore({**others, **arrays, **masked}), batch)

    def gradients(masks: Named, weights: Named, arrays: Named, batch: Pytree) -> Named:
        masked = {name: chosen(masks[name], weight) for name, weight in weights.items()}
        found: Named = jax.grad(loss)(masked, arrays, batch)
        return found

    function = jax.jit(gradients) if jit else gradients

    def at(masks: Named, batch: Pytree) -> Named:
        near = {name: placed(masks[name], weight) for name, weight in weights.items()}
        found: Named = function(near, weights, arrays, batch)
        return found

    return at


def averaged(
    gradients: Callable[[Named, Pytree], Named], batches: Iterable[Pytree], count: int
) -> Callable[[Named], dict[str, Array]]:
    """A function from masks to gradients on the CPU, averaged over the next `count` batches.

    Raises
    ------
    BatchesError
        If `count` is not a positive integer; from the function, if batches run out or one has no
        samples.
    """
    if integer(count, "batches_per_step", BatchesError) < 1:
        raise BatchesError(f"batches_per_step must be at least 1, not {count}")
    source = endless(batches)

    def average(masks: Named) -> dict[str, Array]:
        if count == 1:
            mean = gradients(masks, next(source))
        else:
            mean = _mean((_size(batch), gradients(masks, batch)) for batch in islice(source, count))
        # This waits for the device, which may read the masks in place: from here on the search may
        # write them.
        return {name: on_cpu(gradient) for name, gradient in mean.items()}

    return average


def _size(batch: Pytree) -> int:
    """Number of samples in a batch."""
    shapes = [np.shape(leaf) for leaf in tree_util.tree_leaves(batch)]
    size = int(next((shape[0] for shape in shapes if shape), 0))
    if not size:
        raise BatchesError("a batch has no samples: none of its arrays has a leading axis above 0")
    return size


def _mean(parts: Iterator[tuple[int, Named]]) -> Named:
    """The mean of gradients that are means of so many samples each."""
    samples, part = next(parts)
    mean = _widened(part)
    for size, part in parts:
        samples += size
        mean = _moved(mean, part, size / samples)
    return mean


def _widened(gradients: Named) -> Named:
    """Gradients in float32 at least: float16 and bfloat16 are too narrow to add in."""
    return {
        name: gradient.astype(jnp.promote_types(gradient.dtype, jnp.float32))
        for name, gradient in gradients.items()
    }


def _moved(mean: Named, part: Named, share: float) -> Named:
    """The mean with more samples, of which `share` are the part's; unlike a sum, in range."""
    return {name: value + (part[name] - value) * share for name, value in mean.items()}
