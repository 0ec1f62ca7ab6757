"""The weights on a path, by search in a graph: units are nodes, uses of weights are edges.

Shares nothing with the package but the descriptions of layers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from swiftforce import nn

Node = int
#: From, to, and the name and index of the weight between them; None if there is no weight.
Edge = tuple[Node, Node, tuple[str, tuple[int, ...]] | None]


class Graph:
    """The units of a network and the edges between them."""

    def __init__(self, net: nn.Network) -> None:
        self.edges: list[Edge] = []
        self._count = 0
        self.inputs = self.nodes(net.input_shape)
        self.outputs = self.through(net.layers, self.inputs, "")

    def nodes(self, shape: Sequence[int]) -> Any:
        """New units in an array of that shape."""
        first = self._count
        self._count += int(np.prod(shape))
        return np.arange(first, self._count).reshape(shape)

    def through(self, layers: Iterable[Any], units: Any, prefix: str) -> Any:
        for i, layer in enumerate(layers):
            units = self.layer(layer, units, f"{prefix}{i}")
        return units

    def layer(self, layer: Any, units: Any, name: str) -> Any:  # noqa: PLR0911 - one a kind
        match layer:
            case nn.Linear():
                out = self.nodes((layer.outputs,))
                for (j, end), (i, start) in product(enumerate(out), enumerate(units.reshape(-1))):
                    self.edges.append((start, end, (f"{name}.weight", (j, i))))
                return out
            case nn.Conv2d():
                return self.convolution(layer, units, name)
            case nn.MaxPool2d() | nn.AvgPool2d():
                return self.pool(units, layer.kernel_size, layer.stride or layer.kernel_size)
            case nn.GlobalAvgPool2d():
                return self.pool(units, units.shape[1:], 1).reshape(-1)
            case nn.Flatten():
                return units.reshape(-1)
            case nn.Residual():
                body = self.through(layer.body, units, f"{name}.body.")
                shortcut = self.through(layer.shortcut, units, f"{name}.shortcut.")
                out = self.nodes(body.shape)
                for branch in (body, shortcut):
                    self.edges += [(a, b, None) for a, b in zip(branch.flat, out.flat, strict=True)]
                return out
        return units

    def convolution(self, layer: nn.Conv2d, units: Any, name: str) -> Any:
        kernel, stride, padding = layer.kernel_size, layer.stride, layer.padding
        channels, *image = units.shape
        rows, columns = ((side + 2 * padding - kernel) // stride + 1 for side in image)
        out = self.nodes((layer.out_channels, rows, columns))
        of_group = (layer.out_channels // layer.groups, channels // layer.groups)
        for (o, y, x), i in product(np.ndindex(out.shape), range(of_group[1])):
            channel = o // of_group[0] * of_group[1] + i
            for v, h in product(range(kernel), repeat=2):
                row, column = y * stride + v - padding, x * stride + h - padding
                if 0 <= row < image[0] and 0 <= column < image[1]:
                    weight = (f"{name}.weight", (o, i, v, h))
                    self.edges.append((units[channel, row, column], out[o, y, x], weight))
        return out

    def pool(self, units: Any, kernel: Any, stride: int) -> Any:
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        rows = (units.shape[1] - height) // stride + 1
        columns = (units.shape[2] - width) // stride + 1
        out = self.nodes((len(units), rows, columns))
        for c, y, x in np.ndindex(out.shape):
            window = units[c, y * stride : y * stride + height, x * stride : x * stride + width]
            self.edges += [(start, out[c, y, x], None) for start in window.flat]
        return out

    def effective(self, masks: Mapping[str, Any]) -> dict[str, Any]:
        """Masks of the weights on a path."""
        kept = [edge for edge in self.edges if edge[2] is None or masks[edge[2][0]][edge[2][1]]]
        live = _reached(self.inputs.flat, ((a, b) for a, b, _ in kept))
        used = _reached(self.outputs.flat, ((b, a) for a, b, _ in kept))
        found = {name: np.zeros_like(mask) for name, mask in masks.items()}
        for start, end, weight in kept:
            if weight is not None and start in live and end in used:
                found[weight[0]][weight[1]] = True
        return found


def _reached(starts: Iterable[Node], edges: Iterable[tuple[Node, Node]]) -> set[Node]:
    """All nodes reachable from some nodes, which are included."""
    follows = defaultdict(list)
    for a, b in edges:
        follows[a].append(b)
    reached = set(starts)
    waiting = list(reached)
    while waiting:
        new = [node for node in follows[waiting.pop()] if node not in reached]
        reached.update(new)
        waiting += new
    return reached
