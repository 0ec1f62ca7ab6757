"""Activations in the layout of the native kernels: tensors whose samples are innermost.

A sparse layer computes 16 samples at a time, which lie side by side: (blocks, channels, ..., 16).
`SampleBlocks` is a tensor in that layout that calls itself (samples, channels, ...). The functions
in `block_functions` keep the layout; every other function gets a copy in torch's own. So layers
follow each other without conversions, whatever the code between them is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as pytree

#: Samples of a block.
WIDTH = 16

Handler = Callable[..., Any]

#: How functions of torch compute on blocks, and what arguments that takes: the function, and its
#: own.
_HANDLERS: dict[Any, tuple[Handler, inspect.Signature]] = {}

#: How many copies were made, by direction.
conversions = {"to blocks": 0, "from blocks": 0}


class SampleBlocks(torch.Tensor):
    """A tensor (samples, channels, ...) that lies in memory as (blocks, channels, ..., 16).

    A batch of fewer than 16 samples may be one block of so many. The last block may have places
    without a sample, whose values are arbitrary.
    """

    samples: int
    #: A copy in the layout of torch that others have views of: changes in place reach both.
    mirror: torch.Tensor | None = None
    #: The versions of blocks and mirror at which they were equal.
    equal_at: tuple[int | None, int | None] = (None, None)

    @classmethod
    def __torch_function__(
        cls,
        function: Any,  # noqa: ANN401 - any function of torch
        types: tuple[type, ...],
        arguments: tuple[Any, ...] = (),
        named: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what the function returns
        named = dict(named or {})
        if "input" in named:
            arguments = (named.pop("input"), *arguments)
        given = pytree.tree_leaves((arguments, named))
        mirrored = [
            one for one in given if isinstance(one, SampleBlocks) and one.mirror is not None
        ]
        for one in mirrored:
            _equalise(one)
        handler, signature = _HANDLERS.get(function, (None, _ANY))
        kind = getattr(function, "__name__", "")
        if handler is None and kind in ("__get__", "__set__"):
            name = function.__self__.__name__
            handler = _PROPERTIES.get(name, raw) if kind == "__get__" else _SETTERS.get(name, raw)
        if handler is not None and _binds(signature, function, arguments, named):
            result = handler(function, *arguments, **named)
            for one in mirrored:
                _equalise(one, changed=_changes(function, arguments, one))
            if result is not NotImplemented:
                return result
        return _in_torch_layout(function, arguments, named)


_ANY = inspect.signature(lambda *_, **__: None)


def _binds(
    signature: inspect.Signature,
    function: Handler,
    arguments: tuple[Any, ...],
    named: dict[str, Any],
) -> bool:
    """Whether a handler takes these arguments."""
    try:
        signature.bind(function, *arguments, **named)
    except TypeError:
        return False
    return True


def raw(function: Handler, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
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
    if blocks.mirror is not None:
        _equalise(blocks)
    return raw(torch.Tensor.as_subclass, blocks, torch.Tensor)  # type: ignore[no-any-return]


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
        if width_of(tensor) == width:
            return tensor
        tensor = from_blocks(tensor)
    conversions["to blocks"] += 1
    return blocks_of(pack(tensor, width), tensor.size(0))


def from_blocks(blocks: SampleBlocks) -> torch.Tensor:
    """A copy in the layout of torch."""
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


def to_torch_layout(value: Any) -> Any:  # noqa: ANN401 - any structure
    """The same structure with copies of its blocks in the layout of torch."""
    if isinstance(value, torch.Tensor):
        return from_blocks(value) if isinstance(value, SampleBlocks) else value
    return pytree.tree_map_only(SampleBlocks, from_blocks, value)


def _in_torch_layout(function: Handler, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: ANN401
    """Call a function on copies, and write back those that it changes in place."""
    leaves = pytree.tree_leaves((arguments, named))
    given = {id(one): one for one in leaves if isinstance(one, SampleBlocks)}
    copied = {
        number: from_blocks(one) if one.mirror is None else one.mirror
        for number, one in given.items()
    }
    before = {number: _version(copy) for number, copy in copied.items()}
    plain, plain_named = pytree.tree_map_only(
        SampleBlocks, lambda one: copied[id(one)], (arguments, named)
    )
    result = function(*plain, **plain_named)
    results = pytree.tree_leaves(result)
    for number, one in given.items():
        copy = copied[number]
        if _version(copy) != before[number] or _changes(function, arguments, one):
            raw(torch.Tensor.copy_, one, to_blocks(copy, width_of(one)))
        if any(_share_memory(copy, other) for other in results):
            one.mirror = copy
        one.equal_at = _version(one), _version(copy)
        result = one if result is copy else result
    return result


def _share_memory(copy: torch.Tensor, other: object) -> bool:
    """Whether a result is a view of a copy."""
    return (
        isinstance(other, torch.Tensor)
        and other is not copy
        and other.layout == torch.strided
        and other.untyped_storage().data_ptr() == copy.untyped_storage().data_ptr()
    )


def _equalise(blocks: SampleBlocks, *, changed: bool = False) -> None:
    """Write what was changed in place in blocks or mirror to the other.

    Tensors made in inference mode do not count changes: the mirror is what counts, unless the
    blocks are known to have `changed`.
    """
    mirror = blocks.mirror
    assert mirror is not None
    version, mirror_version = blocks.equal_at
    if changed or _version(blocks) != version:
        blocks.mirror = None
        mirror.copy_(from_blocks(blocks))
        blocks.mirror = mirror
    elif mirror_version is None or _version(mirror) != mirror_version:
        raw(torch.Tensor.copy_, blocks, pack(mirror, width_of(blocks)))
    blocks.equal_at = _version(blocks), _version(mirror)


def _version(tensor: torch.Tensor) -> int | None:
    """How often a tensor was changed in place; None for those that do not count."""
    with torch._C.DisableTorchFunctionSubclass():
        return None if tensor.is_inference() else tensor._version


def _changes(function: Handler, arguments: tuple[Any, ...], blocks: SampleBlocks) -> bool:
    return bool(arguments) and arguments[0] is blocks and changes_first(function)


def changes_first(function: Handler) -> bool:
    """Whether a function changes its first argument in place, by its name."""
    name = getattr(function, "__name__", "")
    if name.startswith("__"):
        return name in ("__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__")
    return name.endswith("_")


def handles(*functions: Any) -> Callable[[Handler], Handler]:  # noqa: ANN401
    """Let a handler compute functions of torch: it may return NotImplemented."""

    def register(handler: Handler) -> Handler:
        for function in functions:
            _HANDLERS[function] = handler, inspect.signature(handler)
        return handler

    return register


# --------------------------------------------------------------------------- sizes and properties


def shape_of(blocks: SampleBlocks) -> torch.Size:
    """Samples, channels and the other dimensions."""
    return torch.Size((blocks.samples, *raw(torch.Tensor.size, blocks)[1:-1]))


def width_of(blocks: SampleBlocks) -> int:
    """Samples of a block."""
    return raw(torch.Tensor.size, blocks, -1)  # type: ignore[no-any-return]


def _size(_: Handler, blocks: SampleBlocks, dim: int | None = None) -> Any:  # noqa: ANN401
    return shape_of(blocks) if dim is None else shape_of(blocks)[dim]


def _gradient(_: Handler, blocks: SampleBlocks) -> torch.Tensor | None:
    gradient = raw(getattr, blocks, "grad")
    return None if gradient is None else unpack(gradient, blocks.samples)


def _set_gradient(function: Handler, blocks: SampleBlocks, value: Any) -> None:  # noqa: ANN401
    value = None if value is None else data_of(to_blocks(value, width_of(blocks)))
    raw(function, blocks, value)


def _set_data(function: Handler, blocks: SampleBlocks, value: torch.Tensor) -> None:
    raw(function, blocks, data_of(to_blocks(value, width_of(blocks))))
    blocks.samples = len(value)


def _data(function: Handler, blocks: SampleBlocks) -> SampleBlocks:
    return blocks_of(raw(function, blocks), blocks.samples)


def _unknown(*_: object) -> Any:  # noqa: ANN401
    return NotImplemented


handles(torch.Tensor.size)(_size)
handles(torch.Tensor.__len__)(lambda _, blocks: blocks.samples)
handles(torch.Tensor.dim, torch.Tensor.ndimension)(lambda _, blocks: len(shape_of(blocks)))
handles(torch.numel, torch.Tensor.numel, torch.Tensor.nelement)(
    lambda _, blocks: shape_of(blocks).numel()
)
handles(
    torch.is_floating_point,
    torch.Tensor.is_floating_point,
    torch.Tensor.is_complex,
    torch.Tensor.get_device,
    torch.Tensor.element_size,
    torch.Tensor.requires_grad_,
    torch.Tensor.retain_grad,
)(raw)

_PROPERTIES: dict[str, Handler] = {
    "shape": lambda _, blocks: shape_of(blocks),
    "ndim": lambda _, blocks: len(shape_of(blocks)),
    "grad": _gradient,
    "data": _data,
    **dict.fromkeys(("T", "mT", "H", "mH", "real", "imag"), _unknown),
}
_SETTERS: dict[str, Handler] = {"grad": _set_gradient, "data": _set_data}


@handles(torch.Tensor.register_hook)
def _register_hook(function: Handler, blocks: SampleBlocks, hook: Handler) -> Any:  # noqa: ANN401
    def on_blocks(gradient: torch.Tensor) -> torch.Tensor | None:
        changed = hook(unpack(gradient, blocks.samples))
        return None if changed is None else pack(changed, gradient.size(-1))

    return raw(function, blocks, on_blocks)


@handles(torch.autograd.grad)
def _gradients(function: Handler, outputs: Any, inputs: Any, *others: Any, **named: Any) -> Any:  # noqa: ANN401
    """Gradients of blocks are in the layout of torch."""
    given = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs)
    found = raw(function, to_torch_layout(outputs), given, *others, **named)
    return tuple(
        unpack(gradient, one.samples)
        if isinstance(one, SampleBlocks) and gradient is not None
        else gradient
        for one, gradient in zip(given, found, strict=True)
    )
