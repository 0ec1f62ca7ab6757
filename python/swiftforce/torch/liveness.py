"""Liveness analysis of a model: which tensors depend on its input, and where they can be nonzero.

A model computes with three kinds of tensor. A *live* tensor depends on the input; it is 1 where a
path from the input arrives, and else 0. A *mask* stands for prunable weights, or was computed from
masks alone; it is 1 where a weight is kept. Every other tensor is a *constant*; no path starts at a
constant, whatever its values are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

#: Models add a number to the scores that attention must ignore: -inf, the smallest number of the
#: dtype, or -1e4. All are at most this.
IGNORED_SCORE = -1e4


class UnknownPathError(Exception):
    """A path cannot be followed.

    Not a TypeError: Python's operators catch it and try the reflected operator.
    """


class Liveness:
    """Which tensors are live, which are masks, and the support of each live tensor.

    The *support* of a live tensor says where it can be nonzero: 1 where it can, 0 where it cannot,
    -inf where it is a score that attention must ignore. It differs from the live tensor itself: a
    sigmoid is never zero, so a product with it is on a path even where no path leads to the
    sigmoid. The support of a view is the same view of the support.
    """

    def __init__(self) -> None:
        self._supports = WeakTensorKeyDictionary()
        self._masks = WeakTensorKeyDictionary()
        self._integer_inputs = WeakTensorKeyDictionary()
        self._trained = WeakTensorKeyDictionary()

    def is_live(self, value: object) -> bool:
        """Whether a value depends on the input."""
        return isinstance(value, torch.Tensor) and value in self._supports

    def is_mask(self, value: object) -> bool:
        """Whether a value depends on masks, and not on the input."""
        return isinstance(value, torch.Tensor) and value in self._masks

    def is_tracked(self, value: object) -> bool:
        """Whether a value is live or a mask.

        Raises
        ------
        UnknownPathError
            If it requires a gradient but no rule made it.
        """
        if self.is_live(value) or self.is_mask(value):
            return True
        if isinstance(value, torch.Tensor) and value.requires_grad:
            raise UnknownPathError(
                "effective_density cannot follow what is computed in a custom autograd function, "
                "a scripted function, or activation checkpointing, nor a view of a constant tensor "
                "that is written elsewhere"
            )
        return False

    def is_integer_input(self, value: object) -> bool:
        """Whether a value depends on an input that is not floating-point, such as token ids."""
        return isinstance(value, torch.Tensor) and value in self._integer_inputs

    def set_integer_input(self, tensor: torch.Tensor) -> torch.Tensor:
        """Record that a tensor depends on an input that is not floating-point."""
        self._integer_inputs[tensor] = True
        return tensor

    def is_trained(self, value: object) -> bool:
        """Whether a value is a constant that depends on trained parameters without a mask."""
        return isinstance(value, torch.Tensor) and value in self._trained

    def set_trained(self, tensor: torch.Tensor) -> torch.Tensor:
        """Record that a tensor depends on trained parameters without a mask."""
        self._trained[tensor] = True
        return tensor

    def start(self, value: torch.Tensor) -> torch.Tensor:
        """A live tensor of ones, in the shape of an input."""
        ones = torch.ones(
            value.shape, dtype=torch.float32, device=value.device, requires_grad=True
        ).clone()  # The model may write to it, which is an error for a leaf of the graph.
        self.set_live(ones, torch.ones_like(ones, requires_grad=False))
        return ones

    def start_mask(self, mask: torch.Tensor) -> torch.Tensor:
        """A mask as float32 numbers that require a gradient."""
        numbers = mask.to(torch.float32).requires_grad_()
        self.set_mask(numbers)
        return numbers

    def set_mask(self, tensor: torch.Tensor) -> None:
        """Record that a tensor is a mask."""
        self._masks[tensor] = True

    def set_live(self, tensor: torch.Tensor, support: torch.Tensor) -> None:
        """Record that a tensor is live, with its support."""
        self._supports[tensor] = support

    def make_live(self, tensor: torch.Tensor) -> None:
        """Make a constant live, and its base if it is a view: a live tensor is written to it."""
        base: torch.Tensor = tensor if tensor._base is None else tensor._base
        if not base.is_floating_point():
            raise UnknownPathError("effective_density cannot follow what is written to integers")
        start = tensor.storage_offset() - base.storage_offset()
        self.set_live(base, self.support(base))
        base.detach().zero_()
        if tensor is not base:
            whole = self.support(base)
            self.set_live(tensor, whole.as_strided(tensor.shape, tensor.stride(), start))

    def path(self, value: Any) -> torch.Tensor:  # noqa: ANN401 - a number or a tensor
        """Where a path arrives: the value itself if it is live, and else zeros."""
        if self.is_live(value):
            live: torch.Tensor = value
            return live
        return torch.zeros_like(torch.as_tensor(value), dtype=torch.float32, requires_grad=False)

    def support(self, value: Any) -> torch.Tensor:  # noqa: ANN401
        """Where a value can be nonzero.

        A mask, or a trained parameter without one, counts as zero here, as a bias does.
        """
        if self.is_live(value):
            found: torch.Tensor = self._supports[value]
            return found
        return support_of(self.value_at_zero(value))

    def value_at_zero(self, value: Any) -> torch.Tensor:  # noqa: ANN401
        """The value that results if every live number, mask and trained parameter is zero."""
        if self.is_live(value):
            support = self.support(value)
            return torch.where(support == -torch.inf, support, 0.0)
        constant = torch.as_tensor(value).detach()
        if self.is_mask(value):
            return torch.zeros_like(constant)
        if self.is_trained(value) and constant.is_floating_point():
            return torch.where(constant <= IGNORED_SCORE, constant, 0.0)
        return constant

    def nonzero(self, value: Any) -> torch.Tensor:  # noqa: ANN401
        """Where a factor can be nonzero, as zeros and ones without a gradient."""
        if self.is_live(value):
            return (self.support(value) > 0).to(torch.float32)
        return self.factor(value).detach()

    def factor(self, value: Any) -> torch.Tensor:  # noqa: ANN401
        """A factor of a product: the value itself if it is tracked, else where it is nonzero."""
        if self.is_tracked(value):
            tensor: torch.Tensor = value
            return tensor
        return (torch.as_tensor(value) != 0).to(torch.float32)


def support_of(numbers: torch.Tensor) -> torch.Tensor:
    """The support of constant numbers."""
    is_nonzero = torch.logical_and(numbers != 0, ~numbers.isnan()).to(torch.float32)
    return torch.where(numbers <= IGNORED_SCORE, -torch.inf, is_nonzero)


def tensors_in(value: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401 - arguments of any function
    """All tensors in nested containers."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, (Sequence, set)) and not isinstance(value, (str, bytes)):
        for part in value:
            yield from tensors_in(part)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_in(getattr(value, field.name))


