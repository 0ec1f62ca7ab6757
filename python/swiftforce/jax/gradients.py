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
from swiftforce.inputs import integer
from swiftforce.jax.arguments import check_batch, check_loss_value, named_tracing_errors
from swiftforce.jax.batch_sizes import BatchSize, BatchSizes
from swiftforce.jax.pytrees import (
    Leaves,
    NamedLeaves,
    Pytree,
    is_array,
    masked,
    on_device,
    put_like,
)

#: ``loss(params, batch)``: the mean loss over the batch, a scalar.
Loss = Callable[[Pytree, Pytree], Any]


def gradient_function(
    loss: Loss, leaves: Leaves, names: Sequence[str], *, jit: bool
) -> Callable[[NamedLeaves, Pytree], NamedLeaves]:
    """A function from masks and a batch to the dense gradients at the masked weights.

    Parameters
    ----------
    names : sequence of str
        The leaves that have masks. The loss gets all others unchanged.
    jit : bool
        Whether to compile it.
    """
    weights = {name: leaves.by_name[name] for name in names}
    others = {name: leaf for name, leaf in leaves.by_name.items() if name not in weights}
    # These are arguments: jit would compile an array that the loss closes over as a constant.
    arrays = {name: leaf for name, leaf in others.items() if is_array(leaf)}

    def loss_of(weights: NamedLeaves, arrays: NamedLeaves, batch: Pytree) -> Any:  # noqa: ANN401
        value = loss(leaves.restore({**others, **arrays, **weights}), batch)
        check_loss_value(value)
        return value

    def gradients(
        masks: NamedLeaves, weights: NamedLeaves, arrays: NamedLeaves, batch: Pytree
    ) -> NamedLeaves:
        at = {name: masked(masks[name], weight) for name, weight in weights.items()}
        found: NamedLeaves = jax.grad(loss_of)(at, arrays, batch)
        return found

    compiled = jax.jit(gradients)

    def gradients_at(masks: NamedLeaves, batch: Pytree) -> NamedLeaves:
        put = {name: put_like(masks[name], weight) for name, weight in weights.items()}
        if not jit:
            return gradients(put, weights, arrays, batch)
        check_batch(batch)
        inputs = tree_util.tree_map(on_device, (weights, arrays))
        with named_tracing_errors():
            found: NamedLeaves = compiled(put, *inputs, tree_util.tree_map(_copied, batch))
        return found

    return gradients_at


def _copied(leaf: Any) -> jax.Array:  # noqa: ANN401 - a leaf may be anything that jit takes
    """A leaf of a batch on its device, where what the caller writes later does not reach it."""
    return on_device(leaf.copy() if isinstance(leaf, np.ndarray) else leaf)


def averaged(
    gradients: Callable[[NamedLeaves, Pytree], NamedLeaves],
    batches: Iterable[Pytree],
    count: int,
    batch_size: BatchSize | None = None,
) -> Callable[[NamedLeaves], NamedLeaves]:
    """A function from masks to gradients, averaged over the next `count` batches.

    Raises
    ------
    BatchesError
        If `count` is not a positive integer. The function raises it if the batches run out, or the
        number of samples of one is needed and cannot be told.
    """
    if integer(count, "batches_per_step", BatchesError) < 1:
        raise BatchesError(f"batches_per_step must be at least 1, not {count}")
    source = endless(batches)

    def average(masks: NamedLeaves) -> NamedLeaves:
        if count == 1:
            return gradients(masks, next(source))
        sizes = BatchSizes(batch_size)
        return _mean((sizes.of(batch), gradients(masks, batch)) for batch in islice(source, count))

    return average


def _mean(parts: Iterator[tuple[int, NamedLeaves]]) -> NamedLeaves:
    """The mean of gradients, weighted by the number of samples that each is a mean over."""
    samples, part = next(parts)
    mean = _promoted(part)
    for size, part in parts:
        samples += size
        mean = _updated(mean, part, size / samples)
    return mean


def _promoted(gradients: NamedLeaves) -> NamedLeaves:
    """Gradients in float32 at least: sums in float16 and bfloat16 would lose too much."""
    return {
        name: gradient.astype(jnp.promote_types(gradient.dtype, jnp.float32))
        for name, gradient in gradients.items()
    }


def _updated(mean: NamedLeaves, part: NamedLeaves, share: float) -> NamedLeaves:
    """The running mean with a part added that makes up `share` of its samples.

    Unlike a sum it cannot overflow.
    """
    return {
        name: value + (part[name] - value) * jax.device_put(np.asarray(share, value.dtype))
        for name, value in mean.items()
    }
