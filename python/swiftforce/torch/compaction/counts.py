"""What the layers of a model cost, counted before they shrink and after."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import torch
from torch import fx, nn

from swiftforce.torch.compaction.layers import Weighted
from swiftforce.torch.compaction.plan import Plan
from swiftforce.torch.compaction.removed import CompactedLayer, Compaction


class Counts:
    """The counts of a model, taken before modules shrink.

    Parameters
    ----------
    model : nn.Module
        The model before.
    plan : Plan
        What is computed of it.
    """

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        self._plan = plan
        self._parameters, self._size = _size(model)
        self._calls: dict[str, list[Weighted]] = {}
        for rule in plan.rules.values():
            if isinstance(rule, Weighted):
                self._calls.setdefault(rule.layer.name, []).append(rule)
        self._layers = [self._layer(calls) for calls in self._calls.values()]

    def report(self, small: fx.GraphModule) -> Compaction:
        """What was removed in a compact model."""
        parameters, size = _size(small)
        needed = (one for node, one in self._plan.rules.items() if node in self._plan.computed)
        left_alone = [rule.reason for rule in needed if rule.reason]
        left_alone += filter(None, map(self._unreached, self._calls.values()))
        return Compaction(
            tuple(self._layers),
            (self._parameters, parameters),
            (self._size, size),
            tuple(dict.fromkeys(left_alone)),
        )

    def _layer(self, calls: list[Weighted]) -> CompactedLayer:
        layer = calls[0].layer
        weight, has_bias = layer.module.weight, layer.module.bias is not None
        needed = [one for one in calls if one.node in self._plan.computed]
        left = int(layer.outputs.sum()) * layer.inputs_left * weight[0, 0].numel() if needed else 0
        outputs, inputs = (int(one.sum()) if needed else 0 for one in (layer.outputs, layer.inputs))
        has_bias_left = has_bias or "bias" in layer.replaced
        return CompactedLayer(
            layer.name,
            (len(layer.outputs), outputs),
            (len(layer.inputs), inputs),
            (weight.numel() + has_bias * len(layer.outputs), left + has_bias_left * outputs),
            (
                sum(one.positions * weight.numel() for one in calls),
                sum(one.positions * left for one in needed),
            ),
        )

    def _unreached(self, calls: list[Weighted]) -> str | None:
        """Why hidden units are left that no kept weight reaches; None if there are none."""
        layer = calls[0].layer
        missed = layer.outputs.clone()
        for one in calls:
            missed &= one.unreached([self._plan.states[source] for source in one.sources])
        number = int(missed.sum())
        is_output = any(user.op == "output" for one in calls for user in one.node.users)
        if not number or layer.module.bias is None or is_output:
            return None
        return (
            f"{number} units of {layer.name} that no kept weight reaches: their biases are trained"
        )


def _size(model: nn.Module) -> tuple[int, int]:
    """The number of parameters, and the bytes of the state."""
    parameters = list(model.parameters())
    state = {id(one): one for one in chain(parameters, _saved_buffers(model))}
    return sum(one.numel() for one in parameters), sum(one.nbytes for one in state.values())


def _saved_buffers(model: nn.Module) -> Iterator[torch.Tensor]:
    """Buffers that a state_dict has."""
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in module._non_persistent_buffers_set:
                yield buffer
