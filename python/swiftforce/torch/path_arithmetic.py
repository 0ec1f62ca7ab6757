"""What arithmetic and the moving of numbers do to paths: rules that others are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from swiftforce.torch.calls import Call
from swiftforce.torch.live import (
    CLOSED,
    Live,
    after_product,
    alive,
    before_product,
    replaced,
    tensors_in,
)


def unary(call: Call) -> Any:  # noqa: ANN401
    """A function of each number by itself that keeps zero; a normalisation; a dropout."""
    tensor, live = call.tensor, call.live
    others = tensors_in((call.args[1:], call.kwargs)) if call.name not in {"to", "type_as"} else ()
    if any(map(live.concerns, others)):
        raise call.unknown()
    dtypes = [one for one in (*call.args, *call.kwargs.values()) if isinstance(one, torch.dtype)]
    if any(not one.is_floating_point for one in dtypes):
        raise call.unknown()
    if call.in_place:
        return tensor
    twin = live.twin_of(tensor) if live.is_live(tensor) else None
    return call.result(tensor.clone(), None if twin is None else twin.clone())


def opened(call: Call) -> Any:  # noqa: ANN401
    """A function that is not zero at zero: where no path leads, it lets others pass."""
    tensor, live = call.tensor, call.live
    if live.is_mask(tensor):
        raise call.unknown()
    return call.result(tensor if call.in_place else tensor.clone(), _open(live, tensor))


def _open(live: Live, tensor: torch.Tensor) -> torch.Tensor:
    twin = live.twin_of(tensor)
    if twin is None:
        return torch.ones_like(tensor, requires_grad=False)
    return (twin != -torch.inf).to(tensor.dtype)


def structural(call: Call, *, sums: bool = False) -> Any:  # noqa: ANN401
    """A function that moves numbers, or adds some up: itself, with what is on no path at zero."""
    live = call.live
    given = tuple(tensors_in((call.args, call.kwargs)))
    is_live = any(map(live.is_live, given))

    def path(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_floating_point() or (live.is_live(tensor) or not is_live):
            return tensor
        return torch.zeros_like(tensor)

    def twin(tensor: torch.Tensor) -> torch.Tensor:
        if not live.is_live(tensor):
            return path(tensor)
        found = live.twin_of(tensor)
        found = tensor.detach() if found is None else found
        return found.clamp(min=0) if sums else found

    has_twin = any(live.is_live(one) and live.twin_of(one) is not None for one in given)
    if call.in_place:
        return _structural_in_place(call, path, twin if has_twin else None)
    args, kwargs = replaced((call.args, dict(call.kwargs)), path)
    found = call.function(*args, **kwargs)
    twins: Any = None
    if has_twin:
        args, kwargs = replaced((call.args, dict(call.kwargs)), twin)
        with torch.no_grad():
            twins = call.function(*args, **kwargs)
    if isinstance(found, torch.Tensor):
        return _noted(call, found, twins)
    several = [twins[i] if has_twin else None for i in range(len(found))]
    return type(found)(_noted(call, *pair) for pair in zip(found, several, strict=True))


def _noted(call: Call, found: torch.Tensor, twin: torch.Tensor | None) -> torch.Tensor:
    # What shares memory may be written to later, and its numbers are zeros and ones already.
    out = found if found._is_view() else alive(found)
    if twin is not None and not twin._is_view():
        twin = torch.where(twin == -torch.inf, twin, (twin > 0).to(twin.dtype))
    return call.result(out, twin)


def _structural_in_place(
    call: Call,
    path: Callable[[torch.Tensor], torch.Tensor],
    twin: Callable[[torch.Tensor], torch.Tensor] | None,
) -> Any:  # noqa: ANN401
    live, (target, *others) = call.live, call.args
    if not target.is_floating_point():
        raise call.unknown()
    if call.name == "setitem" and not isinstance(others[-1], torch.Tensor):
        others[-1] = 0.0
    if not live.concerns(target):
        target.zero_()
    written = None
    if twin is not None:
        written = (twin(target) if live.is_live(target) else target.detach()).clone()
        with torch.no_grad():
            call.function(written, *replaced(others, twin), **replaced(dict(call.kwargs), twin))
    call.function(target, *replaced(others, path), **replaced(dict(call.kwargs), path))
    if any(map(live.is_live, tensors_in((call.args, call.kwargs)))):
        live.set_twin(target, call.written(written))
    else:
        live.set_mask(target)
    return target


def added(call: Call) -> Any:  # noqa: ANN401
    """A sum or difference of two, or the larger one: a path leads on from either."""
    first, second = call.pair()
    live = call.live
    terms = [one for one in (first, second) if live.concerns(one)]
    constants = [one for one in (first, second) if not live.concerns(one)]
    if len({live.is_live(one) for one in terms}) == 2:  # weights that are added, as biases are
        constants += [one for one in terms if live.is_mask(one)]
        terms = [one for one in terms if live.is_live(one)]
    shape = torch.broadcast_shapes(*(getattr(one, "shape", ()) for one in (first, second)))
    if live.is_mask(terms[0]):
        total: Any = sum(live.factor(one) for one in (*terms, *constants))
        return call.result(alive(total))
    # A clone: the sum of one term would be that term.
    path = alive(sum(terms)).expand(shape).clone()
    return call.result(path, _twin_of_sum(live, terms, constants, path))


def _twin_of_sum(
    live: Live, terms: list[torch.Tensor], constants: list[Any], path: torch.Tensor
) -> torch.Tensor | None:
    """Where a sum can be other than zero.

    A number that is added opens a gate, as in ``x * (1 + scale)``, and one far below zero closes
    it, as in attention; the numbers of a tensor may be a bias, and do neither if not that far.
    """
    numbers = [one for one in constants if not isinstance(one, torch.Tensor)]
    closing = [one for one in constants if isinstance(one, torch.Tensor) and not live.concerns(one)]
    closing = [one for one in closing if bool((one <= CLOSED).any())]
    if all(live.twin_of(one) is None for one in terms) and not any(numbers) and not closing:
        return None
    twin = torch.zeros_like(path, requires_grad=False)
    for one in terms:
        found = live.twin_of(one)
        twin = twin + (one.detach() if found is None else found)
    twin = torch.where(twin == -torch.inf, twin, (twin > 0).to(twin.dtype))
    if any(numbers):
        twin = torch.ones_like(twin)
    for one in closing:
        twin = twin.masked_fill(one <= CLOSED, -torch.inf)
    return twin


Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def product(call: Call, function: Product, first: Any, second: Any) -> Any:  # noqa: ANN401
    """A product of two, or sums of products.

    Of two live ones, a path leads on from each where the other can be other than zero.
    """
    live = call.live
    if call.in_place:
        first = _kept_from_writing(live, first)
    a, b = live.factor(first), live.factor(second)
    if live.is_live(a) and live.is_live(b):
        left = function(before_product(a), live.nonzero(b))
        out = left + function(live.nonzero(a), before_product(b))
    else:
        out = function(*(before_product(one) if live.concerns(one) else one for one in (a, b)))
    twins = [one for one in (a, b) if live.is_live(one) and live.twin_of(one) is not None]
    twin = None
    if twins:
        with torch.no_grad():
            twin = (function(live.nonzero(a), live.nonzero(b)) > 0.5).to(out.dtype)
    return call.result(after_product(out), twin)


def _kept_from_writing(live: Live, tensor: torch.Tensor) -> torch.Tensor:
    """A copy, for a gradient that needs what is about to be written."""
    copy = tensor.clone()
    if live.is_live(tensor):
        live.set_twin(copy, live.twin_of(tensor))
    elif live.is_mask(tensor):
        live.set_mask(copy)
    return copy


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
        live.set_twin(never_zero, _open(live, second))
        return product(call, torch.mul, first, never_zero)
    return product(call, torch.mul, first, torch.ones_like(torch.as_tensor(second)))


def power(call: Call) -> Any:  # noqa: ANN401
    """``x ** n``."""
    base, exponent = call.named("input", "exponent")
    if isinstance(exponent, torch.Tensor) or not call.live.concerns(base):
        raise call.unknown()
    return (unary if exponent > 0 else opened)(_only(call, base))


def _only(call: Call, *args: Any) -> Call:  # noqa: ANN401
    """The call with other arguments."""
    return Call(call.live, call.function, args, {})
