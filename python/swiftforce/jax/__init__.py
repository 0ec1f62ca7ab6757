"""Masks for JAX: a pytree of parameters, a loss and batches in, a pytree of masks out.

>>> import jax, jax.numpy as jnp, swiftforce.jax as sfj
>>> params = {"kernel": jnp.array([[3.0, -1.0], [2.0, 4.0]]), "bias": jnp.zeros(2)}
>>> loss = lambda params, x: jnp.mean((x @ params["kernel"] + params["bias"] - 1) ** 2)
>>> pruning = sfj.force(params, loss, batches=[jnp.eye(2)], sparsity=0.5, steps=4)
>>> pruning.masks["kernel"]
Array([[ True, False],
       [False,  True]], dtype=bool)
>>> sfj.apply(params, pruning)["kernel"]
Array([[3., 0.],
       [0., 4.]], dtype=float32)

Weights stay on their devices and keep their sharding. In each step the masks, one byte per weight,
go to the devices, and the gradients come back to the CPU, where the native core reads them. If the
device is the CPU, neither is copied.

This package only translates between pytrees and the core. How a mask is chosen does not belong
here, and neither does anything that works without JAX.
"""

try:
    import jax as _jax  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "jax":
        raise
    raise ImportError("swiftforce.jax needs JAX: pip install 'swiftforce[jax]'") from None

from swiftforce.jax import losses
from swiftforce.jax.checks import invert, overlap, shuffle
from swiftforce.jax.methods import prune
from swiftforce.jax.optimizers import keep_removed_zero, wrap_optax
from swiftforce.jax.progressive_methods import force, iterative_snip
from swiftforce.jax.pruning import PytreePruning, load
from swiftforce.jax.search import prunable
from swiftforce.jax.sparse import apply, to_bcoo

__all__ = [
    "PytreePruning",
    "apply",
    "force",
    "invert",
    "iterative_snip",
    "keep_removed_zero",
    "load",
    "losses",
    "overlap",
    "prunable",
    "prune",
    "shuffle",
    "to_bcoo",
    "wrap_optax",
]


def __dir__() -> list[str]:
    return sorted(__all__)
