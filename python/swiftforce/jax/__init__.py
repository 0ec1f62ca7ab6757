"""Masks for JAX: a pytree of parameters, a loss and batches in, a pytree of masks out.

Weights stay on their devices, in their sharding. What travels is a step's masks, one byte per
weight, and its gradients, which the native core reads on the CPU; there, neither is copied.

>>> import jax, jax.numpy as jnp, swiftforce.jax as sfj
>>> params = {"kernel": jnp.array([[3.0, -1.0], [2.0, 4.0]]), "bias": jnp.zeros(2)}
>>> loss = lambda params, x: jnp.mean((x @ params["kernel"] + params["bias"] - 1) ** 2)
>>> pruning = sfj.force(params, loss, batches=[jnp.eye(2)], sparsity=0.5, steps=4)
>>> pruning.masks["kernel"]
Array([[ True, False],
       [False,  True]], dtype=bool)
>>> sfj.apply(params, pruning.masks)["kernel"]
Array([[3., 0.],
       [0., 4.]], dtype=float32)
"""

from swiftforce.jax.checks import invert, shuffle
from swiftforce.jax.pruning import PytreePruning, force, load, prune
from swiftforce.jax.sparse import apply, keep_removed_zero

__all__ = [
    "PytreePruning",
    "apply",
    "force",
    "invert",
    "keep_removed_zero",
    "load",
    "prune",
    "shuffle",
]
