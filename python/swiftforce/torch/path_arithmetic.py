"""What arithmetic and the moving of numbers do to paths: rules that others are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from swiftforce.torch.calls import Call
from swiftforce.torch.live import (
    after_product,
    alive,
    before_product,
    opening,
    replaced,
    tensors_in,
)


def unary(call: Call) -> Any:  # noqa: ANN401
    """A function of each number by itself; a normalisation, a softmax or a dropout.

    A path leads on through it. Where none does, it lets others pass if it is not zero at zero.
    """
    tensor, live = call.tensor, call.live
    others = tensors_in((call.args[1:], call.kwargs)) if call.name not in {"to", "type_as"} else ()
    if any(live.concerns(one) for one in others if one is not tensor):
        raise call.unknown()
    dtypes = [one for one in (*call.args, *call.kwargs.values()) if isinstance(one, torch.dtype)]
    if any(not one.is_floating_point for one in dtypes):
        raise call.unknown()
    twin = _twin_by_number(call, tensor)
    if not live.is_live(tensor):
        if bool(twin.any()):
            raise call.unknown()
        return tensor if call.in_place else call.result(tensor.clone())
    if call.in_place:
        live.twin(tensor).copy_(twin)
        return tensor
    return call.result(tensor.to(twin.device, copy=True), twin)


def _twin_by_number(call: Call, *terms: Any) -> torch.Tensor:  # noqa: ANN401
    """Where a function of each number of these by itself can be other than zero."""
    live = call.live
    twin = opening(call.again(live.resting))
    for one in terms:
        if live.is_live(one):
            twin = twin.masked_fill((live.twin(one) > 0) & (twin == 0), 1.0)
    return twin


#: Functions that join numbers; other tensors of integers are indices.
_JOINING = frozenset({"cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack"})


def structural(call: Call, *, sums: bool = False) -> Any:  # noqa: ANN401
    """A function that moves numbers, or adds some up: itself, with what is on no path at zero."""
    live = call.live
    is_live = any(map(live.is_live, tensors_in((call.args, call.kwargs))))
    if call.in_place:
        return _structural_in_place(call)

    def path(tensor: torch.Tensor) -> torch.Tensor:
        if not (tensor.is_floating_point() or call.name in _JOINING):
            return tensor
        # Beside weights, constants are weights that are all kept.
        return live.path(tensor) if is_live else live.factor(tensor)

    def twin(tensor: torch.Tensor) -> torch.Tensor:
        if not (tensor.is_floating_point() or call.name in _JOINING):
            return tensor
        found = live.twin(tensor)
        return found.clamp(min=0) if sums else found

    args, kwargs = replaced((call.args, dict(call.kwargs)), path)
    found = call.function(*args, **kwargs)
    if isinstance(found, torch.Tensor):
        return _noted(call, found, call.again(twin) if is_live else None)
    twins = call.again(twin) if is_live else [None] * len(found)
    return type(found)(_noted(call, *pair) for pair in zip(found, twins, strict=True))


def _noted(call: Call, found: torch.Tensor, twin: torch.Tensor | None) -> torch.Tensor:
    # What shares memory may be written to later, and its numbers are zeros and ones already.
    return call.result(found if found._is_view() else alive(found), twin)


def _structural_in_place(call: Call) -> Any:  # noqa: ANN401
    """``x.copy_(y)``, ``x[...] = y``, ``x.t_()`` and their kin."""
    live, (target, *others) = call.live, call.args
    written = {"copy": slice(0, 1), "setitem": slice(1, 2)}.get(call.name, slice(0))
    is_live = any(map(live.is_live, (target, *others[written])))
    if live.is_mask(target) and is_live:
        raise call.unknown()

    def write(to: torch.Tensor, by: Callable[[Any], torch.Tensor]) -> None:
        given = [*others]
        given[written] = map(by, others[written])
        call.function(to, *given, **call.kwargs)

    if is_live:
        if not live.is_live(target):
            live.adopt(target)
        with torch.no_grad():
            write(live.twin(target), live.twin)
        write(target, live.path)
    else:
        if not live.is_mask(target):
            target.copy_(live.factor(target))
        write(target, live.factor)
        live.set_mask(target)
    return target


def added(call: Call) -> Any:  # noqa: ANN401
    """A sum or difference of two, or the larger one: a path leads on from either.

    A constant that is added opens a gate, as in ``x * (1 + scale)``, and one far below zero closes
    it, as in attention; weights that are added do neither, as biases do not.
    """
    pair, live = call.pair(), call.live
    terms = [one for one in pair if live.is_live(one)]
    total: Any = sum(terms or map(live.factor, pair))
    if not terms:
        return call.result(alive(total))
    shape = torch.broadcast_shapes(*(getattr(one, "shape", ()) for one in pair))
    path = alive(total).expand(shape)
    twin = _twin_by_number(call, *pair)
    return call.result(path.masked_fill(twin == -torch.inf, 0), twin)


Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def product(call: Call, function: Product, first: Any, second: Any) -> Any:  # noqa: ANN401
    """A product of two, or sums of products.

    Of two live ones, a path leads on from each where the other can be other than zero.
    """
    live = call.live
    a, b = live.factor(first), live.factor(second)
    if live.is_live(a) and live.is_live(b):
        left = function(before_product(a), live.nonzero(b))
        out = left + function(live.nonzero(a), before_product(b))
    else:
        out = function(*(before_product(one) if live.concerns(one) else one for one in (a, b)))
    twin = None
    if live.is_live(a) or live.is_live(b):
        with torch.no_grad():
            twin = after_product(function(live.nonzero(a), live.nonzero(b)))
        if function is torch.mul:  # what attention shall ignore stays so when it is scaled
            for one, scale in ((a, b), (b, a)):
                if live.is_live(one) and not live.concerns(scale):
                    is_closed = (live.twin(one) == -torch.inf) & (scale > 0)
                    twin = torch.where(is_closed, -torch.inf, twin)
    return call.result(after_product(out), twin)


def multiplied(call: Call) -> Any:  # noqa: ANN401
    """``a * b`` or ``b * a``."""
    return product(call, torch.mul, *call.pair())


def matrix_product(call: Call, *, swapped: bool = False) -> Any:  # noqa: ANN401
    """``a @ b`` and its kin."""
    first, second = call.pair()
    return product(call, torch.matmul, *((second, first) if swapped else (first, second)))


def contracted(call: Call) -> Any:  # noqa: ANN401
    """An einsum of one or two."""
    equation, *operands = call.args
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = list(operands[0])
    if not isinstance(equation, str) or len(operands) > 2:
        raise call.unknown()
    if len(operands) == 1:
        return structural(call, sums=True)
    return product(call, partial(torch.einsum, equation), *operands)


def divided(call: Call, *, swapped: bool = False) -> Any:  # noqa: ANN401
    """``a / b``, where b is taken to be other than zero."""
    first, second = call.pair()
    if swapped:
        first, second = second, first
    live = call.live
    if live.is_mask(first) or live.is_mask(second):
        if not live.concerns(first):
            raise call.unknown()
        return product(call, torch.mul, first, torch.ones_like(torch.as_tensor(second)).detach())
    if live.is_live(second):
        never_zero = second.clone()
        live.set_twin(never_zero, (live.twin(second) != -torch.inf).to(torch.float32))
        return product(call, torch.mul, first, never_zero)
    return product(call, torch.mul, first, torch.ones_like(torch.as_tensor(second)))


def power(call: Call) -> Any:  # noqa: ANN401
    """``x ** n``."""
    base, exponent = call.named("input", "exponent")
    if isinstance(exponent, torch.Tensor) or not call.live.concerns(base):
        raise call.unknown()
    return unary(call)
