"""Which rule an operation has: modules by their exact types, functions and methods by their names.

A subclass of a module may do anything, so it has the rule of what is not known.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from swiftforce.torch.compaction.channels import Channels, Facts
from swiftforce.torch.compaction.layers import Connections, Layer, Weighted
from swiftforce.torch.compaction.mode_functions import ByMode, is_dropout
from swiftforce.torch.compaction.norms import Normalised, ScaledByChannel
from swiftforce.torch.compaction.reshaping import Attribute, Sizes, mean, reshaped
from swiftforce.torch.compaction.rules import (
    Channelwise,
    Concatenation,
    Product,
    Rule,
    Sum,
    Unknown,
)
from swiftforce.torch.compaction.traced_graph import module_of, shape_of

_CONVOLUTIONS: dict[type[nn.Module], int] = {nn.Conv1d: 3, nn.Conv2d: 4, nn.Conv3d: 5}
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
#: Zero, and with the gradient zero, where the input is not positive.
_CLIPPING = {"ReLU", "ReLU6", "relu", "relu_", "relu6"}
#: Zero at zero, elementwise.
_ZERO_KEEPING = {
    *("LeakyReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish", "Tanh", "Hardswish", "Softsign"),
    *("leaky_relu", "leaky_relu_", "elu", "elu_", "celu", "selu", "gelu", "silu", "mish"),
    *("tanh", "tanh_", "hardswish", "softsign", "Tanhshrink", "Hardshrink", "Softshrink"),
    *("neg", "abs"),
}
_ELEMENTWISE = {"Sigmoid", "Hardsigmoid", "Softplus", "sigmoid", "sigmoid_", "hardsigmoid"}
_ELEMENTWISE |= {"softplus", "exp", "clamp", "square", "Hardtanh", "hardtanh", "sqrt"}
_IDENTITIES = {"Identity", "contiguous", "clone"}
_DROPOUTS = {f"{kind}Dropout{n}" for kind in ("", "Alpha", "FeatureAlpha") for n in ("", 1, 2, 3)}
_DROPOUTS = {f"{name}d" if name[-1].isdigit() else name for name in _DROPOUTS}
_POOLS = {f"{kind}Pool{n}d" for kind in ("Max", "Avg", "AdaptiveMax", "AdaptiveAvg") for n in "123"}
_POOL_FUNCTIONS = {
    f"{kind}_pool{n}d" for kind in ("max", "avg", "adaptive_max", "adaptive_avg") for n in "123"
}
_SUMS = {operator.add: 1, operator.iadd: 1, torch.add: 1, operator.sub: -1, operator.isub: -1}
_PRODUCTS = (operator.mul, operator.imul, torch.mul)
_METHODS: dict[str, Any] = {"add": torch.add, "add_": torch.add, "mul": torch.mul}
_ATTRIBUTES = {"device", "dtype", "ndim", "dim", "is_cuda"}


class Table:
    """The rules of a graph's nodes, and the layers that they belong to.

    Parameters
    ----------
    facts : Facts
        What is known of the parameters.
    """

    def __init__(self, facts: Facts) -> None:
        self.layers: dict[str, Layer] = {}
        self._facts = facts

    def rule(self, node: fx.Node, states: dict[fx.Node, Channels | None]) -> Rule:
        """The rule of a node; `states` has what is known of the nodes before it."""
        sources = list(node.all_input_nodes)
        if node.op in ("placeholder", "get_attr", "output") or not sources:
            return Rule(node, sources)
        first = sources[0]
        state, shape = states[first], shape_of(node)
        if state is not None and (name := _asked(node)) is not None:
            if name in ("shape", "size"):
                return Sizes(node, first, state)
            if name in _ATTRIBUTES:
                return Attribute(node, [first])
        if all(states[one] is None for one in sources) or shape is None:
            return _unknown(node, sources, states)
        found = None
        if node.op == "call_module" and sources == list(node.args):
            found = self._of_module(node, first, state)
        elif node.op != "call_module":
            found = self._of_function(node, states)
        return found or _unknown(node, sources, states)

    def _of_module(self, node: fx.Node, source: fx.Node, state: Channels | None) -> Rule | None:
        name = str(node.target)
        module: Any = module_of(node)
        kind, shape = type(module), shape_of(source)
        assert state is not None and shape is not None
        inference = self._facts.inference
        if self._facts.is_shared(module):
            return Unknown(node, [source], f"{name} ({kind.__name__}) shares a parameter")
        if kind is nn.Linear or len(shape) == _CONVOLUTIONS.get(kind):
            layer = self.layers.get(name) or Connections(name, module, self._facts)
            self.layers[name] = layer
            assert isinstance(layer, Connections)
            axis = 1 if kind in _CONVOLUTIONS else len(shape) - 1
            reads = state.axis == axis
            return Weighted(node, source, layer, self._facts, axis=axis, reads_channels=reads)
        found: Rule | None = None
        by_channel = kind is nn.PReLU and module.num_parameters > 1
        if kind in _NORMS or by_channel:
            if state.axis == 1:
                layer = self.layers.setdefault(name, Layer(name, module, state.size, state.size))
                found = Normalised(node, source, layer, self._facts)
                if by_channel:
                    found = ScaledByChannel(node, source, layer, inference=inference)
        elif kind is nn.Flatten:
            found = reshaped(node, source, state, inference=inference)
        elif kind is ByMode and is_dropout(module.function):
            found = self._channelwise(node, source, state, "Dropout", module)
        elif kind.__module__.startswith("torch.nn."):
            found = self._channelwise(node, source, state, kind.__name__, module)
        return found

    def _of_function(self, node: fx.Node, states: dict[fx.Node, Channels | None]) -> Rule | None:
        target: Any = node.target
        inference = self._facts.inference
        if node.op == "call_method":
            target = _METHODS.get(str(target), target)
        first = node.args[0] if node.args else None
        if target in (torch.cat, torch.concat, torch.concatenate):
            return _joined(node, states)
        if target in _SUMS or target in _PRODUCTS:
            return _arithmetic(node, target, states, inference=inference)
        state = states.get(first) if isinstance(first, fx.Node) else None
        if not isinstance(first, fx.Node) or state is None:
            return None
        name = target if isinstance(target, str) else _name_in_torch(target)
        if name in ("flatten", "view", "reshape", "unsqueeze"):
            return reshaped(node, first, state, inference=inference)
        if name == "mean":
            return mean(node, first, state, inference=inference)
        if is_dropout(target) and _argument(node, None, "training") is False:
            name = "Identity"
        is_alone = node.all_input_nodes == [first]
        return self._channelwise(node, first, state, name, None) if is_alone else None

    def _channelwise(
        self,
        node: fx.Node,
        source: fx.Node,
        state: Channels,
        name: str,
        module: Any,  # noqa: ANN401
    ) -> Rule | None:
        """The rule of an operation on each channel by itself."""

        def same(value: torch.Tensor) -> torch.Tensor:
            return value

        def computed(value: torch.Tensor) -> torch.Tensor:
            if module is not None:
                return _on_cpu(module)(value).detach()
            if node.op == "call_method":
                found = getattr(value, str(node.target))(*node.args[1:], **node.kwargs)
            else:
                found = node.target(value, *node.args[1:], **node.kwargs)  # type: ignore[operator]
            return torch.as_tensor(found)

        def pooled(value: torch.Tensor) -> torch.Tensor:
            is_plain = _argument(node, module, "divisor_override") is None
            is_average = "avg" in name.lower() and "adaptive" not in name.lower()
            if is_average and not (is_plain and _argument(node, module, "padding") in (0, None)):
                return torch.where(value == 0, value, torch.nan)
            return value

        inference = self._facts.inference
        clips = name in _CLIPPING or (
            name in ("Hardtanh", "hardtanh") and _argument(node, module, "min_val") == 0
        )
        if clips or name in _ZERO_KEEPING | _ELEMENTWISE or (name == "PReLU" and module):
            zero = clips or name in _ZERO_KEEPING or name == "PReLU"
            return Channelwise(
                node, source, computed, keeps_zero=zero, clips=clips, inference=inference
            )
        if name in _IDENTITIES | _DROPOUTS:
            held = "Alpha" not in name
            return Channelwise(
                node, source, same, keeps_zero=held, keeps_held=held, inference=inference
            )
        if name in _POOLS | _POOL_FUNCTIONS and state.axis == 1 and shape_of(node):
            return Channelwise(node, source, pooled, keeps_held=True, inference=inference)
        return None


def _arithmetic(
    node: fx.Node,
    target: Any,  # noqa: ANN401
    states: dict[fx.Node, Channels | None],
    *,
    inference: bool,
) -> Rule | None:
    if len(node.args) != 2 or node.kwargs:
        return None
    nodes = [one for one in node.args if isinstance(one, fx.Node)]
    found = [states[one] for one in nodes]
    if len(nodes) == 1 and found[0] is not None:
        return _with_number(node, nodes[0], target, inference=inference)
    if len(nodes) != 2 or found[0] is None or found[1] is None:
        return None
    first, second = (len(shape_of(one) or ()) for one in nodes)
    if first != second or found[0].axis != found[1].axis or found[0].size != found[1].size:
        return None
    if target in _PRODUCTS:
        return Product(node, nodes)
    return Sum(node, nodes, _SUMS[target])


def _with_number(
    node: fx.Node,
    source: fx.Node,
    target: Any,  # noqa: ANN401
    *,
    inference: bool,
) -> Rule | None:
    """The rule of a sum or a product with a number."""
    if not any(isinstance(one, Real) for one in node.args):
        return None

    def constants(value: torch.Tensor) -> torch.Tensor:
        left, right = (value if isinstance(one, fx.Node) else one for one in node.args)
        return torch.as_tensor(target(left, right))

    is_product = target in _PRODUCTS
    return Channelwise(node, source, constants, keeps_zero=is_product, inference=inference)


def _asked(node: fx.Node) -> str | None:
    """What a node asks a tensor for: its shape, its device."""
    if node.op == "call_function" and node.target is getattr:
        return str(node.args[1])
    return str(node.target) if node.op == "call_method" else None


def _name_in_torch(function: Any) -> str:  # noqa: ANN401
    """The name of a function of torch; empty for others, whatever they are called."""
    name = str(getattr(function, "__name__", ""))
    is_of_torch = any(function is getattr(one, name, None) for one in (torch, functional, operator))
    return name if is_of_torch else ""


def _unknown(
    node: fx.Node, sources: Sequence[fx.Node], states: dict[fx.Node, Channels | None]
) -> Rule:
    if all(states[one] is None for one in sources):
        return Rule(node, sources)  # Numbers alone.
    if node.op == "call_module":
        return Unknown(node, sources, f"{node.target} ({type(module_of(node)).__name__})")
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "?")
    return Unknown(node, sources, f"the function {name} ({node.name})")


def _joined(node: fx.Node, states: dict[fx.Node, Channels | None]) -> Rule | None:
    parts: Any = node.args[0] if node.args else node.kwargs.get("tensors")
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    shape = shape_of(node)
    if not isinstance(parts, (list, tuple)) or not isinstance(axis, int) or shape is None:
        return None
    axis %= len(shape)
    found = [states.get(one) for one in parts]
    if any(one is None or one.axis != axis for one in found):
        return None
    return Concatenation(node, parts, axis)


def _on_cpu(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function of float64 tensors on the CPU that does what a module does, not in place."""
    if isinstance(module, nn.PReLU):
        slope = float(module.weight)
        return lambda value: functional.leaky_relu(value, slope)
    return lambda value: module(value.clone())


def _argument(node: fx.Node, module: Any, name: str) -> Any:  # noqa: ANN401
    """An argument of a function, or the attribute of a module of that name; None without one."""
    if module is not None:
        return getattr(module, name, None)
    try:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        # F.avg_pool2d and others of C: input, kernel_size, stride, padding, ...
        names = ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
        named = dict(zip((*names, "divisor_override"), node.args, strict=False)) | node.kwargs
        return named.get(name)
    return bound.arguments.get(name)
