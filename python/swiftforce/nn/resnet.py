"""Residual networks for small images."""

from __future__ import annotations

from collections.abc import Sequence

from swiftforce.nn.architecture_arguments import check_depth, check_image_shape
from swiftforce.nn.layers import (
    AnyLayer,
    BatchNorm2d,
    Conv2d,
    GlobalAvgPool2d,
    Linear,
    ReLU,
    Residual,
)
from swiftforce.nn.network import Network

#: By depth: blocks of each stage, channels of the first stage, whether blocks are bottlenecks.
_RESNET = {
    18: ((2, 2, 2, 2), 64, False),
    20: ((3, 3, 3), 16, False),
    34: ((3, 4, 6, 3), 64, False),
    50: ((3, 4, 6, 3), 64, True),
    56: ((9, 9, 9), 16, False),
}

#: Output channels of a bottleneck over those of its middle convolution.
_EXPANSION = 4


def resnet(
    depth: int, input_shape: Sequence[int] = (3, 32, 32), classes: int = 10, *, seed: int = 0
) -> Network:
    """ResNet for small images: a first convolution of 3 by 3 and no pool before the first stage.

    Depths 18, 34 and 50 have four stages of 64 to 512 channels, 50 with bottlenecks. Depths 20 and
    56 have three stages of 16 to 64 channels. If a block changes the shape, its shortcut is a
    convolution of 1 by 1 with batch normalisation.

    Parameters
    ----------
    depth : {18, 20, 34, 50, 56}
        Number of layers with weights, without the shortcuts.
    input_shape : (int, int, int)
        Channels, height and width of a sample.
    classes : int
    seed : int
        Selects the initial weights.

    Raises
    ------
    ArchitectureError
        If there is no such depth or shape.

    References
    ----------
    He et al., "Deep residual learning for image recognition", CVPR 2016.

    Examples
    --------
    >>> from swiftforce import nn
    >>> sum(weight.size for weight in nn.resnet(50).weights.values())
    23467712
    """
    shape = check_image_shape(input_shape)
    blocks, width, bottleneck = _RESNET[check_depth(depth, _RESNET, "resnet")]
    layers = _resnet_layers(blocks, width, shape, classes, bottleneck=bottleneck)
    return Network(layers, input_shape=shape, seed=seed)


def _resnet_layers(
    blocks: Sequence[int],
    width: int,
    shape: Sequence[int],
    classes: int,
    *,
    bottleneck: bool = False,
) -> list[AnyLayer]:
    """A convolution of 3 by 3, stages of residual blocks, and one linear classifier.

    Parameters
    ----------
    blocks : sequence of int
        Blocks of each stage. All stages but the first begin with a stride of 2.
    width : int
        Channels of the first stage. Each later stage has twice as many as the one before.
    """
    layers: list[AnyLayer] = [
        Conv2d(shape[0], width, 3, padding=1, bias=False),
        BatchNorm2d(width),
        ReLU(),
    ]
    channels = width
    for stage, count in enumerate(blocks):
        middle = width << stage
        out = middle * (_EXPANSION if bottleneck else 1)
        for block in range(count):
            stride = 2 if stage and not block else 1
            body = _bottleneck if bottleneck else _basic
            shortcut: list[AnyLayer] = []
            if stride > 1 or channels != out:
                shortcut = [Conv2d(channels, out, 1, stride=stride, bias=False), BatchNorm2d(out)]
            layers += [Residual(body(channels, middle, stride), shortcut), ReLU()]
            channels = out
    return [*layers, GlobalAvgPool2d(), Linear(channels, classes)]


def _basic(channels: int, middle: int, stride: int) -> list[AnyLayer]:
    return [
        Conv2d(channels, middle, 3, stride=stride, padding=1, bias=False),
        BatchNorm2d(middle),
        ReLU(),
        Conv2d(middle, middle, 3, padding=1, bias=False),
        BatchNorm2d(middle),
    ]


def _bottleneck(channels: int, middle: int, stride: int) -> list[AnyLayer]:
    return [
        Conv2d(channels, middle, 1, bias=False),
        BatchNorm2d(middle),
        ReLU(),
        Conv2d(middle, middle, 3, stride=stride, padding=1, bias=False),
        BatchNorm2d(middle),
        ReLU(),
        Conv2d(middle, middle * _EXPANSION, 1, bias=False),
        BatchNorm2d(middle * _EXPANSION),
    ]
