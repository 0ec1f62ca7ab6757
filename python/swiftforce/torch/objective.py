"""The loss of a batch, by the caller's `loss(output, target)` or `batch_loss(model, batch)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import nn

from swiftforce.errors import (
    MissingGradientsError,
    NonFiniteError,
    ShapeError,
    StructureError,
)
from swiftforce.torch.arguments import check_batch_part, output_error
from swiftforce.torch.batch_parts import described, size_of

#: ``loss(output, target)``: the mean loss over a batch.
Loss = Callable[[Any, Any], torch.Tensor]
#: ``batch_loss(model, batch)``: the mean loss over a batch, or that and its number of samples.
BatchLoss = Callable[[nn.Module, Any], torch.Tensor | tuple[torch.Tensor, int]]


class Objective:
    """The mean loss of a batch.

    Parameters
    ----------
    model : nn.Module
    loss : callable, optional
        ``loss(output, target)``, for batches ``(input, target)``.
    batch_loss : callable, optional
        Instead of `loss`: ``batch_loss(model, batch)``.
    device : torch.device
        The device that input and target are moved to.
    temperature : float
        The output is divided by it before `loss` gets it.
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
        self.model = model
        #: Called before each batch.
        self.begin_batch: Callable[[], None] = lambda: None
        self._samples: int | None = None
        self._loss = loss
        self._batch_loss = batch_loss
        self._device = device
        self._temperature = temperature

    def __call__(self, batch: Any) -> torch.Tensor:  # noqa: ANN401 - the caller's
        """The mean loss, with its autograd graph.

        Raises
        ------
        ShapeError
            If it is not one number.
        MissingGradientsError
            If it does not depend on a parameter.
        NonFiniteError
            If it is NaN or infinite.
        StructureError
            If the batch is not a pair, or `loss` does not take the model's output.
        UnsupportedTypeError
            If the model or the loss fails, and the input or the target is an array of another
            framework.
        """
        # The weights were changed in place, so the casts that autocast has cached are stale.
        torch.clear_autocast_cache()
        self.begin_batch()
        self._samples = None
        if self._batch_loss is not None:
            value: Any = self._batch_loss(self.model, batch)
            if isinstance(value, tuple) and len(value) == 2 and _is_count(value[1]):
                value, self._samples = value[0], int(value[1])
        else:
            pair = self.pair(batch)
            try:
                value = self._of_pair(*pair)
            except (AttributeError, TypeError):
                # A model or a loss may take arrays of other frameworks: only a failure tells.
                for part, what in zip(pair, ("input", "target"), strict=True):
                    check_batch_part(part, what)
                raise
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            raise ShapeError(f"the loss must be a tensor of one number, not {described(value)}")
        if not value.requires_grad:
            raise MissingGradientsError(
                "the loss has no autograd graph, so it depends on no parameter: do not detach it "
                "or compute it under torch.no_grad"
            )
        number = float(value.detach())
        if not (abs(number) < float("inf")):
            raise NonFiniteError(
                f"the loss of a batch is {number}", tensor="loss", count=1, value=number
            )
        return value

    def samples(self, batch: Any) -> int:  # noqa: ANN401 - the caller's
        """The number of samples of the batch that was just computed.

        Raises
        ------
        BatchesError
            If `batch_loss` did not return it, and the batch does not tell.
        """
        return size_of(batch) if self._samples is None else self._samples

    def _of_pair(self, input: Any, target: Any) -> torch.Tensor:  # noqa: ANN401
        output = self.model(input)
        assert self._loss is not None
        if self._temperature != 1:
            if not isinstance(output, torch.Tensor):
                raise StructureError(
                    "grasp divides the model's output by a temperature, which needs a tensor and "
                    f"not {described(output)}: pass batch_loss(model, batch)"
                )
            output = output / self._temperature
        try:
            return self._loss(output, target)
        except (AttributeError, TypeError) as error:
            if (better := output_error(output)) is not None:
                raise better from error
            raise

    def pair(self, batch: Any) -> tuple[Any, Any]:  # noqa: ANN401 - the caller's
        """Input and target of a batch, on the device.

        Raises
        ------
        StructureError
            If the batch is not a pair.
        """
        if not isinstance(batch, Sequence) or len(batch) != 2:
            raise StructureError(
                f"loss(output, target) needs batches of (input, target), not {described(batch)}: "
                "pass batch_loss(model, batch), which takes any batch"
            )
        first, second = (
            part.to(self._device, non_blocking=True) if isinstance(part, torch.Tensor) else part
            for part in batch
        )
        return first, second


def _is_count(value: object) -> bool:
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_floating_point()
    return isinstance(value, Integral) and int(value) > 0
