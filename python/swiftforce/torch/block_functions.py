"""What functions of torch compute in the layout of `SampleBlocks`, without copies.

Functions that treat elements alone compute on the memory as it is. Batch normalisation, maximum
pooling and depthwise convolutions are layers of the native engine where that has them
(`block_layers`). What a handler cannot do it leaves to a copy in the layout of torch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from swiftforce.torch.block_layers import BatchNorm, BlockLayer, Layer, output_side
from swiftforce.torch.sample_blocks import (
    WIDTH,
    Handler,
    SampleBlocks,
    blocks_of,
    changes_first,
    data_of,
    handles,
    raw,
    shape_of,
    to_blocks,
    width_of,
)

# --------------------------------------------------------------------------- element by element

#: Functions of torch, of tensors and of torch.nn.functional, also those that compute in place.
# fmt: off
_ELEMENTWISE = (
    "abs", "add", "celu", "clamp", "clamp_max", "clamp_min", "clone", "contiguous", "detach",
    "div", "dropout", "elu", "empty_like", "eq", "erf", "exp", "float", "ge", "gelu", "gt",
    "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "le", "leaky_relu", "log1p",
    "logsigmoid", "lt", "masked_fill", "maximum", "minimum", "mish", "mul", "multiply", "ne",
    "neg", "ones_like", "pow", "rand_like", "randn_like", "reciprocal", "relu", "relu6",
    "rsqrt", "rsub", "selu", "sigmoid", "sign", "silu", "softplus", "softshrink", "softsign",
    "sqrt", "square", "sub", "subtract", "tanh", "tanhshrink", "threshold", "to", "true_divide",
    "where", "zeros_like", "__abs__", "__add__", "__eq__", "__ge__", "__gt__", "__iadd__",
    "__imul__", "__isub__", "__itruediv__", "__le__", "__lt__", "__mul__", "__ne__", "__neg__",
    "__pow__", "__radd__", "__rmul__", "__rsub__", "__rtruediv__", "__sub__", "__truediv__",
)
# fmt: on


def _elementwise(function: Handler, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
    """Compute on the memory as it is, with other tensors in its layout."""
    changes_blocks = bool(arguments) and isinstance(arguments[0], SampleBlocks)
    is_bound = changes_first(function) or function is torch.Tensor.to
    if (is_bound and not changes_blocks) or "out" in named:
        return NotImplemented
    if named.get("memory_format", torch.preserve_format) not in _OWN_FORMATS:
        return NotImplemented
    first = next(one for one in (*arguments, *named.values()) if isinstance(one, SampleBlocks))
    operands = [_operand(one, first) for one in arguments]
    others = {name: _operand(one, first) for name, one in named.items()}
    if any(one is NotImplemented for one in (*operands, *others.values())):
        return NotImplemented
    result = raw(function, *operands, **others)
    if result is first:
        return first
    if not isinstance(result, torch.Tensor) or any(result is one for one in operands):
        return NotImplemented
    return blocks_of(result, first.samples)


_OWN_FORMATS = (torch.preserve_format, torch.contiguous_format)


def _operand(value: Any, first: SampleBlocks) -> Any:  # noqa: ANN401
    """An argument in the layout of blocks, or what is broadcast over their samples."""
    rank = len(shape_of(first))
    if isinstance(value, SampleBlocks):
        fits = value.samples == first.samples and len(shape_of(value)) == rank
        return to_blocks(value, width_of(first)) if fits else NotImplemented
    if not isinstance(value, torch.Tensor) or value.dim() == 0:
        return value
    if value.dim() == rank and value.size(0) == first.samples:
        return data_of(to_blocks(value, width_of(first)))
    if value.dim() < rank or (value.dim() == rank and value.size(0) == 1):
        return value.unsqueeze(-1)
    return NotImplemented


handles(
    *(
        getattr(owner, one)
        for name in _ELEMENTWISE
        for owner in (torch, torch.Tensor, functional)
        for one in (name, f"{name}_")
        if hasattr(owner, one)
    )
)(_elementwise)


# --------------------------------------------------------------------------- layers


@handles(functional.batch_norm)
def _batch_norm(function: Handler, blocks: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
    names = ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    if not isinstance(blocks, SampleBlocks):
        return NotImplemented
    given = dict(zip(names, arguments, strict=False)) | named
    if given.get("training") and (result := _normalized(blocks, **given)) is not None:
        return result
    # Places without a sample must not count.
    if given.get("training") and blocks.samples % width_of(blocks):
        return NotImplemented
    return blocks_of(raw(functional.batch_norm, blocks, **given), blocks.samples)


def _normalized(
    blocks: SampleBlocks,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> SampleBlocks | None:
    """What the native engine normalises by the batch; None if it cannot."""
    parameters = (weight, bias, running_mean, running_var)
    if not _is_native(blocks, *parameters) or blocks.samples < WIDTH:
        return None
    if not (0 <= momentum <= 1 and eps > 0):
        return None
    layer = BlockLayer("batch_norm2d", *_image(blocks), momentum=momentum, epsilon=eps)
    output = BatchNorm.apply(  # type: ignore[no-untyped-call]
        data_of(blocks), weight, bias, (running_mean, running_var), layer, blocks.samples
    )
    return blocks_of(output, blocks.samples)


def _image(blocks: SampleBlocks) -> tuple[int, int, int]:
    """Channels, height and width; 1 where it has fewer dimensions."""
    channels, *sides = shape_of(blocks)[1:]
    height, width = [1] * (2 - len(sides)) + sides
    return channels, height, width


def _is_native(blocks: SampleBlocks, *parameters: torch.Tensor | None) -> bool:
    """Whether the native engine can compute with blocks and parameters: float32 on the CPU."""
    given = (blocks, *parameters)
    if not 2 <= len(shape_of(blocks)) <= 4 or any(one is None for one in given):
        return False
    if width_of(blocks) != WIDTH and not len(blocks) <= width_of(blocks) < WIDTH:
        return False
    if torch._C._are_functorch_transforms_active():
        return False  # They know torch's own functions alone.
    if any(one is not None and not one.is_contiguous() for one in parameters):
        return False
    return all(one.dtype == torch.float32 and one.device.type == "cpu" for one in given)  # type: ignore[union-attr]


@handles(torch.conv2d, functional.conv2d)
def _depthwise(
    _: Handler,
    blocks: Any,  # noqa: ANN401
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,  # noqa: ANN401
    padding: Any = 0,  # noqa: ANN401
    dilation: Any = 1,  # noqa: ANN401
    groups: int = 1,
) -> Any:  # noqa: ANN401
    """A convolution of each channel by itself."""
    if not isinstance(blocks, SampleBlocks) or isinstance(padding, str):
        return NotImplemented
    channels, height, width = _image(blocks)
    sides = {*_pair(stride)}, {*_pair(padding)}, {*weight.shape[2:]}
    if groups != channels or weight.shape[:2] != (channels, 1) or any(len(s) > 1 for s in sides):
        return NotImplemented
    (step,), (pad,), (kernel,) = sides
    parameters = (weight,) if bias is None else (weight, bias)
    if not _is_native(blocks, *parameters) or {*_pair(dilation)} != {1} or pad >= kernel:
        return NotImplemented
    layer = BlockLayer(
        "conv2d",
        channels,
        height,
        width,
        channels,
        kernel,
        step,
        pad,
        groups,
        has_bias=bias is not None,
    )
    image = tuple(output_side(side, kernel, step, pad) for side in (height, width))
    output = Layer.apply(data_of(blocks), layer, blocks.samples, image, *parameters)  # type: ignore[no-untyped-call]
    return blocks_of(output, blocks.samples)


def _native_pool(
    blocks: SampleBlocks,
    kernel_size: Any,  # noqa: ANN401
    stride: Any,  # noqa: ANN401
    padding: Any,  # noqa: ANN401
    named: dict[str, Any],
) -> SampleBlocks | None:
    """The maxima of square windows; None if the native engine has none such."""
    (kernel, *other), (step, *another) = {*_pair(kernel_size)}, {*_pair(stride)}
    plain = _pair(padding) == (0, 0) and named.get("dilation", (1, 1, 1)) == (1, 1, 1)
    channels, height, width = _image(blocks)
    if other or another or not plain or named.get("ceil_mode") or not _is_native(blocks):
        return None
    if kernel > min(height, width):
        return None
    layer = BlockLayer("max_pool2d", channels, height, width, kernel=kernel, stride=step)
    image = tuple(output_side(side, kernel, step, 0) for side in (height, width))
    output = Layer.apply(data_of(blocks), layer, blocks.samples, image)  # type: ignore[no-untyped-call]
    return blocks_of(output, blocks.samples)


def _windows(over_three: Handler, *others: str) -> Handler:
    """Pooling of images, as that of volumes whose third axis is the samples of a block.

    `others` are the names of the parameters after the padding.
    """

    def pool(
        _: Handler,
        blocks: SampleBlocks,
        kernel_size: Any,  # noqa: ANN401
        stride: Any = None,  # noqa: ANN401
        padding: Any = 0,  # noqa: ANN401
        *arguments: Any,  # noqa: ANN401
        **named: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        named |= dict(zip(others, arguments, strict=False))
        if len(shape_of(blocks)) != 4 or named.pop("return_indices", False):
            return NotImplemented
        if "dilation" in named:
            named["dilation"] = (*_pair(named["dilation"]), 1)
        if over_three is functional.max_pool3d:
            found = _native_pool(blocks, kernel_size, stride or kernel_size, padding, named)
            if found is not None:
                return found
        strides = (*_pair(stride or kernel_size), 1)
        sizes = (*_pair(kernel_size), 1), strides, (*_pair(padding), 0)
        return blocks_of(raw(over_three, blocks, *sizes, **named), blocks.samples)

    return pool


def _pair(value: Any) -> tuple[int, int]:  # noqa: ANN401
    pair = (value, value) if isinstance(value, int) else tuple(value)
    return (pair[0], pair[-1])


handles(functional.max_pool2d, torch.max_pool2d)(
    _windows(functional.max_pool3d, "dilation", "ceil_mode", "return_indices")
)
handles(functional.avg_pool2d)(
    _windows(functional.avg_pool3d, "ceil_mode", "count_include_pad", "divisor_override")
)


@handles(functional.adaptive_avg_pool2d)
def _adaptive(_: Handler, blocks: SampleBlocks, output_size: Any) -> Any:  # noqa: ANN401
    if len(shape_of(blocks)) != 4 or _pair(output_size) != (1, 1):
        return NotImplemented
    return blocks_of(raw(torch.mean, blocks, (2, 3), keepdim=True), blocks.samples)


@handles(torch.mean, torch.Tensor.mean)
def _mean(_: Handler, blocks: SampleBlocks, *dims: Any, **named: Any) -> Any:  # noqa: ANN401
    dim = named.pop("dim", dims[0] if dims else None)
    keepdim = named.pop("keepdim", dims[1] if len(dims) > 1 else False)
    if named or len(shape_of(blocks)) != 4 or not isinstance(dim, (list, tuple)):
        return NotImplemented
    if sorted(one % 4 for one in dim) != [2, 3]:
        return NotImplemented
    return blocks_of(raw(torch.mean, blocks, (2, 3), keepdim=keepdim), blocks.samples)


@handles(torch.flatten, torch.Tensor.flatten)
def _flatten(_: Handler, blocks: SampleBlocks, start_dim: int = 0, end_dim: int = -1) -> Any:  # noqa: ANN401
    rank = len(shape_of(blocks))
    if start_dim != 1 or end_dim % rank != rank - 1:
        return NotImplemented
    return blocks_of(raw(torch.flatten, blocks, 1, rank - 1), blocks.samples)


@handles(torch.cat, torch.concat)
def _cat(_: Handler, tensors: Any, dim: int = 0) -> Any:  # noqa: ANN401
    first = next(one for one in tensors if isinstance(one, SampleBlocks))
    rank, width = len(shape_of(first)), width_of(first)
    if dim % rank == 0 or any(one.dim() != rank or len(one) != len(first) for one in tensors):
        return NotImplemented
    data = [data_of(to_blocks(one, width)) for one in tensors]
    return blocks_of(torch.cat(data, dim % rank), first.samples)
