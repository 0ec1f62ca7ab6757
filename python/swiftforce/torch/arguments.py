"""Mistakes in the arguments of this package's functions, each with a message that says what to do.

Without these checks they would surface as errors of torch, or not at all. Objects of other
frameworks are recognised by the modules of their classes: no framework is imported for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from swiftforce.errors import MissingGradientsError, StructureError, UnsupportedTypeError
from swiftforce.torch.sparse_modules import check_dense


def check_model(model: object, *, may_be_sparse: bool = False) -> nn.Module:
    """Return the model if it is one.

    Raises
    ------
    UnsupportedTypeError
        If it is not an instance of `torch.nn.Module`, or is compiled by TorchScript, which has
        neither hooks nor parameters that can be replaced.
    StructureError
        If it has sparse layers, unless it may.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise UnsupportedTypeError(
            "model is a module of TorchScript: prune it before torch.jit.script or torch.jit.trace"
        )
    if isinstance(model, nn.Module):
        if not may_be_sparse:
            check_dense(model)
        return model
    if inspect.isclass(model) and issubclass(model, nn.Module):
        raise UnsupportedTypeError(
            f"model is the class {model.__name__}: pass an instance, {model.__name__}(...)"
        )
    libraries = _libraries(model)
    if libraries & {"flax", "haiku", "equinox"}:
        raise UnsupportedTypeError(
            f"model is a {type(model).__name__} of JAX: call "
            "swiftforce.jax.prune(params, loss, batches) with its parameters"
        )
    if "swiftforce" in libraries and type(model).__name__ == "Network":
        raise UnsupportedTypeError(
            "model is a swiftforce.nn.Network: call swiftforce.prune(net.weights, gradients)"
        )
    raise UnsupportedTypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")


def check_objective(loss: object, batch_loss: object, batches: object, method: str) -> None:
    """Refuse batches and losses that no gradient can be computed with.

    Raises
    ------
    MissingGradientsError
        If there are no batches, or not exactly one of the two losses.
    UnsupportedTypeError
        If loss and batches are swapped, a loss is not a function, or the batches are not iterable.
    """
    if batches is not None and callable(batches) and not _is_iterable(batches):
        if loss is not None and not callable(loss):
            raise UnsupportedTypeError(
                "loss and batches are swapped: the order is (model, batches, loss)"
            )
        raise UnsupportedTypeError(
            f"batches is {_name_of(batches)}, not an iterable of batches: the order is "
            "(model, batches, loss)"
        )
    if batches is None:
        raise MissingGradientsError(f"the method {method!r} needs batches: pass a DataLoader")
    if not _is_iterable(batches):
        raise UnsupportedTypeError(
            f"batches must be an iterable such as a DataLoader, not {type(batches).__name__}"
        )
    if (loss is None) == (batch_loss is None):
        raise MissingGradientsError(
            "pass either loss(output, target), for batches of (input, target), or "
            "batch_loss(model, batch)"
        )
    if loss is not None:
        _check_loss(loss, "loss", "loss(output, target)")
    else:
        _check_loss(batch_loss, "batch_loss", "batch_loss(model, batch)")


def _check_loss(loss: object, argument: str, signature: str) -> None:
    if isinstance(loss, str):
        instead = f"a function {signature}"
        if callable(getattr(functional, loss, None)):
            instead = f"the function torch.nn.functional.{loss}"
        raise UnsupportedTypeError(f"{argument} is the name {loss!r}: pass {instead}")
    if inspect.isclass(loss):
        raise UnsupportedTypeError(
            f"{argument} is the class {loss.__name__}: pass an instance, {loss.__name__}()"
        )
    if not callable(loss):
        raise UnsupportedTypeError(
            f"{argument} must be a function {signature}, not {type(loss).__name__}"
        )


def check_batch_part(part: object, what: str) -> None:
    """Refuse an input or a target that is an array of another framework.

    Raises
    ------
    UnsupportedTypeError
    """
    libraries = _libraries(part)
    if "numpy" in libraries and hasattr(part, "dtype"):
        raise UnsupportedTypeError(
            f"the {what} of a batch is a numpy {type(part).__name__}: convert it with "
            "torch.as_tensor"
        )
    if "jax" in libraries or "jaxlib" in libraries:
        raise UnsupportedTypeError(
            f"the {what} of a batch is a JAX array: convert it with "
            "torch.from_numpy(numpy.array(array))"
        )


def output_error(output: object) -> StructureError | None:
    """The error for a model output that a loss failed on; None for a tensor.

    Models of Hugging Face return an object or a mapping that holds ``logits`` and ``loss``.
    """
    has_parts = isinstance(output, Mapping) or hasattr(output, "logits") or hasattr(output, "loss")
    if isinstance(output, torch.Tensor) or not has_parts:
        return None
    return StructureError(
        f"the model returns a {type(output).__name__}, which loss(output, target) does not take: "
        "pass batch_loss, such as batch_loss=lambda model, batch: model(**batch).loss"
    )


def _is_iterable(value: object) -> bool:
    if inspect.isclass(value):
        return False
    return hasattr(value, "__iter__") or hasattr(value, "__getitem__")


def _name_of(value: Any) -> str:  # noqa: ANN401 - any callable
    kind = "the class" if inspect.isclass(value) else "the function"
    name = getattr(value, "__name__", None)
    return f"{kind} {name}" if name else f"a {type(value).__name__}"


def _libraries(value: object) -> set[str]:
    """The packages that the class of a value and the classes it inherits from are defined in."""
    kind = value if inspect.isclass(value) else type(value)
    return {base.__module__.partition(".")[0] for base in kind.__mro__}
