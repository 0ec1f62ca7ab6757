"""What GraSP needs of a model: second derivatives, in numbers that do not underflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from swiftforce.torch.model_copy import copied

_HALVES = (torch.float16, torch.bfloat16)


def contexts() -> tuple[AbstractContextManager[Any], ...]:
    """Fused and compiled functions have no second derivative: others take their places."""
    return (
        sdpa_kernel(SDPBackend.MATH),
        torch.compiler.set_stance("force_eager"),
    )


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
        return (formula or func)(*args, **(kwargs or {})) if formula is None else formula(
            func, *args, **(kwargs or {})
        )


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


def in_float32(
    model: nn.Module, parameters: Mapping[str, nn.Parameter]
) -> tuple[nn.Module, Mapping[str, nn.Parameter]]:
    """A model whose float16 and bfloat16 tensors are float32, and its parameters by these names.

    The model itself if it has none. Products of second derivatives underflow in float16: gradients
    of a loss divided by 200 are near the smallest numbers already.
    """
    if not any(one.dtype in _HALVES for one in model.parameters()):
        return model, parameters
    wide: dict[int, torch.Tensor] = {}

    def widened(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype not in _HALVES:
            return tensor
        found = tensor.detach().float()
        if isinstance(tensor, nn.Parameter):
            found = nn.Parameter(found, requires_grad=tensor.requires_grad)
        wide[id(tensor)] = found
        return found

    twin = copied(model, widened, "grasp")
    named: dict[str, Any] = {name: wide.get(id(one), one) for name, one in parameters.items()}
    return twin, named


def widened_input(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of a batch for a model `in_float32`."""
    return tensor.float() if tensor.dtype in _HALVES else tensor
