"""The native kernels of sparse layers as operations of torch, which compilers see through."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch

from swiftforce import _core
from swiftforce.errors import StructureError
from swiftforce.native import native_call
from swiftforce.torch.block_layers import array_of, output_side, without_gap

#: Inputs, outputs, and for rows and columns inputs, kernel, stride, padding.
Sizes = Sequence[int]
_Side = tuple[int, int, int, int]

#: The masks of the layers that are alive, by their numbers.
_masks: WeakValueDictionary[int, CompiledMask] = WeakValueDictionary()


class CompiledMask:
    """A mask, compiled to lists of kept weights for each size of images that it met.

    Parameters
    ----------
    mask : bool tensor (outputs, inputs, ...)
        True where a weight is kept.

    Attributes
    ----------
    number : int
        What operations name the mask by: a digest of it. A graph that was compiled or exported
        finds the mask while a model with it is in memory.
    """

    #: Sizes of images whose lists are kept.
    CAPACITY = 8

    def __init__(self, mask: torch.Tensor) -> None:
        self._size = mask.numel()
        self._bits = np.packbits(mask.cpu().numpy())
        digest = hashlib.blake2b(self._bits.tobytes(), digest_size=8)
        digest.update(repr(mask.shape).encode())
        self.number = int.from_bytes(digest.digest(), "little") >> 1
        self._operations: dict[tuple[int, ...], object] = {}

    @staticmethod
    def of(mask: torch.Tensor) -> CompiledMask:
        """The compiled mask, which equal masks share."""
        new = CompiledMask(mask)
        return _masks.setdefault(new.number, new)

    def operation(self, sizes: Sizes) -> object:
        """The native operation for a size of images."""
        key = tuple(sizes)
        found = self._operations.get(key)
        if found is None:
            while len(self._operations) >= self.CAPACITY:
                self._operations.pop(next(iter([*self._operations])), None)
            mask = np.unpackbits(self._bits, count=self._size).view(bool)
            with native_call():
                found = self._operations[key] = _core.sparse_create(_native(sizes), mask)
        return found


def _compiled(mask: int) -> CompiledMask:
    """The mask of a number.

    Raises
    ------
    StructureError
        If no layer that is alive has it.
    """
    if (found := _masks.get(mask)) is None:
        raise StructureError(
            "a graph of sparse layers needs their masks: keep the sparse model in memory, or make "
            "it again, while the graph that was compiled or exported from it is in use"
        )
    return found


def _native(sizes: Sizes) -> tuple[int, int, _Side, _Side]:
    inputs, outputs, h, kh, sh, ph, w, kw, sw, pw = sizes
    return inputs, outputs, (h, kh, sh, ph), (w, kw, sw, pw)


def density_limit(sizes: Sizes) -> float:
    """The density up to which a layer is faster over its kept weights alone; 0: never."""
    with native_call():
        return _core.sparse_limit(_native(sizes)) / 1000


def output_shape(source: torch.Tensor, sizes: Sizes) -> list[int]:
    """The shape of the outputs, for a source (blocks, channels, ..., samples of a block)."""
    rows, columns = output_side(*sizes[2:6]), output_side(*sizes[6:10])
    image = ([], [columns], [rows, columns])[source.dim() - 3]
    return [source.size(0), sizes[1], *image, source.size(-1)]


def outputs(
    source: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    mask: CompiledMask,
    sizes: Sizes,
) -> torch.Tensor:
    """The outputs of a layer, without a gradient; see `sparse_layer`."""
    source = source.contiguous()
    output = source.new_empty(output_shape(source, sizes))
    with native_call():
        _core.sparse_forward(
            mask.operation(sizes),
            source.size(0) * source.size(-1),
            array_of(source),
            array_of(values.contiguous()),
            None if bias is None else array_of(bias.contiguous()),
            array_of(output),
        )
    return output


@torch.library.custom_op("swiftforce::sparse_layer", mutates_args=(), device_types="cpu")
def sparse_layer(
    source: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    mask: int,
    sizes: Sequence[int],
    samples: int,
) -> torch.Tensor:
    """The outputs of a layer: (blocks, channels, ..., samples of a block), as the source."""
    return outputs(source, values, bias, _compiled(mask), sizes)


@sparse_layer.register_fake
def _(source, values, bias, mask, sizes, samples):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return source.new_empty(output_shape(source, sizes))


@torch.library.custom_op("swiftforce::sparse_gradients", mutates_args=(), device_types="cpu")
def sparse_gradients(
    gradient: torch.Tensor,
    source: torch.Tensor,
    values: torch.Tensor,
    mask: int,
    sizes: Sequence[int],
    samples: int,
    wanted: Sequence[bool],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of source, values and bias; those that are not wanted have no elements."""
    source, gradient = (without_gap(one, samples) for one in (source, gradient))
    shapes = (source.shape, values.shape, (sizes[1],))
    results = [
        source.new_empty(shape if needed else (0,))
        for shape, needed in zip(shapes, wanted, strict=True)
    ]
    targets = [
        array_of(one) if needed else None for one, needed in zip(results, wanted, strict=True)
    ]
    with native_call():
        _core.sparse_backward(
            _compiled(mask).operation(sizes),
            source.size(0) * source.size(-1),
            array_of(source),
            array_of(values.contiguous()),
            array_of(gradient),
            *targets,
        )
    return results[0], results[1], results[2]


@sparse_gradients.register_fake
def _(gradient, source, values, mask, sizes, samples, wanted):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    shapes = (source.shape, values.shape, (sizes[1],))
    return tuple(
        source.new_empty(shape if needed else (0,))
        for shape, needed in zip(shapes, wanted, strict=True)
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:  # noqa: ANN401
    source, values, bias, ctx.mask, ctx.sizes, ctx.samples = inputs
    ctx.has_bias = bias is not None
    ctx.save_for_backward(source, values)


def _backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # noqa: ANN401
    with torch._C.DisableTorchFunctionSubclass():  # What a user's function returns may be blocks.
        return _gradients_of(ctx, gradient)


def _gradients_of(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # noqa: ANN401
    source, values = ctx.saved_tensors
    wanted = [*ctx.needs_input_grad[:2], ctx.has_bias and ctx.needs_input_grad[2]]
    results = sparse_gradients(gradient, source, values, ctx.mask, ctx.sizes, ctx.samples, wanted)
    found = [one if needed else None for one, needed in zip(results, wanted, strict=True)]
    return (*found, None, None, None)


sparse_layer.register_autograd(_backward, setup_context=_save)
