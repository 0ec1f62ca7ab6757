"""Which weights of layers lie on a path from an input to an output.

A unit is a feature, or one pixel of a channel. From the input onwards, a unit is *live* if a kept
weight joins it to a live unit; from the output backwards, it is *wanted* if a kept weight joins it
to a wanted one. A weight lies on a path if it is kept and joins, at some place of the image, a live
unit to a wanted one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

import numpy as np

from swiftforce.inputs import Array
from swiftforce.nn.layers import (
    AnyLayer,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
)

Place = tuple[slice, slice]


class Paths:
    """The two ways through layers: `forward` first, then `backward`.

    Parameters
    ----------
    masks : mapping of str to array of bool
        By the names of the weights in a network.

    Attributes
    ----------
    effective : dict of str to array of bool
        True where a weight lies on a path; complete after `backward`.
    """

    def __init__(self, masks: Mapping[str, Array]) -> None:
        self._masks = masks
        self._live: dict[str, Array] = {}
        self.effective: dict[str, Array] = {}

    def forward(self, layers: Sequence[AnyLayer], live: Array, prefix: str = "") -> Array:
        """The live outputs of layers, one after the other, of their live inputs.

        Maps are of bool, of shape (channels, height, width) or (features,).
        """
        for i, layer in enumerate(layers):
            live = self._live_through(layer, f"{prefix}{i}", live)
        return live

    def backward(self, layers: Sequence[AnyLayer], wanted: Array, prefix: str = "") -> Array:
        """The wanted inputs of layers, of their wanted outputs; notes `effective` on the way."""
        for i, layer in reversed(tuple(enumerate(layers))):
            wanted = self._wanted_through(layer, f"{prefix}{i}", wanted)
        return wanted

    def _live_through(self, layer: AnyLayer, name: str, live: Array) -> Array:
        self._live[name] = live
        match layer:
            case ReLU() | BatchNorm2d():
                pass
            case Linear():
                mask = self._masks[f"{name}.weight"]
                live = np.logical_or.reduce(mask[:, live.reshape(-1)], axis=1)
            case Conv2d():
                live = _Convolution(layer, self._masks[f"{name}.weight"], live).outputs()
            case MaxPool2d() | AvgPool2d():
                live = np.logical_or.reduce([live[:, *place] for place in _window(layer, live)])
            case GlobalAvgPool2d():
                live = np.logical_or.reduce(live, axis=(1, 2))
            case Flatten():
                live = live.reshape(-1)
            case Residual():
                body = self.forward(layer.body, live, f"{name}.body.")
                live = body | self.forward(layer.shortcut, live, f"{name}.shortcut.")
            case _:
                assert_never(layer)
        return live

    def _wanted_through(self, layer: AnyLayer, name: str, wanted: Array) -> Array:
        live = self._live.pop(name)
        match layer:
            case Linear():
                mask = self._masks[f"{name}.weight"]
                self.effective[f"{name}.weight"] = mask & wanted[:, None] & live.reshape(-1)
                wanted = np.logical_or.reduce(mask[wanted], axis=0).reshape(live.shape)
            case Conv2d():
                convolution = _Convolution(layer, self._masks[f"{name}.weight"], live)
                self.effective[f"{name}.weight"], wanted = convolution.weights_and_inputs(wanted)
            case MaxPool2d() | AvgPool2d():
                inputs = np.zeros_like(live)
                for place in _window(layer, live):
                    inputs[:, *place] |= wanted
                wanted = inputs
            case GlobalAvgPool2d():
                wanted = np.broadcast_to(wanted[:, None, None], live.shape)
            case Flatten():
                wanted = wanted.reshape(live.shape)
            case Residual():
                body = self.backward(layer.body, wanted, f"{name}.body.")
                wanted = body | self.backward(layer.shortcut, wanted, f"{name}.shortcut.")
        return wanted


def _window(pool: MaxPool2d | AvgPool2d, live: Array) -> Iterator[Place]:
    """Where each pixel of a pool's windows lies in its input."""
    stride = pool.stride or pool.kernel_size
    for _, _, place in _taps(pool.kernel_size, stride, live.shape[1:]):
        yield place


def _taps(kernel: int, stride: int, image: Sequence[int]) -> Iterator[tuple[int, int, Place]]:
    """For each position in the kernel, the pixels that lie below it as it moves over an image."""
    rows, columns = ((side - kernel) // stride * stride + 1 for side in image)
    for i in range(kernel):
        for j in range(kernel):
            yield i, j, (slice(i, i + rows, stride), slice(j, j + columns, stride))


class _Convolution:
    """The masks and maps of a convolution, group by group.

    "Any of these" is a sum of zeros and ones above zero. Sums of float32 lose count past 2**24, but
    not that they are above zero; and BLAS adds them.
    """

    def __init__(self, layer: Conv2d, mask: Array, live: Array) -> None:
        channels, height, width = live.shape
        self._margin = layer.padding
        self._mask = mask
        groups = layer.groups
        # (kernel, kernel, groups, outputs, inputs): the last two of one group, at one tap.
        self._kernels = np.ascontiguousarray(
            mask.reshape(groups, -1, *mask.shape[1:]).transpose(3, 4, 0, 1, 2), np.float32
        )
        margins = ((0, 0), (layer.padding,) * 2, (layer.padding,) * 2)
        padded = np.pad(live, margins).astype(np.float32)
        self._padded = padded.reshape(groups, channels // groups, *padded.shape[1:])
        self._taps = tuple(_taps(layer.kernel_size, layer.stride, padded.shape[1:]))
        self._image = (height, width)

    def _below(self, place: Place) -> Array:
        """What lies below a tap: (groups, inputs, rows, columns)."""
        return self._padded[:, :, *place]

    def outputs(self) -> Array:
        """The live outputs."""
        total: Array | None = None
        for i, j, place in self._taps:
            below = self._below(place)
            part = self._kernels[i, j] @ below.reshape(*below.shape[:2], -1)
            total = part if total is None else total + part
        assert total is not None
        live: Array = total.reshape(len(self._mask), *below.shape[2:]) > 0
        return live

    def weights_and_inputs(self, wanted: Array) -> tuple[Array, Array]:
        """The effective weights, and the wanted inputs."""
        groups = len(self._padded)
        above = wanted.reshape(groups, len(self._mask) // groups, -1).astype(np.float32)
        joined = np.empty(self._kernels.shape, np.bool_)
        inputs = np.zeros(self._padded.shape, np.bool_)
        for i, j, place in self._taps:
            below = self._below(place)
            flat = below.reshape(*below.shape[:2], -1)
            joined[i, j] = above @ flat.transpose(0, 2, 1) > 0
            reached = self._kernels[i, j].transpose(0, 2, 1) @ above > 0
            inputs[:, :, *place] |= reached.reshape(below.shape)
        height, width = self._image
        rows, columns = (slice(self._margin, self._margin + side) for side in (height, width))
        inside = inputs[:, :, rows, columns].reshape(-1, height, width)
        weights = joined.transpose(2, 3, 4, 0, 1).reshape(self._mask.shape)
        return self._mask & weights, inside
