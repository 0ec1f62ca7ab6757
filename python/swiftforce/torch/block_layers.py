"""Layers of torch that the native engine computes with samples innermost.

Batch normalisation in training, maximum pooling, depthwise convolutions. torch has no kernels for
these in that layout, or slower ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from swiftforce import _core
from swiftforce.native import native_call

_KINDS = _core.names(_core.AXES.index("LAYER"))


@dataclass(frozen=True)
class BlockLayer:
    """A layer of the native engine, for images of one size.

    Attributes
    ----------
    kind : str
        Its name in the engine.
    channels, height, width : int
        Of a sample.
    outputs, kernel, stride, padding, groups, momentum, epsilon
        As in the engine's description of layers; 0 where the kind has none.
    has_bias : bool
    """

    kind: str
    channels: int
    height: int
    width: int
    outputs: int = 0
    kernel: int = 0
    stride: int = 0
    padding: int = 0
    groups: int = 0
    momentum: float = 0.0
    epsilon: float = 0.0
    has_bias: bool = False

    @property
    def _native(self) -> Any:  # noqa: ANN401 - a tuple of numbers
        inputs = self.channels if self.kind in ("conv2d", "batch_norm2d") else 0
        sizes = self.outputs, self.kernel, self.stride, self.padding, self.groups
        kind = _KINDS.index(self.kind)
        return kind, -1, -2, self.has_bias, inputs, *sizes, self.momentum, self.epsilon

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width

    def forward(
        self,
        source: torch.Tensor,
        samples: int,
        parameters: tuple[torch.Tensor, ...],
        image: tuple[int, ...],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The output (blocks, channels, *image, 16), and what the backward pass reads besides.

        Of a batch normalisation `samples` are those that count; of others those of all places.
        """
        channels = self.outputs or self.channels
        output = source.new_empty(source.size(0), channels, *image, source.size(-1))
        saved = source.new_empty(3 * self.channels if self.kind == "batch_norm2d" else 0)
        with native_call():
            _core.layer_forward(
                self._native,
                self._shape,
                samples,
                array_of(source),
                [array_of(one) for one in parameters],
                array_of(output),
                array_of(saved),
            )
        return output, saved

    def backward(
        self,
        gradient: torch.Tensor,
        samples: int,
        arrays: tuple[torch.Tensor, tuple[torch.Tensor, ...], torch.Tensor, torch.Tensor],
        wanted: tuple[bool, bool],
    ) -> tuple[torch.Tensor | None, list[torch.Tensor]]:
        """The gradients of the source and of trained parameters.

        `arrays` are source, parameters, output and what was saved; `wanted` whether the gradient of
        the source is, and whether those of the parameters are.
        """
        source, parameters, output, saved = arrays
        source = without_gap(source, samples)
        own = torch.empty_like(source) if wanted[0] else None
        trained = parameters[:2] if self.kind == "batch_norm2d" else parameters
        others = [torch.empty_like(one) for one in trained] if wanted[1] else []
        with native_call():
            _core.layer_backward(
                self._native,
                self._shape,
                samples if self.kind == "batch_norm2d" else source.size(0) * source.size(-1),
                array_of(source),
                [array_of(one) for one in parameters],
                array_of(output),
                array_of(saved),
                array_of(without_gap(gradient, samples)),
                None if own is None else array_of(own),
                [array_of(one) for one in others] or None,
            )
        return own, others


def output_side(inputs: int, kernel: int, stride: int, padding: int) -> int:
    """Positions of the output along one axis."""
    return (inputs + 2 * padding - kernel) // stride + 1


def array_of(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """The memory of a tensor without gaps."""
    return tensor.detach().numpy()


def without_gap(tensor: torch.Tensor, samples: int) -> torch.Tensor:
    """The same blocks without gaps in memory, with zeros where there is no sample."""
    tensor = tensor.contiguous()
    if gap := tensor.size(0) * tensor.size(-1) - samples:
        tensor = tensor.clone()
        tensor[-1, ..., tensor.size(-1) - gap :] = 0
    return tensor


class BatchNorm(torch.autograd.Function):
    """Batch normalisation by the statistics of the batch, which updates running ones in place."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        source: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        running: tuple[torch.Tensor, torch.Tensor],
        layer: BlockLayer,
        samples: int,
    ) -> torch.Tensor:
        """Return the output."""
        source = source.contiguous()
        parameters = (weight, bias, *running)
        output, saved = layer.forward(source, samples, parameters, source.shape[2:-1])
        ctx.save_for_backward(source, weight, bias, saved)
        ctx.layer, ctx.samples = layer, samples
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # noqa: ANN401
        """Return the gradients of source, weight and bias."""
        source, weight, bias, saved = ctx.saved_tensors
        needs = ctx.needs_input_grad
        unused = weight.new_zeros(2, weight.numel()).unbind()  # Running statistics.
        arrays = source, (weight, bias, *unused), source, saved
        own, others = ctx.layer.backward(gradient, ctx.samples, arrays, (needs[0], any(needs[1:3])))
        return (own, *(others or (None, None)), None, None, None)


class Layer(torch.autograd.Function):
    """A layer without statistics: its output, from a source and any parameters."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        source: torch.Tensor,
        layer: BlockLayer,
        samples: int,
        image: tuple[int, ...],
        *parameters: torch.Tensor,
    ) -> torch.Tensor:
        """Return the output."""
        source = source.contiguous()
        parameters = tuple(one.contiguous() for one in parameters)
        places = source.size(0) * source.size(-1)
        output, saved = layer.forward(source, places, parameters, image)
        ctx.save_for_backward(source, output, saved, *parameters)
        ctx.layer, ctx.samples = layer, samples
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # noqa: ANN401
        """Return the gradients of source and parameters."""
        source, output, saved, *parameters = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0], any(ctx.needs_input_grad[4:])
        own, others = ctx.layer.backward(
            gradient, ctx.samples, (source, tuple(parameters), output, saved), wanted
        )
        return (own, None, None, None, *(others or (None,) * len(parameters)))
