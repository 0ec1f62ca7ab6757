"""How layers with a number for each channel act on them: batch norm, and PReLU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx

from swiftforce.torch.compaction.channels import Channels, Facts
from swiftforce.torch.compaction.layers import Layer
from swiftforce.torch.compaction.rules import Channelwise, Reads, Rule


class Normalised(Rule):
    """A call of a batch norm."""

    def __init__(self, node: fx.Node, source: fx.Node, layer: Layer, facts: Facts) -> None:
        super().__init__(node, [source])
        self.layer = layer
        self._facts = facts

    def forward(self, states: Sequence[Channels | None]) -> Channels:
        """Zeros become the shift, in train mode and in eval mode."""
        (state,) = states
        assert state is not None
        name, module = self.layer.name, self.layer.module
        ones = torch.ones(state.size, dtype=torch.float64)
        gamma, beta = ones, ones - 1
        if module.affine:
            gamma, beta = (
                one.detach().to("cpu", torch.float64) for one in (module.weight, module.bias)
            )
        if module.running_mean is None:
            # By the statistics of each batch: those of a constant are the constant and zero.
            shift, scale = beta, torch.zeros_like(gamma)
        else:
            variance = module.running_var.to("cpu", torch.float64)
            scale = gamma / (variance + module.eps).sqrt()
            shift = beta - module.running_mean.to("cpu", torch.float64) * scale
        if self._facts.inference:
            value = torch.where((scale == 0) & (state.known | (gamma == 0)), 0.0, state.value)
            return Channels.of(state.axis, value * scale + shift)
        # In train mode a channel of zeros is beta, in eval mode it is shift until the running mean
        # has become zero, too.
        is_fixed = not module.affine or not (
            module.weight.requires_grad or module.bias.requires_grad
        )
        if is_fixed:
            zero = state.zero & (beta == 0) & (shift == 0)
            held = state.zero & (beta <= 0) & (shift <= beta)
        else:
            zero = torch.zeros_like(state.zero)
            rests = self._facts.at_rest(f"{name}.bias")
            rests &= (shift == beta) | self._facts.at_rest(f"{name}.weight")
            rests &= self._facts.is_called_once(name)
            held = state.zero & (beta <= 0) & (shift <= beta) & rests
        return Channels.of(state.axis, torch.where(zero, 0.0, torch.nan).double(), held)

    def rounded(self, wanted: torch.Tensor, states: Sequence[Channels | None]) -> torch.Tensor:
        """Those of all calls."""
        self.layer.outputs |= wanted
        return self.layer.outputs.clone()

    def reads(self, wanted: torch.Tensor | None, states: Sequence[Channels | None]) -> Reads:
        """The channels that are computed."""
        return [self.layer.outputs.clone()]


class ScaledByChannel(Channelwise):
    """A call of a PReLU with a slope for each channel."""

    def __init__(self, node: fx.Node, source: fx.Node, layer: Layer, *, inference: bool) -> None:
        def constants(value: torch.Tensor) -> torch.Tensor:
            slope = layer.module.weight.detach().to("cpu", torch.float64)
            return torch.where(value < 0, value * slope, value)

        super().__init__(node, source, constants, inference=inference)
        self.layer = layer

    def rounded(self, wanted: torch.Tensor, states: Sequence[Channels | None]) -> torch.Tensor:
        """Those of all calls."""
        self.layer.outputs |= wanted
        return self.layer.outputs.clone()
