"""The scores of SynFlow: gradients of the sum of the outputs on an input of ones."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from swiftforce.errors import BatchesError, ShapeError, StructureError, UnsupportedTypeError
from swiftforce.torch.arguments import check_batch_part
from swiftforce.torch.batch_parts import described, leaves, named_parts, with_tensors
from swiftforce.torch.liveness import tensors_in
from swiftforce.torch.objective import BatchLoss
from swiftforce.torch.replaced_tensors import replaced_tensors
from swiftforce.torch.torch_errors import explained

Parameters = Mapping[str, nn.Parameter]


def synaptic_flow(
    model: nn.Module,
    parameters: Parameters,
    batch: Any,  # noqa: ANN401 - the caller's
    batch_loss: BatchLoss | None = None,
) -> list[torch.Tensor]:
    """Gradients of R, the sum of the outputs on an input of ones at the absolute weights.

    Computed in float64, since products over many layers overflow float32. As the method requires,
    the absolute values of all floating-point parameters, buffers and other tensors are used. They
    stand in the places of the model's own tensors until the scores are computed, and take twice the
    memory of a float32 model.

    Parameters
    ----------
    model : nn.Module
        In eval mode.
    parameters : mapping of name to nn.Parameter
    batch : anything
        Floating-point tensors become ones. A mapping is passed as keyword arguments if the model
        takes them; of another batch, the first tensor is the input. Its first sample is enough.
    batch_loss : callable, optional
        Calls the model instead, as for the other methods. Nothing is computed after that call.

    Raises
    ------
    UnsupportedTypeError
        If there is no floating-point input, or a part of the model is scripted.
    ShapeError, StructureError
        If the model returns no floating-point tensor, or `batch_loss` does not call it.

    References
    ----------
    Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively
    conserving synaptic flow", NeurIPS 2020, equation 2.
    """
    scored = {id(one): name for name, one in parameters.items()}
    leaf: dict[str, torch.Tensor] = {}

    def absolute(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_floating_point():
            return tensor
        found: torch.Tensor = tensor.detach().to(torch.float64).abs()
        if isinstance(tensor, nn.Parameter):
            found = nn.Parameter(found, requires_grad=id(tensor) in scored)
        if id(tensor) in scored:
            leaf[scored[id(tensor)]] = found
        return found

    with replaced_tensors(model, absolute, "synflow"), explained(model, batch, "synflow"):
        total = _flow(model, batch, batch_loss)
        if total.requires_grad:
            # Not autograd.grad, which cannot see into reentrant checkpoints. No tensor of the model
            # itself takes part.
            total.backward()
    found = (leaf[name] for name in parameters)
    return [torch.zeros_like(one) if one.grad is None else one.grad for one in found]


def _flow(
    model: nn.Module,
    batch: Any,  # noqa: ANN401
    batch_loss: BatchLoss | None,
) -> torch.Tensor:
    if batch_loss is not None:
        outputs = _through(model, with_tensors(batch, _ones), batch_loss)
    elif (keywords := _keywords(model, batch)) is not None:
        outputs = model(**with_tensors(keywords, _ones))
    else:
        outputs = model(_ones(input_of(batch)[:1]))
    sums = [one.sum() for one in _outputs(outputs)]
    if not sums:
        raise ShapeError(
            "synflow needs a model that returns a floating-point tensor, or a mapping or a "
            f"dataclass of them, not {described(outputs)}"
        )
    return torch.stack(sums).sum()


def check_example(batch: Any) -> None:  # noqa: ANN401
    """Refuse a batch that no input of ones can be made from.

    Raises
    ------
    UnsupportedTypeError, BatchesError
    """
    tensors = [part for part in leaves(batch) if isinstance(part, torch.Tensor) and part.dim()]
    if not tensors:
        input_of(batch)  # Raises.
    if not any(one.is_floating_point() for one in tensors):
        dtypes = ", ".join(sorted({str(one.dtype) for one in tensors}))
        raise UnsupportedTypeError(
            "synflow replaces the input by ones, so it needs a floating-point input, and a batch "
            f"has only {dtypes}: for token ids there is no such input; pass embeddings in their "
            "place if the model takes them (inputs_embeds), or use another method"
        )


def input_of(batch: Any) -> torch.Tensor:  # noqa: ANN401 - the caller's
    """The first tensor of a batch that has dimensions.

    Raises
    ------
    BatchesError
        If there is none, or it has no samples.
    UnsupportedTypeError
        If there is an array of another framework instead.
    """
    for part in leaves(batch):
        if isinstance(part, torch.Tensor) and part.dim():
            if not len(part):
                raise BatchesError(
                    f"a batch has no samples ({described(part)}): leave empty batches out"
                )
            return part
    for part in leaves(batch):
        check_batch_part(part, "input")
    raise BatchesError(f"there is no tensor in a batch ({described(batch)})")


def _ones(tensor: torch.Tensor) -> torch.Tensor:
    """Ones in place of floating-point numbers; they need gradients for reentrant checkpoints."""
    if not tensor.is_floating_point():
        return tensor
    ones = torch.ones(tensor.shape, dtype=torch.float64, device=tensor.device, requires_grad=True)
    return ones.clone()  # The model may write to it, which is an error for a leaf of the graph.


def _keywords(model: nn.Module, batch: Any) -> dict[str, Any] | None:  # noqa: ANN401
    """The batch as keyword arguments of the model, its first sample alone if all agree."""
    if not isinstance(batch, Mapping) or not all(isinstance(name, str) for name in batch):
        return None
    try:
        inspect.signature(model.forward).bind(**batch)
    except TypeError:
        return None
    lengths = {
        len(one) if one.dim() else 0 for one in leaves(batch) if isinstance(one, torch.Tensor)
    }
    if len(lengths) == 1 and 0 not in lengths:
        return dict(with_tensors(dict(batch), lambda one: one[:1]))
    return dict(batch)


class _CalledError(BaseException):
    """Ends `batch_loss` once it has called the model."""

    def __init__(self, outputs: Any) -> None:  # noqa: ANN401
        self.outputs = outputs


def _through(model: nn.Module, batch: Any, batch_loss: BatchLoss) -> Any:  # noqa: ANN401
    """What the model returns when `batch_loss` calls it."""

    def end(_module: nn.Module, _given: Any, outputs: Any) -> None:  # noqa: ANN401
        raise _CalledError(outputs)

    handle = model.register_forward_hook(end)
    try:
        batch_loss(model, batch)
    except _CalledError as called:
        return called.outputs
    finally:
        handle.remove()
    raise StructureError(
        "synflow needs the outputs of the model, and batch_loss(model, batch) did not call "
        "model(...)"
    )


def _outputs(value: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401
    """The floating-point tensors among a model's outputs: its logits alone if they are named."""
    parts = named_parts(value)
    if parts is not None:
        value = (
            parts["logits"]
            if parts.get("logits") is not None
            else [part for name, part in parts.items() if name != "loss"]
        )
    return (one for one in tensors_in(value) if one.is_floating_point())
