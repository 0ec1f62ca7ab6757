"""Mistakes in the arguments of a search, each with a message that names the argument.

Without these checks JAX would raise errors of its own, or none. Types of other frameworks are
recognised by their names, so no framework is imported.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import tree_util

from swiftforce.errors import MissingGradientsError, ShapeError, UnsupportedTypeError
from swiftforce.jax.pytrees import NamedLeaves, Pytree

#: Types that a leaf of params must not have, by library and class, and what to do instead.
_FOREIGN = {
    "torch.Module": "is a torch module: swiftforce.torch.prune finds masks for it",
    "torch.Tensor": "is a torch tensor: swiftforce.torch.prune finds masks for torch models",
    "flax.Module": (
        "is a flax module: pass its parameters, which are model.init(key, x) in flax.linen and "
        "nnx.state(model, nnx.Param) in flax.nnx"
    ),
}
#: Libraries whose functions, classes and objects are never a loss of parameters and a batch.
_NO_LOSS = ("optax", "torch")


def check_params(leaves: NamedLeaves) -> None:
    """Refuse a module that is passed as params, and tensors of torch.

    Raises
    ------
    UnsupportedTypeError
    """
    for name, leaf in leaves.items():
        kind = _foreign_kind(leaf)
        # A module beside the weights may be what the loss calls.
        if kind == "torch.Tensor" or (kind is not None and len(leaves) == 1):
            raise UnsupportedTypeError(f"{name} ({type(leaf).__name__}) {_FOREIGN[kind]}")


def check_objective(loss: object, batches: object, method: str) -> None:
    """Refuse a loss and batches that cannot give gradients.

    Raises
    ------
    MissingGradientsError
        If one of the two is missing.
    UnsupportedTypeError
        If they are swapped, the loss is not a function of JAX, or the batches are not iterable.
    """
    if loss is None or batches is None:
        raise MissingGradientsError(
            f"the method {method!r} scores weights by their gradients: pass loss and batches"
        )
    if callable(batches) and not callable(loss):
        raise UnsupportedTypeError(
            "loss and batches are swapped: the order is params, loss, batches"
        )
    if (wrong := _not_a_loss(loss)) is not None:
        raise UnsupportedTypeError(
            "loss must be a function loss(params, batch) that returns the mean loss over a batch, "
            f"not {wrong}"
        )
    iterable = hasattr(batches, "__iter__") or hasattr(batches, "__getitem__")
    if isinstance(batches, type) or not iterable:
        raise UnsupportedTypeError(
            f"batches must be an iterable of batches, not {type(batches).__name__}"
            + (": call it and pass what it returns" if callable(batches) else "")
        )


def check_batch(batch: Pytree) -> None:
    """Refuse a batch of torch tensors, which JAX cannot compile a function for.

    Raises
    ------
    UnsupportedTypeError
    """
    if any(_foreign_kind(leaf) == "torch.Tensor" for leaf in tree_util.tree_leaves(batch)):
        raise UnsupportedTypeError(
            "a batch holds torch tensors: pass numpy arrays, for example "
            "batches=[jax.tree.map(lambda tensor: tensor.numpy(), batch) for batch in loader]"
        )


def check_loss_value(value: object) -> None:
    """Refuse what a loss returned if it has no gradient.

    Raises
    ------
    ShapeError
        If it is not one number.
    UnsupportedTypeError
        If it is a complex number or an integer.
    """
    if not isinstance(value, (jax.Array, np.ndarray, np.generic, float, int, complex)):
        raise ShapeError(
            "loss must return only the mean loss over the batch, a scalar array, "
            f"not {type(value).__name__}"
        )
    if (shape := jnp.shape(value)) != ():
        raise ShapeError(
            f"loss returned an array of shape {shape}: return its mean over the batch, of shape ()"
        )
    dtype = jnp.result_type(value)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise UnsupportedTypeError(
            f"loss returned a number of dtype {dtype}: return a real floating-point number"
        )


def _foreign_kind(value: object) -> str | None:
    """Which key of `_FOREIGN` a value is an instance of; None for all other values."""
    kinds = (f"{_library(base)}.{base.__name__}" for base in type(value).__mro__)
    return next((kind for kind in kinds if kind in _FOREIGN), None)


def _library(value: object) -> str:
    """The top-level package that a function, a class, or the class of an object is defined in."""
    return str(getattr(value, "__module__", None)).partition(".")[0]


def _not_a_loss(loss: object) -> str | None:
    """What a value is that cannot be a loss; None if it may be one."""
    name = getattr(loss, "__name__", type(loss).__name__)
    if isinstance(loss, str):
        return f"the name {loss!r}"
    if _library(loss) in _NO_LOSS:
        return f"{name} of {_library(loss)}"
    if _foreign_kind(loss) is not None:
        return f"a module ({name})"
    if isinstance(loss, type):
        return f"the class {name}"
    return None if callable(loss) else name
