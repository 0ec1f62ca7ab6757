"""The loss that a model is searched by: of a batch, by either of the caller's functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from swiftforce.errors import (
    BatchesError,
    MissingGradientsError,
    NonFiniteError,
    ShapeError,
    StructureError,
)

#: Mean loss over a batch from the model's output and the target.
Loss = Callable[[Any, Any], torch.Tensor]
#: Mean loss over a batch from the model and the batch.
BatchLoss = Callable[[nn.Module, Any], torch.Tensor]


class Objective:
    """The mean loss of a batch.

    Parameters
    ----------
    model : nn.Module
    loss : callable, optional
        ``loss(output, target)`` of batches ``(input, target)``.
    batch_loss : callable, optional
        Or ``batch_loss(model, batch)``.
    temperature : float
        The output is divided by it, before ``loss``.
    device : torch.device
        Where input and target are moved to, before the model sees them.

    Raises
    ------
    MissingGradientsError
        If not exactly one of the two functions is given.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss | None,
        batch_loss: BatchLoss | None,
        *,
        device: torch.device,
        temperature: float = 1.0,
    ) -> None:
        if (loss is None) == (batch_loss is None):
            raise MissingGradientsError(
                "pass either loss(output, target), for batches of (input, target), or "
                "batch_loss(model, batch)"
            )
        self._model = model
        self._loss = loss
        self._batch_loss = batch_loss
        self._device = device
        self._temperature = temperature

    def __call__(self, batch: Any) -> torch.Tensor:  # noqa: ANN401 - the caller's
        """The mean loss, with its graph.

        Raises
        ------
        ShapeError
            If it is not one number.
        NonFiniteError
            If it is NaN or infinite.
        """
        # The weights were changed in place, which the casts that autocast keeps do not notice.
        torch.clear_autocast_cache()
        if self._batch_loss is not None:
            value = self._batch_loss(self._model, batch)
        else:
            value = self._of_pair(*self.pair(batch))
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            raise ShapeError(f"the loss must be a tensor of one number, not {_described(value)}")
        if not value.requires_grad:
            raise MissingGradientsError("the loss has no graph: it depends on no parameter")
        number = float(value.detach())
        if not (abs(number) < float("inf")):
            raise NonFiniteError(
                f"the loss of a batch is {number}", tensor="loss", count=1, value=number
            )
        return value

    def _of_pair(self, input: Any, target: Any) -> torch.Tensor:  # noqa: ANN401
        output = self._model(input)
        assert self._loss is not None
        if self._temperature == 1:
            return self._loss(output, target)
        if not isinstance(output, torch.Tensor):
            raise StructureError(
                f"outputs are divided by a temperature, which {_described(output)} cannot be: pass "
                "batch_loss(model, batch)"
            )
        return self._loss(output / self._temperature, target)

    def pair(self, batch: Any) -> tuple[Any, Any]:  # noqa: ANN401 - the caller's
        """Input and target of a batch, on the device.

        Raises
        ------
        StructureError
            If it is no pair.
        """
        if not isinstance(batch, Sequence) or len(batch) != 2:
            raise StructureError(
                f"loss(output, target) needs batches of (input, target), not {_described(batch)}; "
                "batch_loss(model, batch) takes any"
            )
        first, second = (
            part.to(self._device, non_blocking=True) if isinstance(part, torch.Tensor) else part
            for part in batch
        )
        return first, second


def input_of(batch: Any) -> torch.Tensor:  # noqa: ANN401 - the caller's
    """The first tensor of a batch.

    Raises
    ------
    BatchesError
        If there is none, or it has no samples.
    """
    for part in _leaves(batch):
        if isinstance(part, torch.Tensor) and part.dim():
            if not len(part):
                raise BatchesError(f"a batch has no samples: {_described(batch)}")
            return part
    raise BatchesError(f"there is no tensor in a batch: {_described(batch)}")


def size_of(batch: Any) -> int:  # noqa: ANN401 - the caller's
    """Samples in a batch: the length of its first tensor, which it is weighed by."""
    return len(input_of(batch))


def _leaves(batch: Any) -> Iterator[Any]:  # noqa: ANN401
    if isinstance(batch, Mapping):
        batch = tuple(batch.values())
    if isinstance(batch, Sequence) and not isinstance(batch, (str, bytes)):
        for part in batch:
            yield from _leaves(part)
    else:
        yield batch


def _described(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, Sequence):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
