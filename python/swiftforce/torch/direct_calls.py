"""Outputs of sparse layers for few samples, past the dispatcher of torch and tensors of blocks.

A product of few samples takes about as long as one call through the dispatcher. These calls are for
plain tensors whose gradients nothing records; for all others there is `sparse_operations`, with the
same results.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.autograd import forward_ad

from swiftforce import _core
from swiftforce.native import public_error
from swiftforce.torch.block_layers import array_of
from swiftforce.torch.sample_blocks import (
    WIDTH,
    SampleBlocks,
    blocks_of,
    conversions,
    data_of,
)
from swiftforce.torch.sparse_operations import CompiledMask, Sizes, output_shape

Array = np.ndarray[Any, Any]


def records_gradients(*tensors: torch.Tensor | None) -> bool:
    """Whether autograd will record what is computed of these tensors."""
    return torch.is_grad_enabled() and any(one is not None and one.requires_grad for one in tensors)


def is_observed() -> bool:
    """Whether something follows the functions of torch: a compiler, a tracer, a mode, a transform.

    Forward derivatives count, and autocast, which would change types.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._len_torch_function_stack() > 0
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch.is_autocast_enabled("cpu")
    )


class DirectCalls:
    """What the direct calls of a layer keep: its native operation, and its parameters as arrays.

    Parameters
    ----------
    compiled : CompiledMask
    shape : torch.Size
        That of the dense weight: outputs, inputs, and those of the kernel.
    """

    def __init__(self, compiled: CompiledMask, shape: torch.Size) -> None:
        self._compiled = compiled
        self._inputs = shape[1]
        self._rank = len(shape)
        self._weight = self._bias = _NO_MEMORY
        #: The last operation, the size of images that it is for, and the shape of its outputs.
        self._last: tuple[tuple[int, ...] | None, object, list[int]] = None, None, []

    def outputs(
        self,
        parameters: Mapping[str, torch.Tensor | None],
        source: torch.Tensor,
        sizes_of: Callable[[torch.Size], Sizes],
    ) -> torch.Tensor | None:
        """The outputs of few samples, or None if the call has to take the other way.

        Parameters
        ----------
        parameters : mapping
            With the values of kept weights as ``weight``, and the ``bias``.
        source : tensor (samples, channels, ...)
            It may be blocks.
        sizes_of : callable
            From the size of an image to those of the operation.

        Returns
        -------
        tensor or blocks (samples, channels, ...), or None
            Blocks of several samples, a plain tensor of one: both layouts of one are the same.
        """
        weight, bias = parameters.get("weight"), parameters.get("bias")
        if weight is None or records_gradients(source, weight, bias) or is_observed():
            return None
        data = self._samples_innermost(source)
        values = self._weight = _memory_of(weight, self._weight)
        added = self._bias = _NO_MEMORY if bias is None else _memory_of(bias, self._bias)
        if data is None or values.array is None or (added.array is None and bias is not None):
            return None
        samples = source.samples if isinstance(source, SampleBlocks) else source.size(0)
        image = data.shape[2:] if samples == 1 else data.shape[2:-1]
        last = self._last
        if image != last[0]:
            sizes = sizes_of(torch.Size(image))
            blocks = torch.from_numpy(data[..., None] if samples == 1 else data)
            shape = output_shape(blocks, sizes)[:-1]
            last = self._last = image, self._compiled.operation(sizes), shape
        _, operation, shape = last
        output = np.empty(shape if samples == 1 else (*shape, samples), np.float32)
        try:
            _core.sparse_forward(operation, samples, data, values.array, added.array, output)
        except _core.NativeError as error:
            raise public_error(error) from None
        result = torch.from_numpy(output)
        return result if samples == 1 else blocks_of(result, samples)

    def _samples_innermost(self, source: torch.Tensor) -> Array | None:
        """Few samples as (1, channels, ..., samples), without the last axis for one.

        None if these are no inputs of direct calls.
        """
        if type(source) is torch.Tensor:
            shape = source.shape
            fits = (
                len(shape) == self._rank
                and shape[0] < WIDTH
                and shape[1] == self._inputs
                and source.dtype is torch.float32
                and source.is_cpu
                and source.numel() > 0
            )
            if not fits:
                return None
            if shape[0] == 1:
                return _array_of(source.contiguous())
            conversions["to blocks"] += 1
            copy = np.empty((1, *shape[1:], shape[0]), np.float32)
            for sample, one in enumerate(_array_of(source)):  # Faster than one call for all.
                copy[0, ..., sample] = one
            return copy
        if type(source) is not SampleBlocks or not 1 < source.samples < WIDTH:
            return None
        data = data_of(source)
        fits = (
            data.dim() == self._rank + 1
            and data.size(-1) == source.samples
            and data.size(1) == self._inputs
            and data.dtype is torch.float32
            and data.is_cpu
        )
        return _array_of(data.contiguous()) if fits else None


def _array_of(tensor: torch.Tensor) -> Array:
    return array_of(tensor) if tensor.requires_grad else tensor.numpy()


class _Memory(NamedTuple):
    """The memory of a parameter as an array that does not own it.

    It is used only while a parameter has that address, and so keeps the memory alive.
    """

    address: int
    size: int
    array: Array | None


_NO_MEMORY = _Memory(0, 0, None)


def _memory_of(parameter: torch.Tensor, known: _Memory) -> _Memory:
    """The memory of a vector of float32 on the CPU; no array if the parameter is something else."""
    address, size = parameter.data_ptr(), parameter.numel()
    if parameter.dtype is not torch.float32 or not parameter.is_contiguous() or not address:
        return _NO_MEMORY
    if address == known.address and size == known.size:
        return known
    if parameter.dim() != 1 or not parameter.is_cpu or parameter.is_neg():
        return _NO_MEMORY
    memory = (ctypes.c_char * (4 * size)).from_address(address)
    return _Memory(address, size, np.frombuffer(memoryview(memory), np.float32))
