"""Which weights of layers lie on a path from an input to an output.

A unit is a feature, or one pixel of a channel. A unit is *live* if a path of kept weights leads
from the input to it, and *used* if a path of kept weights leads from it to an output. A weight is
*effective* if it is kept and joins, at some position of the image, a live unit to a used one.
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

#: Rows and columns of an image.
Pixels = tuple[slice, slice]


class Paths:
    """Finds live and used units layer by layer: call `forward` first, then `backward`.

    Parameters
    ----------
    masks : mapping of str to array of bool
        By the names of the network's weights.

    Attributes
    ----------
    effective : dict of str to array of bool
        True where a weight is effective; filled by `backward`.
    """

    def __init__(self, masks: Mapping[str, Array]) -> None:
        self._masks = masks
        self._live: dict[str, Array] = {}
        self.effective: dict[str, Array] = {}

    def forward(self, layers: Sequence[AnyLayer], live: Array, prefix: str = "") -> Array:
        """Which outputs of a sequence of layers are live, given which inputs are.

        Units are arrays of bool of shape (channels, height, width) or (features,).
        """
        for i, layer in enumerate(layers):
            live = self._forward_layer(layer, f"{prefix}{i}", live)
        return live

    def backward(self, layers: Sequence[AnyLayer], used: Array, prefix: str = "") -> Array:
        """Which inputs of a sequence of layers are used; adds their weights to `effective`."""
        for i, layer in reversed(tuple(enumerate(layers))):
            used = self._backward_layer(layer, f"{prefix}{i}", used)
        return used

    def _forward_layer(self, layer: AnyLayer, name: str, live: Array) -> Array:
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
                live = np.logical_or.reduce([live[:, *pixels] for pixels in _window(layer, live)])
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

    def _backward_layer(self, layer: AnyLayer, name: str, used: Array) -> Array:
        live = self._live.pop(name)
        match layer:
            case Linear():
                mask = self._masks[f"{name}.weight"]
                self.effective[f"{name}.weight"] = mask & used[:, None] & live.reshape(-1)
                used = np.logical_or.reduce(mask[used], axis=0).reshape(live.shape)
            case Conv2d():
                convolution = _Convolution(layer, self._masks[f"{name}.weight"], live)
                self.effective[f"{name}.weight"], used = convolution.weights_and_inputs(used)
            case MaxPool2d() | AvgPool2d():
                inputs = np.zeros_like(live)
                for pixels in _window(layer, live):
                    inputs[:, *pixels] |= used
                used = inputs
            case GlobalAvgPool2d():
                used = np.broadcast_to(used[:, None, None], live.shape)
            case Flatten():
                used = used.reshape(live.shape)
            case Residual():
                body = self.backward(layer.body, used, f"{name}.body.")
                used = body | self.backward(layer.shortcut, used, f"{name}.shortcut.")
        return used


def unreachable_classes(
    layers: Sequence[AnyLayer], input_shape: Sequence[int], masks: Mapping[str, Array]
) -> list[int]:
    """Classes to which no path of kept weights leads from the input."""
    live = Paths(masks).forward(layers, np.ones(input_shape, np.bool_))
    found: list[int] = np.flatnonzero(~live).tolist()
    return found


def _window(pool: MaxPool2d | AvgPool2d, live: Array) -> Iterator[Pixels]:
    """For each position in a pool's window, the input pixels at it over all windows."""
    stride = pool.stride or pool.kernel_size
    for _, _, pixels in _taps(pool.kernel_size, stride, live.shape[1:]):
        yield pixels


def _taps(kernel: int, stride: int, image: Sequence[int]) -> Iterator[tuple[int, int, Pixels]]:
    """For each position in the kernel, the pixels that it meets as the kernel moves."""
    rows, columns = ((side - kernel) // stride * stride + 1 for side in image)
    for i in range(kernel):
        for j in range(kernel):
            yield i, j, (slice(i, i + rows, stride), slice(j, j + columns, stride))


class _Convolution:
    """Live and used units of a convolution, group by group.

    A logical "or" is computed as a sum of zeros and ones that is above zero, since BLAS adds
    float32 fast. Beyond 2**24 such sums are not exact, but they stay above zero.
    """

    def __init__(self, layer: Conv2d, mask: Array, live: Array) -> None:
        channels, height, width = live.shape
        self._padding = layer.padding
        self._mask = mask
        groups = layer.groups
        # (kernel, kernel, groups, outputs, inputs): the last two of one group, at one tap.
        self._kernels = np.ascontiguousarray(
            mask.reshape(groups, -1, *mask.shape[1:]).transpose(3, 4, 0, 1, 2), np.float32
        )
        padding = ((0, 0), (layer.padding,) * 2, (layer.padding,) * 2)
        padded = np.pad(live, padding).astype(np.float32)
        self._padded = padded.reshape(groups, channels // groups, *padded.shape[1:])
        self._taps = tuple(_taps(layer.kernel_size, layer.stride, padded.shape[1:]))
        self._image = (height, width)

    def _inputs_at(self, pixels: Pixels) -> Array:
        """The inputs at a tap, of shape (groups, inputs, rows, columns)."""
        return self._padded[:, :, *pixels]

    def outputs(self) -> Array:
        """Which outputs are live."""
        total: Array | None = None
        for i, j, pixels in self._taps:
            patch = self._inputs_at(pixels)
            part = self._kernels[i, j] @ patch.reshape(*patch.shape[:2], -1)
            total = part if total is None else total + part
        assert total is not None
        live: Array = total.reshape(len(self._mask), *patch.shape[2:]) > 0
        return live

    def weights_and_inputs(self, used: Array) -> tuple[Array, Array]:
        """Which weights are effective, and which inputs are used."""
        groups = len(self._padded)
        outputs = used.reshape(groups, len(self._mask) // groups, -1).astype(np.float32)
        effective = np.empty(self._kernels.shape, np.bool_)
        inputs = np.zeros(self._padded.shape, np.bool_)
        for i, j, pixels in self._taps:
            patch = self._inputs_at(pixels)
            flat = patch.reshape(*patch.shape[:2], -1)
            effective[i, j] = outputs @ flat.transpose(0, 2, 1) > 0
            reached = self._kernels[i, j].transpose(0, 2, 1) @ outputs > 0
            inputs[:, :, *pixels] |= reached.reshape(patch.shape)
        height, width = self._image
        rows, columns = (slice(self._padding, self._padding + side) for side in (height, width))
        inside = inputs[:, :, rows, columns].reshape(-1, height, width)
        weights = effective.transpose(2, 3, 4, 0, 1).reshape(self._mask.shape)
        return self._mask & weights, inside
