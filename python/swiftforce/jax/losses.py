"""Losses to score weights by."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def target_logit(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean over the samples of minus the label's logit.

    The published code of FORCE scores weights by it. Such a mask keeps weights that raise the
    labels' logits, whether or not they also raise the others. At 98 % sparsity and more it kept
    paths to all classes where the cross entropy lost some (docs/REPRODUCTION.md), so we recommend
    it for FORCE and Iterative SNIP. It is a loss for scoring, not for training: it has no minimum.

    Parameters
    ----------
    logits : array, shape (..., classes)
        The outputs of the model.
    labels : array of integers, shape (...)
        The class of each sample.

    Returns
    -------
    array
        A scalar.

    References
    ----------
    De Jorge, Sanyal, Behl, Torr, Rogez and Dokania, the code of "Progressive Skeletonization:
    Trimming more fat from a network at initialization", github.com/naver/force.

    Examples
    --------
    >>> import jax.numpy as jnp, swiftforce.jax as sfj
    >>> sfj.losses.target_logit(jnp.array([[1.0, 3.0], [2.0, 0.5]]), jnp.array([1, 0]))
    Array(-2.5, dtype=float32)
    """
    places = jnp.asarray(labels)[..., None]
    return -jnp.mean(jnp.take_along_axis(jnp.asarray(logits), places, axis=-1))


__all__ = ["target_logit"]
