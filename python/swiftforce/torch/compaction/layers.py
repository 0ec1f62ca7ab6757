"""How linear layers and convolutions act on channels, and what all layers with weights share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn

from swiftforce.torch.compaction.channels import Channels, Facts
from swiftforce.torch.compaction.rules import Reads, Rule
from swiftforce.torch.compaction.traced_graph import shape_of

#: Indices of the elements that stay, by the names of parameters and buffers of a module: each is
#: indexed with such a tuple.
Slices = dict[str, tuple[torch.Tensor, ...]]


class Layer:
    """A module with weights, which several nodes may call: they all need the same channels.

    Parameters
    ----------
    name : str
        The name of the module.
    module : nn.Module
        The module.
    outputs, inputs : int
        The numbers of its channels.
    """

    def __init__(self, name: str, module: Any, outputs: int, inputs: int) -> None:  # noqa: ANN401
        self.name = name
        self.module = module
        self.outputs = torch.zeros(outputs, dtype=torch.bool)
        self.inputs = torch.zeros(inputs, dtype=torch.bool)
        #: What replaces parameters before they are sliced: they took over what known inputs add.
        self.replaced: dict[str, torch.Tensor] = {}

    def slices(self) -> Slices:
        """What stays of the parameters and buffers."""
        index = (self.outputs.nonzero().flatten(),)
        names = ("weight", "bias", "running_mean", "running_var")
        return {name: index for name in names if getattr(self.module, name, None) is not None}

    def attributes(self) -> dict[str, int]:
        """The attributes of the module that say how many channels it has."""
        number = int(self.outputs.sum())
        names = ("num_features", "num_parameters")
        return {name: number for name in names if hasattr(self.module, name)}


class Connections(Layer):
    """A linear layer or a convolution: which of its outputs read which of its inputs."""

    def __init__(self, name: str, module: nn.Module, facts: Facts) -> None:
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        self.groups = int(getattr(module, "groups", 1))
        super().__init__(name, module, weight.shape[0], weight.shape[1] * self.groups)
        kept = facts.kept(f"{name}.weight", weight)
        self.kept = (kept.flatten(2).any(2) if kept.dim() > 2 else kept).cpu()
        padding = getattr(module, "padding", 0)
        is_zero = padding == "valid" or (not isinstance(padding, str) and not _any(padding))
        self.is_padded = not is_zero and getattr(module, "padding_mode", "zeros") == "zeros"

    def reading(self, inputs: torch.Tensor) -> torch.Tensor:
        """True for outputs that read one of these inputs by a kept weight."""
        by_group = inputs.view(self.groups, 1, -1)
        return (self._grouped() & by_group).any(2).flatten()

    def read_by(self, outputs: torch.Tensor) -> torch.Tensor:
        """True for inputs that one of these outputs reads by a kept weight."""
        by_group = outputs.view(self.groups, -1, 1)
        return (self._grouped() & by_group).any(1).flatten()

    def _grouped(self) -> torch.Tensor:
        return self.kept.view(self.groups, -1, self.kept.shape[1])

    def rounded(self, wanted: torch.Tensor) -> torch.Tensor:
        """As many outputs in each group that is left."""
        return _evened(wanted.view(self.groups, -1), wanted.view(self.groups, -1).any(1))

    def rounded_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """As many inputs in each group that is left, and at least one."""
        left = self.outputs.view(self.groups, -1).any(1)
        return _evened(inputs.view(self.groups, -1), left)

    @property
    def inputs_left(self) -> int:
        """The number of inputs that each output reads."""
        return int(self.inputs.view(self.groups, -1).sum(1).max())

    def known_sum(self, known: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """What known inputs of these values add to each output, in float64."""
        if not bool((known & (value != 0)).any()):
            return torch.zeros(len(self.outputs), dtype=torch.float64)
        weight: torch.Tensor = self.module.weight.detach().to("cpu", torch.float64)
        weight = weight.flatten(2).sum(2) if weight.dim() > 2 else weight
        by_group = torch.where(known, value, 0.0).view(self.groups, 1, -1)
        return (weight.view(self.groups, -1, weight.shape[1]) * by_group).sum(2).flatten()

    def fold(self, known: torch.Tensor, value: torch.Tensor) -> None:
        """Add to the bias what known inputs of these values add to each output."""
        if bool(known.any()):
            bias = self.module.bias
            own = 0 if bias is None else bias.detach().to("cpu", torch.float64)
            self.replaced["bias"] = own + self.known_sum(known, value)

    def merge(
        self, inputs: torch.Tensor, constant: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Read one of the constant inputs in place of all of them, by weights that add as much.

        At the border, zeros are read in place of a constant, so that no bias adds as much as a
        constant everywhere. Another constant does.
        """
        chosen = int(torch.where(constant, value.abs(), -1.0).argmax())
        weight = self.module.weight.detach().to("cpu", torch.float64)
        shares = torch.where(constant, value, 0.0) / value[chosen]
        merged = weight.clone()
        merged[:, chosen] = torch.einsum("oi...,i->o...", weight, shares)
        self.replaced["weight"] = merged
        left = inputs & ~constant
        left[chosen] = True
        return left

    def slices(self) -> Slices:
        """Rows of the weight for outputs that stay, columns for their inputs."""
        outputs = self.outputs.nonzero().flatten()
        by_group = self.inputs.view(self.groups, -1)
        columns = by_group[by_group.any(1)].nonzero()[:, 1].view(-1, self.inputs_left)
        if self.groups > 1:
            left = self.outputs.view(self.groups, -1)
            columns = columns.repeat_interleave(left[left.any(1)].sum(1), 0)
        found: Slices = {"weight": (outputs[:, None], columns)}
        if self.module.bias is not None:
            found["bias"] = (outputs,)
        return found

    def attributes(self) -> dict[str, int]:
        """The numbers of inputs, outputs and groups that stay."""
        numbers = int(self.inputs.sum()), int(self.outputs.sum())
        if isinstance(self.module, nn.Linear):
            return dict(zip(("in_features", "out_features"), numbers, strict=True))
        groups = int(self.outputs.view(self.groups, -1).any(1).sum())
        return {"in_channels": numbers[0], "out_channels": numbers[1], "groups": groups}


