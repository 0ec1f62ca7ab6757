"""Propagation rules of arithmetic and of functions that move numbers; other rules use them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from swiftforce.torch.connections.function_call import FunctionCall
from swiftforce.torch.liveness import (
    after_product,
    before_product,
    indicator,
    map_tensors,
    support_of,
    tensors_in,
)


def unary(call: FunctionCall) -> Any:  # noqa: ANN401
    """An elementwise function, a normalisation, a softmax or a dropout.

    A path continues through it. Its support includes each place where its value at zero is nonzero.
    """
    tensor, live = call.tensor, call.live
    others = tensors_in((call.args[1:], call.kwargs)) if call.name not in {"to", "type_as"} else ()
    if any(live.is_tracked(one) for one in others if one is not tensor):
        raise call.unknown_path()
    dtypes = [one for one in (*call.args, *call.kwargs.values()) if isinstance(one, torch.dtype)]
    if any(not one.is_floating_point for one in dtypes):
        raise call.unknown_path()
    support = _elementwise_support(call, tensor)
    if not live.is_live(tensor):
        if bool(support.any()):
            raise call.unknown_path()
        return tensor if call.in_place else call.result(tensor.clone())
    if call.in_place:
        live.support(tensor).copy_(support)
        return tensor
    return call.result(tensor.to(support.device, copy=True), support)


def _elementwise_support(call: FunctionCall, *terms: Any) -> torch.Tensor:  # noqa: ANN401
    """The support of an elementwise function of these terms."""
    live = call.live
    support = support_of(call.rerun(live.value_at_zero))
    for one in terms:
        if live.is_live(one):
            support = support.masked_fill((live.support(one) > 0) & (support == 0), 1.0)
    return support


#: Functions that join tensors of any dtype; for other functions a tensor of integers is an index.
_JOINING = frozenset({"cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack"})


def structural(call: FunctionCall, *, sums: bool = False) -> Any:  # noqa: ANN401
    """A function that moves numbers or sums them: the function itself, on zeros for constants."""
    live = call.live
    is_live = any(map(live.is_live, tensors_in((call.args, call.kwargs))))
    if call.in_place:
        return _structural_in_place(call)

    def path(tensor: torch.Tensor) -> torch.Tensor:
        if not (tensor.is_floating_point() or call.name in _JOINING):
            return tensor
        # Joined to masks, a constant counts as kept weights.
        return live.path(tensor) if is_live else live.factor(tensor)

    def support(tensor: torch.Tensor) -> torch.Tensor:
        if not (tensor.is_floating_point() or call.name in _JOINING):
            return tensor
        found = live.support(tensor)
        return found.clamp(min=0) if sums else found

    args, kwargs = map_tensors((call.args, dict(call.kwargs)), path)
    found = call.function(*args, **kwargs)
    if isinstance(found, torch.Tensor):
        return _result(call, found, call.rerun(support) if is_live else None)
    supports = call.rerun(support) if is_live else [None] * len(found)
    return type(found)(_result(call, *pair) for pair in zip(found, supports, strict=True))


def _result(call: FunctionCall, found: torch.Tensor, support: torch.Tensor | None) -> torch.Tensor:
    # A view may be written to later, so it must stay one; its numbers are zeros and ones already.
    return call.result(found if found._is_view() else indicator(found), support)


def _structural_in_place(call: FunctionCall) -> Any:  # noqa: ANN401
    """``x.copy_(y)``, ``x[...] = y``, ``x.t_()`` and other calls that write their argument."""
    live, (target, *others) = call.live, call.args
    written = {"copy": slice(0, 1), "setitem": slice(1, 2)}.get(call.name, slice(0))
    is_live = any(map(live.is_live, (target, *others[written])))
    if live.is_mask(target) and is_live:
        raise call.unknown_path()

    def write(to: torch.Tensor, by: Callable[[Any], torch.Tensor]) -> None:
        given = [*others]
        given[written] = map(by, others[written])
        call.function(to, *given, **call.kwargs)

    if is_live:
        if not live.is_live(target):
            live.make_live(target)
        with torch.no_grad():
            write(live.support(target), live.support)
        write(target, live.path)
    else:
        if not live.is_mask(target):
            target.copy_(live.factor(target))
        write(target, live.factor)
        live.set_mask(target)
    return target


def addition(call: FunctionCall) -> Any:  # noqa: ANN401
    """A sum, difference, maximum or minimum of two terms: a path continues from either.

    A nonzero constant adds to the support, as in ``x * (1 + scale)``. A constant far below zero
    marks a score that attention ignores. Weights, like biases, do neither.
    """
    pair, live = call.pair(), call.live
    terms = [one for one in pair if live.is_live(one)]
    total: Any = sum(terms or map(live.factor, pair))
    if not terms:
        return call.result(indicator(total))
    shape = torch.broadcast_shapes(*(getattr(one, "shape", ()) for one in pair))
    path = indicator(total).expand(shape)
    support = _elementwise_support(call, *pair)
    return call.result(path.masked_fill(support == -torch.inf, 0), support)


Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def product(call: FunctionCall, function: Product, first: Any, second: Any) -> Any:  # noqa: ANN401
    """A product of two factors, or a sum of products.

    If both are live, a path continues from each where the other can be nonzero.
    """
    live = call.live
    a, b = live.factor(first), live.factor(second)
    if live.is_live(a) and live.is_live(b):
        left = function(before_product(a), live.nonzero(b))
        out = left + function(live.nonzero(a), before_product(b))
    else:
        out = function(*(before_product(one) if live.is_tracked(one) else one for one in (a, b)))
    support = None
    if live.is_live(a) or live.is_live(b):
        with torch.no_grad():
            support = after_product(function(live.nonzero(a), live.nonzero(b)))
        if function is torch.mul:  # A score that attention ignores stays one when it is scaled.
            for one, scale in ((a, b), (b, a)):
                if live.is_live(one) and not live.is_tracked(scale):
                    is_ignored = (live.support(one) == -torch.inf) & (scale > 0)
                    support = torch.where(is_ignored, -torch.inf, support)
    return call.result(after_product(out), support)


def multiplication(call: FunctionCall) -> Any:  # noqa: ANN401
    """``a * b`` or ``b * a``."""
    return product(call, torch.mul, *call.pair())


def matrix_product(call: FunctionCall, *, swapped: bool = False) -> Any:  # noqa: ANN401
    """``a @ b`` and other matrix products."""
    first, second = call.pair()
    return product(call, torch.matmul, *((second, first) if swapped else (first, second)))


def einsum(call: FunctionCall) -> Any:  # noqa: ANN401
    """An einsum of one or two operands."""
    equation, *operands = call.args
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = list(operands[0])
    if not isinstance(equation, str) or len(operands) > 2:
        raise call.unknown_path()
    if len(operands) == 1:
        return structural(call, sums=True)
    return product(call, partial(torch.einsum, equation), *operands)


def division(call: FunctionCall, *, swapped: bool = False) -> Any:  # noqa: ANN401
    """``a / b``, where b is assumed to be nonzero."""
    first, second = call.pair()
    if swapped:
        first, second = second, first
    live = call.live
    if live.is_mask(first) or live.is_mask(second):
        if not live.is_tracked(first):
            raise call.unknown_path()
        return product(call, torch.mul, first, torch.ones_like(torch.as_tensor(second)).detach())
    if live.is_live(second):
        never_zero = second.clone()
        live.set_live(never_zero, (live.support(second) != -torch.inf).to(torch.float32))
        return product(call, torch.mul, first, never_zero)
    return product(call, torch.mul, first, torch.ones_like(torch.as_tensor(second)))


def power(call: FunctionCall) -> Any:  # noqa: ANN401
    """``x ** n``."""
    base, exponent = call.arguments("input", "exponent")
    if isinstance(exponent, torch.Tensor) or not call.live.is_tracked(base):
        raise call.unknown_path()
    return unary(call)
