"""Errors of torch in the words of what was asked for: a sentence in front, the original chained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from swiftforce.errors import StructureError, SwiftForceError, UnsupportedTypeError
from swiftforce.torch.batch_parts import leaves

_NO_DERIVATIVE = re.compile(r"derivative for '?(?:aten::)?(\w+?)'? is not implemented")
_DTYPES = re.compile(
    r"same dtype|expected scalar type|Input type .* and (weight|bias) type|mixed dtype", re.I
)
_DEVICES = re.compile(r"same device|Input type .*cuda.* and weight type|device type .*mismatch")
_SENTENCES = (
    (
        "inference tensor",
        "the model, or what it keeps, was made under torch.inference_mode, so gradients cannot "
        "pass through it: make or load it outside (torch.no_grad is enough)",
    ),
    (
        "backward through the graph a second time",
        "the model or the loss keeps a tensor with its gradient graph from one batch to the next: "
        "detach what is kept",
    ),
    (
        "leaf Variable that requires grad",
        "the model writes a parameter in place, or a view of one, while gradients are on: write it "
        "under torch.no_grad",
    ),
    (
        "modified by an inplace operation",
        "the model or the loss writes a tensor in place that the gradient needs: replace the "
        "operation by one that returns a new tensor",
    ),
    (
        "view and is being modified inplace",
        "the model writes a view in place that autograd cannot follow: clone the view first",
    ),
)


@contextmanager
def explained(model: nn.Module, batch: Any, method: str) -> Iterator[None]:  # noqa: ANN401
    """Explain the errors of torch that tell too little; others pass.

    Raises
    ------
    UnsupportedTypeError, StructureError
        In place of a `RuntimeError` of torch, which it is raised from.
    """
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        if type(error) not in {RuntimeError, NotImplementedError}:
            raise
        if (better := _explanation(str(error), model, batch, method)) is None:
            raise
        raise better from error


def _explanation(
    text: str,
    model: nn.Module,
    batch: Any,  # noqa: ANN401
    method: str,
) -> SwiftForceError | None:
    if found := _NO_DERIVATIVE.search(text):
        return UnsupportedTypeError(
            f"{method} needs second derivatives, and torch has none for {found[1].strip('_')}: "
            "replace that function in the model or the loss, or use another method"
        )
    if _DEVICES.search(text):
        where = sorted({str(one.device) for one in model.parameters()})
        return StructureError(
            f"the model has parameters on {', '.join(where)}, and is given tensors of another "
            "device: loss(output, target) moves a batch there; batch_loss must do so itself"
        )
    if _DTYPES.search(text):
        return UnsupportedTypeError(_about_dtypes(model, batch, method))
    for part, sentence in _SENTENCES:
        if part.lower() in text.lower():
            return StructureError(sentence)
    return None


def _about_dtypes(model: nn.Module, batch: Any, method: str) -> str:  # noqa: ANN401
    def listed(tensors: Any) -> str:  # noqa: ANN401
        return ", ".join(sorted({str(one.dtype) for one in tensors if one.is_floating_point()}))

    of_batch = listed(one for one in leaves(batch) if isinstance(one, torch.Tensor))
    how = "convert the batch, or compute under torch.autocast in batch_loss"
    if method == "synflow":
        how = "do not convert to a fixed dtype in the model, nor keep tensors outside of it"
    return (
        f"dtypes do not fit together: {method} computes with parameters of "
        f"{listed(model.parameters())} on a batch of {of_batch or 'no floating-point numbers'}: "
        f"{how}"
    )