def _any(padding: Any) -> bool:  # noqa: ANN401 - a number or several
    return any(padding) if isinstance(padding, Sequence) else bool(padding)


def _evened(wanted: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
    """As many elements in each row that is left, of those wanted first; none in others."""
    most = max(1, int(wanted[left].sum(1).max())) if bool(left.any()) else 0
    order = wanted.to(torch.int8).argsort(dim=1, descending=True, stable=True)
    found = torch.zeros_like(wanted)
    found.scatter_(1, order[:, :most], True)
    return (found & left[:, None]).flatten()


class Weighted(Rule):
    """A call of a linear layer or a convolution.

    Parameters
    ----------
    node, source : fx.Node
    layer : Connections
    facts : Facts
    axis : int
        The axis of the channels in the result.
    reads_channels : bool
        Whether its inputs are the channels of the source; else it reads all of those.
    """

    def __init__(
        self,
        node: fx.Node,
        source: fx.Node,
        layer: Connections,
        facts: Facts,
        *,
        axis: int,
        reads_channels: bool,
    ) -> None:
        super().__init__(node, [source])
        self.layer = layer
        self._facts = facts
        self._axis = axis
        self._reads_channels = reads_channels

    def _known(self, states: Sequence[Channels | None]) -> tuple[torch.Tensor, torch.Tensor]:
        """The inputs that add a constant to each output, and their values."""
        (state,) = states
        assert state is not None
        if not self._reads_channels:
            nothing = torch.zeros(len(self.layer.inputs), dtype=torch.bool)
            return nothing, torch.zeros(len(nothing), dtype=torch.float64)
        # At the border, zeros take the place of a constant: what it adds is another number there.
        known = state.zero if self.layer.is_padded else state.known
        return known, state.value

    def unreached(self, states: Sequence[Channels | None]) -> torch.Tensor:
        """True for outputs that no kept weight connects to an input that is not known."""
        return ~self.layer.reading(~self._known(states)[0])

    def forward(self, states: Sequence[Channels | None]) -> Channels:
        """An output without inputs is its bias, which may be held."""
        known, values = self._known(states)
        unreached = self.unreached(states)
        bias = self.layer.module.bias
        nothing = torch.zeros(len(unreached), dtype=torch.float64)
        value = nothing if bias is None else bias.detach().to("cpu", torch.float64)
        held = None
        if self._facts.inference:
            value = value + self.layer.known_sum(known, values)
        elif bias is not None:
            at_rest = self._facts.at_rest(f"{self.layer.name}.bias")
            sole = self._facts.is_called_once(self.layer.name)
            held = unreached & (value <= 0) & at_rest & sole
            unreached = unreached & (value == 0) & (not bias.requires_grad)
        return Channels.of(self._axis, value.masked_fill(~unreached, torch.nan), held)

    def rounded(self, wanted: torch.Tensor, states: Sequence[Channels | None]) -> torch.Tensor:
        """Those of all calls, as many in each group."""
        self.layer.outputs |= self.layer.rounded(wanted | self.layer.outputs)
        return self.layer.outputs.clone()

    def reads(self, wanted: torch.Tensor | None, states: Sequence[Channels | None]) -> Reads:
        """Inputs by kept weights, but for those that the bias takes over."""
        (state,) = states
        assert state is not None
        if not self._reads_channels:
            self.layer.inputs[:] = True
            return [torch.ones(state.size, dtype=torch.bool)]
        known, values = self._known(states)
        is_called_once = self._facts.is_called_once(self.layer.name)
        if not is_called_once:
            known = known & (values == 0)  # Its one bias cannot take over what differs by calls.
        inputs = self.layer.read_by(self.layer.outputs) & ~known
        self.layer.replaced.clear()
        constant = state.known & (values != 0)
        if is_called_once and self.layer.groups == 1 and bool((inputs & constant & ~known).any()):
            inputs = self.layer.merge(inputs, constant, values)
        self.layer.inputs |= self.layer.rounded_inputs(inputs | self.layer.inputs)
        self.layer.fold(known & constant & ~self.layer.inputs, values)
        return [self.layer.inputs.clone()]

    @property
    def positions(self) -> int:
        """How often each weight multiplies for one sample."""
        shape = shape_of(self.node)
        assert shape is not None
        return shape.numel() // (shape[0] if len(shape) > 1 else 1) // shape[self._axis]
