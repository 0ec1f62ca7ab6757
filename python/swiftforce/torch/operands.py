"""Masks of what layers multiply by, where that is computed from their parameter.

A convolution with weight standardisation multiplies by ``(weight - mean) / std``, which is not zero
where the parameter is. While such a layer computes, calls of linear layers and convolutions are
watched, and their weight is masked, or replaced by another.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from swiftforce.torch.masked_parameter import ATTRIBUTE
from swiftforce.torch.model_state import forked_generators
from swiftforce.torch.products import copied_layer, multiplies_by, sample_for
from swiftforce.torch.sharded import is_sharded

#: Functions whose second argument is the weight.
_FUNCTIONS = frozenset(
    f"{name}{dimensions}d" for name in ("conv", "conv_transpose") for dimensions in (1, 2, 3)
) | {"linear"}
#: The attribute of a layer for the tensor that it multiplies by in place of what it computes.
_REPLACEMENT = "_swiftforce_operand"
#: The modes of the layers that compute now, of each thread.
_entered = threading.local()


def has_own_forward(module: nn.Module, own: str) -> bool:
    """Whether a parameter is the weight of a layer that may compute another weight from it."""
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    if not isinstance(module, kinds) or own != "weight":
        return False
    return not str(getattr(type(module).forward, "__module__", "")).startswith("torch.nn.")


def is_computed(module: nn.Module, own: str) -> bool:
    """Whether a layer multiplies by another weight, which it computes from its parameter."""
    return has_own_forward(module, own) and multiplies_by(module, own) is False


def operand_of(module: nn.Module) -> torch.Tensor | None:
    """What a layer multiplies by; None if that depends on its input, or is not found out.

    The layer runs twice, on random inputs, in a copy that shares no more than parameters with it.
    """
    weight = module._parameters["weight"]
    if weight is None or weight.is_meta or is_sharded(weight):
        return None
    found = []
    try:
        with (
            forked_generators(),
            torch.no_grad(),
            torch.autocast(weight.device.type, enabled=False),
        ):
            for _ in range(2):
                layer = copied_layer(module, parameter=lambda one: one, buffer=torch.clone)
                mode = _Operand(layer)
                with mode:
                    layer(sample_for(layer).normal_())
                found.append(mode.seen)
    except Exception:  # Whatever the layer's own code raises.
        return None
    first, second = found
    is_fixed = first is not None and second is not None and torch.equal(first, second)
    return first.detach().clone() if is_fixed and first is not None else None


class _Operand(TorchFunctionMode):
    """While a layer computes, masks or replaces the weight that it has computed.

    Attributes
    ----------
    seen : tensor, optional
        The weight that it has computed.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self._layer = layer
        self.seen: torch.Tensor | None = None

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401 - functions, methods and getters
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        kwargs = dict(kwargs or {})
        if getattr(func, "__name__", "") in _FUNCTIONS:
            given = kwargs.get("weight", args[1] if len(args) > 1 else None)
            parameter = self._layer._parameters["weight"]
            assert parameter is not None
            if given is not None and given is not parameter and given.shape == parameter.shape:
                self.seen = self._masked(given)
                if "weight" in kwargs:
                    kwargs["weight"] = self.seen
                else:
                    args = (args[0], self.seen, *args[2:])
        return func(*args, **kwargs)

    def _masked(self, weight: torch.Tensor) -> torch.Tensor:
        replacement: torch.Tensor | None = self._layer.__dict__.get(_REPLACEMENT)
        if replacement is not None:
            return replacement
        hooks = self._layer.__dict__.get(ATTRIBUTE)
        for one in hooks.parameters if hooks is not None else ():
            if one.name == "weight" and one.removed.shape == weight.shape:
                removed = one.removed.to(weight.device)
                if _may_be_written(weight):
                    # So that what the layer keeps of it is what it multiplies by.
                    weight.masked_fill_(removed, 0)
                else:
                    weight = weight.masked_fill(removed, 0)
        return weight


def _may_be_written(weight: torch.Tensor) -> bool:
    """Whether writing a computed tensor leaves all gradients right."""
    if weight.grad_fn is None:
        return not weight.requires_grad and not weight.is_inference()
    node: Any = weight.grad_fn
    while type(node).__name__.startswith(("View", "UnsafeView", "ReshapeAlias", "Alias")):
        node = node.next_functions[0][0]
        if node is None:
            return False
    # The backward pass of exp or tanh, for example, reads what it returned.
    return type(node).__name__.startswith(("NativeBatchNorm", "Div", "Mul", "Sub", "Add"))


def _enter(layer: nn.Module, _: object) -> None:
    mode: Any = _Operand(layer)
    mode.__enter__()
    stack: list[Any] = _entered.__dict__.setdefault("modes", [])
    stack.append(mode)


def _leave(layer: nn.Module, *_: object) -> None:
    # If another hook before `_enter` raised, its mode is not there.
    stack: list[Any] = _entered.__dict__.get("modes", [])
    if stack and stack[-1]._layer is layer:
        stack.pop().__exit__(None, None, None)


def watch(layer: nn.Module) -> None:
    """Mask or replace the computed weight of a layer each time it computes."""
    unwatch(layer)
    layer.register_forward_pre_hook(_enter)
    layer.register_forward_hook(_leave, always_call=True)


def unwatch(layer: nn.Module) -> None:
    """Undo `watch`; a copied layer has no handles of its hooks."""
    for table, function in ((layer._forward_pre_hooks, _enter), (layer._forward_hooks, _leave)):
        for number, hook in list(table.items()):
            if hook is function:
                del table[number]
                layer._forward_hooks_always_called.pop(number, None)


def watch_if_computed(layer: nn.Module) -> None:
    """Mask the weight that a layer computes, if it computes another than its parameter."""
    unwatch(layer)
    if is_computed(layer, "weight"):
        watch(layer)


def is_watched(layer: nn.Module) -> bool:
    """Whether the computed weight of a layer is masked."""
    return _enter in layer._forward_pre_hooks.values()


def operands_of(
    model: nn.Module, names: Iterable[str]
) -> tuple[dict[str, nn.Module], dict[str, nn.Parameter]]:
    """The layers that compute from their parameter what they multiply by, and that.

    Parameters
    ----------
    model : nn.Module
    names : iterable of str
        Of the parameters.

    Returns
    -------
    layers, operands : dict
        By name of the parameter; the operands are parameters that can be searched in its place.
    """
    layers, operands = {}, {}
    for name in names:
        path, _, own = name.rpartition(".")
        layer = model.get_submodule(path)
        if is_computed(layer, own) and (operand := operand_of(layer)) is not None:
            layers[name], operands[name] = layer, nn.Parameter(operand)
    return layers, operands


@contextmanager
def replaced(layers: Mapping[str, nn.Module], by: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Inside, layers multiply by other tensors than those they compute."""
    before = {name: is_watched(layer) for name, layer in layers.items()}
    try:
        for name, layer in layers.items():
            layer.__dict__[_REPLACEMENT] = by[name]
            watch(layer)
        yield
    finally:
        for name, layer in layers.items():
            layer.__dict__.pop(_REPLACEMENT, None)
            if not before[name]:
                unwatch(layer)
