"""Mistakes in the arguments of a search, each with a message that names the argument.

Without these checks JAX would raise errors of its own, or none. Types of other frameworks are
recognised by their names, so no framework is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
from jax import tree_util

from swiftforce.errors import (
    MissingGradientsError,
    ShapeError,
    StructureError,
    UnsupportedTypeError,
)
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
    """Refuse params that are no arrays with values: modules, tensors of torch, traced, deleted.

    Raises
    ------
    UnsupportedTypeError, StructureError
    """
    for name, leaf in leaves.items():
        if isinstance(leaf, jax.core.Tracer):
            raise UnsupportedTypeError(
                f"{name} is traced: a search needs the values of weights, so call it outside "
                "jax.jit, jax.grad, jax.vmap and the like"
            )
        _check_not_deleted(leaf, name)
        if isinstance(leaf, jax.ShapeDtypeStruct):
            raise UnsupportedTypeError(
                f"{name} is a ShapeDtypeStruct, which has no values: initialise the parameters"
            )
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
    if isinstance(batches, Mapping):
        raise UnsupportedTypeError(
            "batches is a mapping: pass an iterable of batches, such as [batch] for a single one"
        )
    known = batches if isinstance(batches, (list, tuple, jax.Array)) else ()
    if any(isinstance(leaf, jax.core.Tracer) for leaf in tree_util.tree_leaves(known)):
        raise UnsupportedTypeError(
            "batches are traced: call the search outside jax.jit, jax.grad, jax.vmap and the like"
        )
    iterable = hasattr(batches, "__iter__") or hasattr(batches, "__getitem__")
    if isinstance(batches, type) or not iterable:
        raise UnsupportedTypeError(
            f"batches must be an iterable of batches, not {type(batches).__name__}"
            + (": call it and pass what it returns" if callable(batches) else "")
        )


def check_batch(batch: Pytree) -> None:
    """Refuse a batch that JAX cannot compile a function for: of torch tensors, text, and so on.

    Raises
    ------
    UnsupportedTypeError, StructureError
    """
    for path, leaf in tree_util.tree_flatten_with_path(batch)[0]:
        place = f"batch{tree_util.keystr(path)}"
        if _foreign_kind(leaf) == "torch.Tensor":
            raise UnsupportedTypeError(
                "a batch holds torch tensors: pass numpy arrays, for example "
                "batches=[jax.tree.map(lambda tensor: tensor.numpy(), batch) for batch in loader]"
            )
        if not _is_traceable(leaf):
            raise UnsupportedTypeError(
                f"{place} is a {type(leaf).__name__}, which jax.jit does not take: leave it out, "
                "or pass jit=False"
            )
        _check_not_deleted(leaf, place)


def _is_traceable(leaf: object) -> bool:
    """Whether a leaf can be an argument of a compiled function."""
    if isinstance(leaf, (np.ndarray, np.generic)):
        return leaf.dtype.kind not in "OSUMm"
    kinds = (jax.Array, bool, int, float, complex)
    return isinstance(leaf, kinds) or hasattr(leaf, "__jax_array__") or hasattr(leaf, "__array__")


def _check_not_deleted(leaf: object, name: str) -> None:
    """Refuse an array whose memory a compiled function has taken over."""
    # A traced array cannot be asked.
    if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer) and leaf.is_deleted():
        raise StructureError(
            f"{name} is deleted: it was donated to a compiled function, so pass what that returned"
        )


@contextmanager
def named_tracing_errors() -> Iterator[None]:
    """Say what to do where a loss cannot be compiled.

    Raises
    ------
    UnsupportedTypeError
        In place of the errors of JAX about values that are not known while it traces.
    """
    try:
        yield
    except jax.errors.UnexpectedTracerError as error:
        raise UnsupportedTypeError(
            "loss uses an array that another traced function left behind (in an attribute, a "
            "global or a closure): pass it in params or in the batch"
        ) from error
    except (
        jax.errors.ConcretizationTypeError,
        jax.errors.TracerArrayConversionError,
        jax.errors.TracerIntegerConversionError,
        jax.errors.NonConcreteBooleanIndexError,
    ) as error:
        raise UnsupportedTypeError(
            "loss cannot be compiled by jax.jit, because it needs values that are not known then "
            f"({str(error).splitlines()[0]}): pass jit=False, or use jnp.where and jax.lax.cond"
        ) from error


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