def map_tensors(value: Any, by: Callable[[torch.Tensor], Any]) -> Any:  # noqa: ANN401
    """Nested containers, each tensor replaced by what a function makes of it."""
    if isinstance(value, torch.Tensor):
        return by(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(part, by) for key, part in value.items()}
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        parts = [map_tensors(part, by) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


class _Above(torch.autograd.Function):
    """1 where a number exceeds a bound; the gradient is 1 where it exceeds another bound."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, bound: float, back: float) -> torch.Tensor:  # noqa: ANN401
        ctx.back = back
        return (x > bound).to(torch.float32)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:  # noqa: ANN401
        return (gradient > ctx.back).to(gradient.dtype), None, None


def indicator(tensor: torch.Tensor) -> torch.Tensor:
    """1 where a tensor is above zero; its gradient likewise, so that nothing over- or underflows.

    Between two indicators only sums and products of nonnegative numbers are computed, so a sum is
    zero only if all its terms are.
    """
    found: torch.Tensor = _Above.apply(tensor, 0, 0)  # type: ignore[no-untyped-call]
    return found


#: A count is zero or at least one; fast convolution algorithms return values near these.
_HALF = 0.5


def before_product(tensor: torch.Tensor) -> torch.Tensor:
    """As `indicator`, for a factor of a product: its incoming gradient is a count."""
    found: torch.Tensor = _Above.apply(tensor, 0, _HALF)  # type: ignore[no-untyped-call]
    return found


def after_product(tensor: torch.Tensor) -> torch.Tensor:
    """As `indicator`, for a product: its value is a count."""
    found: torch.Tensor = _Above.apply(tensor, _HALF, 0)  # type: ignore[no-untyped-call]
    return found
