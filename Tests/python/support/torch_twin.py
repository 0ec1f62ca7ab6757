"""The torch network equal to one of `swiftforce.nn`: same layers, numbers copied both ways.

Names are those of `swiftforce.nn`: ``"3.body.0.weight"``; the scale and the bias of a batch norm
are among the biases, its running mean and variance among the statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from swiftforce import nn

#: Names of the parameters and statistics of batch normalisation: torch's and ours.
BATCH_NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "variance"}


class Residual(torch.nn.Module):
    """``body(x) + shortcut(x)``."""

    def __init__(self, body: torch.nn.Module, shortcut: torch.nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + self.shortcut(x)


def module_of(layer: Any) -> torch.nn.Module:
    """The torch module equal to a layer, with its own initial numbers."""
    match layer:
        case nn.Linear():
            module = torch.nn.Linear(layer.inputs, layer.outputs, bias=layer.bias)
        case nn.ReLU():
            module = torch.nn.ReLU()
        case nn.Conv2d():
            module = torch.nn.Conv2d(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                groups=layer.groups,
                bias=layer.bias,
            )
        case nn.BatchNorm2d():
            module = torch.nn.BatchNorm2d(
                layer.channels, eps=layer.epsilon, momentum=layer.momentum
            )
        case nn.MaxPool2d():
            module = torch.nn.MaxPool2d(layer.kernel_size, layer.stride)
        case nn.AvgPool2d():
            module = torch.nn.AvgPool2d(layer.kernel_size, layer.stride)
        case nn.GlobalAvgPool2d():
            module = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        case nn.Flatten():
            module = torch.nn.Flatten()
        case nn.Residual():
            module = Residual(sequence(layer.body), sequence(layer.shortcut))
        case _:
            raise TypeError(f"torch has no layer equal to {layer!r}")
    return module


def sequence(layers: Sequence[Any]) -> torch.nn.Sequential:
    """The modules of a sequence of layers; the identity for an empty sequence."""
    return torch.nn.Sequential(*map(module_of, layers))


def twin(net: nn.Network, dtype: torch.dtype = torch.float64) -> torch.nn.Sequential:
    """The torch network with the same numbers, in train mode."""
    module = sequence(net.layers).to(dtype)
    give(net, module)
    return module


def parameters(module: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Weights and biases under our names."""
    return {_renamed(module, name): value for name, value in module.named_parameters()}


def statistics(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Running means and variances under our names."""
    return {
        _renamed(module, name): value
        for name, value in module.named_buffers()
        if not name.endswith("num_batches_tracked")
    }


def give(net: nn.Network, module: torch.nn.Module) -> None:
    """Copy all our numbers to torch.

    Raises
    ------
    ValueError
        If the two have different names or shapes.
    """
    for ours, theirs in _pairs(net, module):
        theirs.copy_(torch.from_numpy(ours.copy()))


def take(net: nn.Network, module: torch.nn.Module) -> None:
    """Copy all numbers of torch to our network."""
    for ours, theirs in _pairs(net, module):
        ours[...] = theirs.numpy()


def _pairs(net: nn.Network, module: torch.nn.Module) -> list[tuple[Any, torch.Tensor]]:
    pairs = []
    for ours, theirs in (
        ({**net.weights, **net.biases}, parameters(module)),
        (dict(net.statistics), statistics(module)),
    ):
        if set(ours) != set(theirs):
            raise ValueError(f"not in both: {sorted(set(ours) ^ set(theirs))}")
        for name, array in ours.items():
            if array.shape != tuple(theirs[name].shape):
                raise ValueError(f"{name} is {array.shape}, in torch {tuple(theirs[name].shape)}")
            pairs.append((array, theirs[name].detach()))
    return pairs


def _renamed(module: torch.nn.Module, name: str) -> str:
    where, _, what = name.rpartition(".")
    if isinstance(module.get_submodule(where), torch.nn.BatchNorm2d):
        what = BATCH_NORM[what]
    return f"{where}.{what}"
