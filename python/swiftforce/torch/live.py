"""Tensors of zeros and ones that say where a path from the input leads: *live* tensors.

Three kinds of tensor meet in a model. A live one depends on its input: 1 where a path ends. A mask
stands for prunable weights, or was computed of some: 1 where a weight is kept. All others are
constants: on no path, whatever they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

#: What is added to a score that attention shall ignore is no larger, whoever wrote the model: -inf,
#: the smallest number of a type, or -1e4.
CLOSED = -1e4


class UnknownPathError(Exception):
    """Paths cannot be followed; no TypeError, which operators of Python take for an answer."""


class Live:
    """Which tensors are live, which are masks, and where live ones can be other than zero.

    These are not the same: a sigmoid is never zero, so what it is multiplied with passes, also
    where no path leads to the sigmoid. So each live tensor has a *twin* that is 1 where it can be
    other than zero, 0 where it cannot, and -inf where attention is told to look away. The twin of a
    view is the same view of the twin.
    """

    def __init__(self) -> None:
        self._twins = WeakTensorKeyDictionary()
        self._masks = WeakTensorKeyDictionary()
        self._given = WeakTensorKeyDictionary()
        self._trained = WeakTensorKeyDictionary()

    def is_live(self, value: object) -> bool:
        """Whether it depends on the input."""
        return isinstance(value, torch.Tensor) and value in self._twins

    def is_mask(self, value: object) -> bool:
        """Whether it depends on masks, and not on the input."""
        return isinstance(value, torch.Tensor) and value in self._masks

    def concerns(self, value: object) -> bool:
        """Whether it is either.

        Raises
        ------
        UnknownPathError
            If it has a gradient and was made where nobody could follow.
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

    def is_given(self, value: object) -> bool:
        """Whether it depends on an input that is no float, such as ids."""
        return isinstance(value, torch.Tensor) and value in self._given

    def set_given(self, tensor: torch.Tensor) -> torch.Tensor:
        """Note that a tensor does."""
        self._given[tensor] = True
        return tensor

    def is_trained(self, value: object) -> bool:
        """Whether it is a constant that depends on parameters that have no mask."""
        return isinstance(value, torch.Tensor) and value in self._trained

    def set_trained(self, tensor: torch.Tensor) -> torch.Tensor:
        """Note that a tensor is."""
        self._trained[tensor] = True
        return tensor

    def begin(self, value: torch.Tensor) -> torch.Tensor:
        """Ones in the shape of an input."""
        ones = torch.ones(
            value.shape, dtype=torch.float32, device=value.device, requires_grad=True
        ).clone()  # not a leaf of the graph, which the model could not write to
        self.set_twin(ones, torch.ones_like(ones, requires_grad=False))
        return ones

    def begin_mask(self, mask: torch.Tensor) -> torch.Tensor:
        """A mask as numbers that have a gradient."""
        numbers = mask.to(torch.float32).requires_grad_()
        self.set_mask(numbers)
        return numbers

    def set_mask(self, tensor: torch.Tensor) -> None:
        """Note that a tensor is a mask."""
        self._masks[tensor] = True

    def set_twin(self, tensor: torch.Tensor, twin: torch.Tensor) -> None:
        """Note that a tensor is live, and where it can be other than zero."""
        self._twins[tensor] = twin

    def adopt(self, tensor: torch.Tensor) -> None:
        """Make a constant live, as the model is about to write to it; with all it is a view of."""
        base: torch.Tensor = tensor if tensor._base is None else tensor._base
        if not base.is_floating_point():
            raise UnknownPathError("effective_density cannot follow what is written to integers")
        start = tensor.storage_offset() - base.storage_offset()
        self.set_twin(base, self.twin(base))
        base.detach().zero_()
        if tensor is not base:
            whole = self.twin(base)
            self.set_twin(tensor, whole.as_strided(tensor.shape, tensor.stride(), start))

    def path(self, value: Any) -> torch.Tensor:  # noqa: ANN401 - a number or a tensor
        """Where a path leads: itself if it is live, and else zero."""
        if self.is_live(value):
            live: torch.Tensor = value
            return live
        return torch.zeros_like(torch.as_tensor(value), dtype=torch.float32, requires_grad=False)

    def twin(self, value: Any) -> torch.Tensor:  # noqa: ANN401
        """Where a value beside live ones can be other than zero.

        Weights are taken as zero there, as biases are.
        """
        if self.is_live(value):
            found: torch.Tensor = self._twins[value]
            return found
        return opening(self.resting(value))

    def resting(self, value: Any) -> torch.Tensor:  # noqa: ANN401
        """What a value is where all that can be other than zero is zero."""
        if self.is_live(value):
            twin = self.twin(value)
            return torch.where(twin == -torch.inf, twin, 0.0)
        constant = torch.as_tensor(value).detach()
        if self.is_mask(value):
            return torch.zeros_like(constant)
        if self.is_trained(value) and constant.is_floating_point():
            return torch.where(constant <= CLOSED, constant, 0.0)
        return constant

    def nonzero(self, value: Any) -> torch.Tensor:  # noqa: ANN401
        """Where a factor can be other than zero, as zeros and ones that have no gradient."""
        if self.is_live(value):
            return (self.twin(value) > 0).to(torch.float32)
        return self.factor(value).detach()

    def factor(self, value: Any) -> torch.Tensor:  # noqa: ANN401
        """A factor of a product: itself if it is live or a mask; else where it is not zero."""
        if self.concerns(value):
            tensor: torch.Tensor = value
            return tensor
        return (torch.as_tensor(value) != 0).to(torch.float32)


def opening(numbers: torch.Tensor) -> torch.Tensor:
    """The twin of numbers."""
    open_ = torch.logical_and(numbers != 0, ~numbers.isnan()).to(torch.float32)
    return torch.where(numbers <= CLOSED, -torch.inf, open_)


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


def replaced(value: Any, by: Callable[[torch.Tensor], Any]) -> Any:  # noqa: ANN401
    """Nested containers with each tensor replaced."""
    if isinstance(value, torch.Tensor):
        return by(value)
    if isinstance(value, Mapping):
        return {key: replaced(part, by) for key, part in value.items()}
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        parts = [replaced(part, by) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


class _Above(torch.autograd.Function):
    """1 where a number is above one bound; its gradient, where that is above another."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, bound: float, back: float) -> torch.Tensor:  # noqa: ANN401
        ctx.back = back
        return (x > bound).to(torch.float32)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:  # noqa: ANN401
        return (gradient > ctx.back).to(gradient.dtype), None, None


def alive(tensor: torch.Tensor) -> torch.Tensor:
    """1 where a tensor is above zero; its gradient likewise, so that nothing over- or underflows.

    All that is ever computed between two of these is sums and products of numbers that are not
    negative, so a sum is zero only where all its terms are.
    """
    found: torch.Tensor = _Above.apply(tensor, 0, 0)  # type: ignore[no-untyped-call]
    return found


#: A count is zero or at least one. Fast convolutions round both to something near.
_HALF = 0.5


def before_product(tensor: torch.Tensor) -> torch.Tensor:
    """As `alive`, where the gradient that comes is a count."""
    found: torch.Tensor = _Above.apply(tensor, 0, _HALF)  # type: ignore[no-untyped-call]
    return found


def after_product(tensor: torch.Tensor) -> torch.Tensor:
    """As `alive`, of a count."""
    found: torch.Tensor = _Above.apply(tensor, _HALF, 0)  # type: ignore[no-untyped-call]
    return found
