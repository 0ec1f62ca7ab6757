"""What GraSP needs of a model: second derivatives, in numbers that do not underflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from swiftforce.torch.eager import eager
from swiftforce.torch.replaced_tensors import replaced_tensors

_HALVES = (torch.float16, torch.bfloat16)


def contexts() -> tuple[AbstractContextManager[Any], ...]:
    """Fused and compiled functions have no second derivative: others take their places."""
    return sdpa_kernel(SDPBackend.MATH), eager()


class Differentiable(TorchFunctionMode):
    """Replaces functions whose derivative torch cannot differentiate by formulas that it can."""

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        formula = _FORMULAS.get(getattr(func, "__name__", ""))
        if formula is None:
            return func(*args, **(kwargs or {}))
        return formula(func, *args, **(kwargs or {}))


def _hardsigmoid(
    function: Callable[..., torch.Tensor], input: torch.Tensor, inplace: bool = False
) -> torch.Tensor:
    found = functional.relu6(input + 3) / 6
    return input.copy_(found) if inplace or function.__name__.endswith("_") else found


def _recurrent(function: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
    with torch.backends.cudnn.flags(enabled=False):
        return function(*args)


_FORMULAS: dict[str, Callable[..., Any]] = {
    "hardsigmoid": _hardsigmoid,
    "hardsigmoid_": _hardsigmoid,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
}


@contextmanager
def in_float32(
    model: nn.Module, parameters: Mapping[str, nn.Parameter]
) -> Iterator[Mapping[str, nn.Parameter]]:
    """Replace the float16 and bfloat16 tensors of a model by float32 ones; yields its parameters.

    Products of second derivatives underflow in float16: gradients of a loss divided by 200 are near
    the smallest numbers already.
    """
    wide: dict[int, torch.Tensor] = {}

    def widened(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype not in _HALVES:
            return tensor
        found = tensor.detach().float()
        if isinstance(tensor, nn.Parameter):
            found = nn.Parameter(found, requires_grad=tensor.requires_grad)
        wide[id(tensor)] = found
        return found

    if is_half(parameters):
        with replaced_tensors(model, widened, "grasp"):
            named: dict[str, Any] = {name: wide.get(id(p), p) for name, p in parameters.items()}
            yield named
    else:
        yield parameters


def is_half(parameters: Mapping[str, nn.Parameter]) -> bool:
    """Whether one of the parameters is float16 or bfloat16."""
    return any(one.dtype in _HALVES for one in parameters.values())


def widened_input(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of a batch for a model `in_float32`."""
    return tensor.float() if tensor.dtype in _HALVES else tensor
