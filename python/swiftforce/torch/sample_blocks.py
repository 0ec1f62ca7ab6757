"""Activations in the order of the native kernels: tensors whose samples are innermost.

A sparse layer computes 16 samples at a time, which lie side by side: (blocks, channels, ..., 16).
`SampleBlocks` is a tensor in that order that calls itself (samples, channels, ...). What torch
computes element by element, batch normalisation, pooling and concatenation keep the order; every
other function gets a copy in torch's own order. So layers follow each other without conversions,
whatever the code between them is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.utils import _pytree as pytree

from swiftforce.torch.block_layers import BatchNorm, BlockLayer, Layer, RectifyNormalized

#: Samples of a block.
WIDTH = 16

Handler = Callable[..., Any]

#: How functions of torch compute on blocks; they take the function and its arguments.
_HANDLERS: dict[Any, Handler] = {}

#: How many copies were made, by direction.
conversions = {"to blocks": 0, "from blocks": 0}


class SampleBlocks(torch.Tensor):
    """A tensor (samples, channels, ...) that lies in memory as (blocks, channels, ..., 16).

    A batch of fewer than 16 samples may be one block of so many. The last block may have places
    without a sample, whose values are arbitrary.
    """

    samples: int
    #: How batch normalisation made it, if it did: the arguments of `RectifyNormalized`.
    normalization: tuple[Any, ...] | None = None
    #: The version of the memory then.
    normalized_version: int = 0

    @classmethod
    def __torch_function__(
        cls,
        function: Any,  # noqa: ANN401 - any function of torch
        types: tuple[type, ...],
        arguments: tuple[Any, ...] = (),
        named: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what the function returns
        named = named or {}
        handler = _HANDLERS.get(function)
        name = getattr(function, "__name__", "")
        if handler is None and name == "__get__":
            handler = _PROPERTIES.get(function.__self__.__name__, _raw)
        elif handler is None and name == "__set__":
            handler = _set
        if handler is not None:
            result = handler(function, *arguments, **named)
            if result is not NotImplemented:
                return result
        return _in_torch_order(function, arguments, named)


def _raw(function: Handler, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
    """Call a function on the memory as it is, with all of its dimensions."""
    with torch._C.DisableTorchFunctionSubclass():
        return function(*arguments, **named)


def blocks_of(data: torch.Tensor, samples: int) -> SampleBlocks:
    """Call a tensor (blocks, channels, ..., 16) one of so many samples.

    The tensor changes its class: a view of it would cost copies when it is changed in place.
    """
    data.__class__ = SampleBlocks
    data.samples = samples  # type: ignore[attr-defined]
    return data  # type: ignore[return-value]


def data_of(blocks: SampleBlocks) -> torch.Tensor:
    """The memory of blocks as a plain tensor (blocks, channels, ..., 16)."""
    return _raw(torch.Tensor.as_subclass, blocks, torch.Tensor)  # type: ignore[no-any-return]


def to_blocks(tensor: torch.Tensor, width: int = WIDTH) -> SampleBlocks:
    """A copy with samples innermost; zeros where there is no sample.

    Parameters
    ----------
    tensor : tensor (samples, channels, ...)
        Or blocks, which are returned as they are if their width is the same.
    width : int
        Samples of a block.
    """
    if isinstance(tensor, SampleBlocks):
        if _raw(torch.Tensor.size, tensor, -1) == width:
            return tensor
        tensor = from_blocks(tensor)
    conversions["to blocks"] += 1
    return blocks_of(pack(tensor, width), tensor.size(0))


def from_blocks(blocks: SampleBlocks) -> torch.Tensor:
    """A copy in the order of torch."""
    conversions["from blocks"] += 1
    return unpack(data_of(blocks), blocks.samples)


def pack(tensor: torch.Tensor, width: int = WIDTH) -> torch.Tensor:
    """A copy (blocks, channels, ..., width) of a tensor (samples, channels, ...)."""
    samples, *shape = tensor.shape
    blocks = -(-samples // width)
    if gap := blocks * width - samples:
        tensor = torch.cat([tensor, tensor.new_zeros(gap, *shape)])
    return tensor.reshape(blocks, width, *shape).movedim(1, -1).contiguous()


def unpack(data: torch.Tensor, samples: int) -> torch.Tensor:
    """What `pack` made a copy of."""
    return data.movedim(-1, 1).reshape(-1, *data.shape[1:-1])[:samples]


def in_torch_order(value: Any) -> Any:  # noqa: ANN401 - any structure
    """The same structure with copies of its blocks in the order of torch."""
    if isinstance(value, torch.Tensor):
        return from_blocks(value) if isinstance(value, SampleBlocks) else value
    return pytree.tree_map_only(SampleBlocks, from_blocks, value)


def _in_torch_order(function: Handler, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: ANN401
    """Call a function on copies, and write back what it changes in place."""
    copied = {
        id(one): from_blocks(one)
        for one in pytree.tree_leaves((arguments, named))
        if isinstance(one, SampleBlocks)
    }
    plain, plain_named = pytree.tree_map_only(
        SampleBlocks, lambda one: copied[id(one)], (arguments, named)
    )
    result = function(*plain, **plain_named)
    if _changes_first(function) and isinstance(arguments[0], SampleBlocks):
        target = arguments[0]
        width = _raw(torch.Tensor.size, target, -1)
        _raw(torch.Tensor.copy_, target, to_blocks(copied[id(target)], width))
        return target if result is copied[id(target)] else result
    return result


def _changes_first(function: Handler) -> bool:
    """Whether a function changes its first argument in place."""
    name = getattr(function, "__name__", "")
    if name.startswith("__"):
        return name == "__setitem__" or name.startswith("__i")
    return name.endswith("_")


def _handles(*functions: Any) -> Callable[[Handler], Handler]:  # noqa: ANN401
    def register(handler: Handler) -> Handler:
        for function in functions:
            _HANDLERS[function] = handler
        return handler

    return register


# --------------------------------------------------------------------------- sizes and properties


def _shape(blocks: SampleBlocks) -> torch.Size:
    return torch.Size((blocks.samples, *_raw(torch.Tensor.size, blocks)[1:-1]))


def _size(_: Handler, blocks: SampleBlocks, dim: int | None = None) -> Any:  # noqa: ANN401
    return _shape(blocks) if dim is None else _shape(blocks)[dim]


def _gradient(_: Handler, blocks: SampleBlocks) -> torch.Tensor | None:
    gradient = _raw(getattr, blocks, "grad")
    return None if gradient is None else unpack(gradient, blocks.samples)


def _set(function: Handler, blocks: SampleBlocks, value: Any) -> None:  # noqa: ANN401
    """Set a property; tensors, as of ``grad`` and ``data``, in the order of blocks."""
    if isinstance(value, torch.Tensor):
        value = data_of(to_blocks(value, _width(blocks)))
    _raw(function, blocks, value)


def _unknown(*_: object) -> Any:  # noqa: ANN401
    return NotImplemented


_handles(torch.Tensor.size)(_size)
_handles(torch.Tensor.__len__)(lambda _, blocks: blocks.samples)
_handles(torch.Tensor.dim, torch.Tensor.ndimension)(lambda _, blocks: len(_shape(blocks)))
_handles(torch.numel, torch.Tensor.numel, torch.Tensor.nelement)(
    lambda _, blocks: _shape(blocks).numel()
)
_handles(
    torch.is_floating_point,
    torch.Tensor.is_floating_point,
    torch.Tensor.is_complex,
    torch.Tensor.get_device,
    torch.Tensor.element_size,
    torch.Tensor.requires_grad_,
)(_raw)

_PROPERTIES: dict[str, Handler] = {
    "shape": lambda _, blocks: _shape(blocks),
    "ndim": lambda _, blocks: len(_shape(blocks)),
    "grad": _gradient,
    **dict.fromkeys(("T", "mT", "H", "mH", "data", "real", "imag"), _unknown),
}


@_handles(torch.Tensor.register_hook)
def _register_hook(function: Handler, blocks: SampleBlocks, hook: Handler) -> Any:  # noqa: ANN401
    def on_blocks(gradient: torch.Tensor) -> torch.Tensor | None:
        changed = hook(unpack(gradient, blocks.samples))
        return None if changed is None else pack(changed, gradient.size(-1))

    return _raw(function, blocks, on_blocks)


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
    """Compute on the memory as it is; other tensors are brought to its order."""
    changes_first = _changes_first(function)
    if (changes_first and not isinstance(arguments[0], SampleBlocks)) or "out" in named:
        return NotImplemented
    first = next(one for one in (*arguments, *named.values()) if isinstance(one, SampleBlocks))
    width, rank = _raw(torch.Tensor.size, first, -1), len(_shape(first))
    if named.get("memory_format", torch.preserve_format) not in _OWN_FORMATS:
        return NotImplemented
    brought = [_brought(one, first.samples, width, rank) for one in arguments]
    others = {name: _brought(one, first.samples, width, rank) for name, one in named.items()}
    if any(one is NotImplemented for one in (*brought, *others.values())):
        return NotImplemented
    result = _raw(function, *brought, **others)
    if result is first:
        return first
    return blocks_of(result, first.samples)


_OWN_FORMATS = (torch.preserve_format, torch.contiguous_format)


def _brought(value: Any, samples: int, width: int, rank: int) -> Any:  # noqa: ANN401
    """An argument in the order of blocks, or what cannot be told apart from it by broadcasting."""
    if isinstance(value, SampleBlocks):
        fits = value.samples == samples and len(_shape(value)) == rank
        return to_blocks(value, width) if fits else NotImplemented
    if not isinstance(value, torch.Tensor) or value.dim() == 0:
        return value
    if value.dim() == rank and value.size(0) == samples:
        return data_of(to_blocks(value, width))
    if value.dim() < rank or (value.dim() == rank and value.size(0) == 1):
        return value.unsqueeze(-1)
    return NotImplemented


_handles(
    *(
        getattr(owner, one)
        for name in _ELEMENTWISE
        for owner in (torch, torch.Tensor, functional)
        for one in (name, f"{name}_")
        if hasattr(owner, one)
    )
)(_elementwise)


# --------------------------------------------------------------------------- layers


@_handles(functional.batch_norm, torch.batch_norm)
def _batch_norm(function: Handler, blocks: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
    names = ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    if not isinstance(blocks, SampleBlocks):
        return NotImplemented
    given = dict(zip(names, arguments, strict=False)) | named
    if given.get("training") and (result := _normalized(blocks, **given)) is not None:
        return result
    # Places without a sample must not count.
    if given.get("training") and blocks.samples % _width(blocks):
        return NotImplemented
    return blocks_of(_raw(functional.batch_norm, blocks, **given), blocks.samples)


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
    source = data_of(blocks)
    output, saved = BatchNorm.apply(  # type: ignore[no-untyped-call]
        source, weight, bias, (running_mean, running_var), layer, blocks.samples
    )
    result = blocks_of(output, blocks.samples)
    result.normalization = (source, weight, bias, saved, layer, blocks.samples)
    result.normalized_version = _raw(getattr, result, "_version")
    return result


@_handles(functional.relu, torch.relu, torch.Tensor.relu, torch.relu_, torch.Tensor.relu_)
def _relu(function: Handler, blocks: SampleBlocks, inplace: bool = False) -> Any:  # noqa: ANN401
    """Rectify; what batch normalisation just made is differentiated together with it."""
    in_place = inplace or _changes_first(function)
    made = blocks.normalization
    if made is None or _raw(getattr, blocks, "_version") != blocks.normalized_version:
        return _elementwise(torch.relu_ if in_place else torch.relu, blocks)
    result = RectifyNormalized.apply(blocks, *made, in_place)  # type: ignore[no-untyped-call]
    blocks.normalization = None if in_place else made
    return blocks if in_place else blocks_of(result, blocks.samples)


def _width(blocks: SampleBlocks) -> int:
    return _raw(torch.Tensor.size, blocks, -1)  # type: ignore[no-any-return]


def _image(blocks: SampleBlocks) -> tuple[int, int, int]:
    """Channels, height and width; 1 where it has fewer dimensions."""
    channels, *sides = _shape(blocks)[1:]
    height, width = [1] * (2 - len(sides)) + sides
    return channels, height, width


def _is_native(blocks: SampleBlocks, *parameters: torch.Tensor | None) -> bool:
    """Whether the native engine can compute with blocks and parameters: float32 on the CPU."""
    given = (blocks, *parameters)
    if not 2 <= len(_shape(blocks)) <= 4 or any(one is None for one in given):
        return False
    if _width(blocks) != WIDTH and (_width(blocks) > WIDTH or len(blocks) > _width(blocks)):
        return False
    if any(one is not None and not one.is_contiguous() for one in parameters):
        return False
    return all(one.dtype == torch.float32 and one.device.type == "cpu" for one in given)  # type: ignore[union-attr]


@_handles(torch.conv2d, functional.conv2d)
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
    image = tuple((side + 2 * pad - kernel) // step + 1 for side in (height, width))
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
    image = tuple((side - kernel) // step + 1 for side in (height, width))
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
        if len(_shape(blocks)) != 4 or named.pop("return_indices", False):
            return NotImplemented
        if "dilation" in named:
            named["dilation"] = (*_pair(named["dilation"]), 1)
        if over_three is functional.max_pool3d:
            found = _native_pool(blocks, kernel_size, stride or kernel_size, padding, named)
            if found is not None:
                return found
        strides = (*_pair(stride or kernel_size), 1)
        sizes = (*_pair(kernel_size), 1), strides, (*_pair(padding), 0)
        return blocks_of(_raw(over_three, blocks, *sizes, **named), blocks.samples)

    return pool


def _pair(value: Any) -> tuple[int, int]:  # noqa: ANN401
    pair = (value, value) if isinstance(value, int) else tuple(value)
    return (pair[0], pair[-1])


_handles(functional.max_pool2d, torch.max_pool2d)(
    _windows(functional.max_pool3d, "dilation", "ceil_mode", "return_indices")
)
_handles(functional.avg_pool2d)(
    _windows(functional.avg_pool3d, "ceil_mode", "count_include_pad", "divisor_override")
)


@_handles(functional.adaptive_avg_pool2d)
def _adaptive(_: Handler, blocks: SampleBlocks, output_size: Any) -> Any:  # noqa: ANN401
    if len(_shape(blocks)) != 4 or _pair(output_size) != (1, 1):
        return NotImplemented
    return blocks_of(_raw(torch.mean, blocks, (2, 3), keepdim=True), blocks.samples)


@_handles(torch.mean, torch.Tensor.mean)
def _mean(_: Handler, blocks: SampleBlocks, *dims: Any, **named: Any) -> Any:  # noqa: ANN401
    dim = named.pop("dim", dims[0] if dims else None)
    keepdim = named.pop("keepdim", dims[1] if len(dims) > 1 else False)
    if named or len(_shape(blocks)) != 4 or not isinstance(dim, (list, tuple)):
        return NotImplemented
    if sorted(one % 4 for one in dim) != [2, 3]:
        return NotImplemented
    return blocks_of(_raw(torch.mean, blocks, (2, 3), keepdim=keepdim), blocks.samples)


@_handles(torch.flatten, torch.Tensor.flatten)
def _flatten(_: Handler, blocks: SampleBlocks, start_dim: int = 0, end_dim: int = -1) -> Any:  # noqa: ANN401
    rank = len(_shape(blocks))
    if start_dim != 1 or end_dim % rank != rank - 1:
        return NotImplemented
    return blocks_of(_raw(torch.flatten, blocks, 1, rank - 1), blocks.samples)


@_handles(torch.cat, torch.concat)
def _cat(_: Handler, tensors: Any, dim: int = 0) -> Any:  # noqa: ANN401
    first = next(one for one in tensors if isinstance(one, SampleBlocks))
    rank, width = len(_shape(first)), _raw(torch.Tensor.size, first, -1)
    if dim % rank == 0 or any(one.dim() != rank or len(one) != len(first) for one in tensors):
        return NotImplemented
    data = [data_of(to_blocks(one, width)) for one in tensors]
    return blocks_of(torch.cat(data, dim % rank), first.samples)
