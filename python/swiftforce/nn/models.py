"""Networks of the literature, for any input shape and number of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swiftforce.errors import ArchitectureError
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
from swiftforce.nn.network import Network

Shape = Sequence[int]

#: Output channels of VGG's convolutions; 0 stands for a pool.
_VGG = {
    11: (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    13: (64, 64, 0, 128, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    16: (64, 64, 0, 128, 128, 0, *(256,) * 3, 0, *(512,) * 3, 0, *(512,) * 3, 0),
    19: (64, 64, 0, 128, 128, 0, *(256,) * 4, 0, *(512,) * 4, 0, *(512,) * 4, 0),
}

_SMALL_VGG = (8, 8, 0, *(16,) * 3, 0, *(64,) * 6)

#: Blocks of each stage of a residual network, channels of the first stage, whether blocks are
#: bottlenecks.
_RESNET = {
    18: ((2, 2, 2, 2), 64, False),
    20: ((3, 3, 3), 16, False),
    34: ((3, 4, 6, 3), 64, False),
    50: ((3, 4, 6, 3), 64, True),
    56: ((9, 9, 9), 16, False),
}

#: How much wider the output of a bottleneck is than its middle.
_EXPANSION = 4


def lenet_300_100(inputs: int = 784, classes: int = 10, *, seed: int = 0) -> Network:
    """LeNet-300-100: three linear layers of 300, 100 and `classes` outputs, ReLU between them.

    Parameters
    ----------
    inputs : int
        Features of a sample; 784 for images of 28 by 28 pixels.
    classes : int
    seed : int
        Selects the initial weights.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    Examples
    --------
    >>> from swiftforce import nn
    >>> sum(weight.size for weight in nn.lenet_300_100().weights.values())
    266200
    """
    return Network(
        [Linear(inputs, 300), ReLU(), Linear(300, 100), ReLU(), Linear(100, classes)], seed=seed
    )


def lenet5(input_shape: Shape = (1, 28, 28), classes: int = 10, *, seed: int = 0) -> Network:
    """LeNet-5: two convolutions of 5 by 5 with max pools, then three linear layers.

    The first convolution is padded by 2, so that images of 28 by 28 pixels take the place of the
    paper's, which have that margin. Rectifiers and maxima stand where the paper has others.

    Parameters
    ----------
    input_shape : (int, int, int)
        Channels, height and width of a sample, at least 12 by 12 pixels.
    classes : int
    seed : int
        Selects the initial weights.

    Raises
    ------
    ArchitectureError
        If the images are too small.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    Examples
    --------
    >>> from swiftforce import nn
    >>> sum(weight.size for weight in nn.lenet5().weights.values())
    61470
    """
    channels, height, width = image_shape(input_shape, at_least=12)
    places = ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
    layers: list[AnyLayer] = [
        Conv2d(channels, 6, 5, padding=2),
        ReLU(),
        MaxPool2d(2),
        Conv2d(6, 16, 5),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(16 * places, 120),
        ReLU(),
        Linear(120, 84),
        ReLU(),
        Linear(84, classes),
    ]
    return Network(layers, input_shape=(channels, height, width), seed=seed)


def vgg(
    depth: int, input_shape: Shape = (3, 32, 32), classes: int = 10, *, seed: int = 0
) -> Network:
    """VGG with batch normalisation and one linear classifier, as the pruning literature has it.

    Parameters
    ----------
    depth : {11, 13, 16, 19}
        Layers with weights, of the paper's three linear ones all counted.
    input_shape : (int, int, int)
        Channels, height and width of a sample. A pool that the image has become too small for is
        left out.
    classes : int
    seed : int
        Selects the initial weights.

    Raises
    ------
    ArchitectureError
        If there is no such depth or shape.

    References
    ----------
    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition",
    ICLR 2015.

    Examples
    --------
    >>> from swiftforce import nn
    >>> sum(weight.size for weight in nn.vgg(19).weights.values())
    20024000
    """
    shape = image_shape(input_shape)
    layers = vgg_layers(_VGG[_known(depth, _VGG, "vgg")], shape, classes)
    return Network(layers, input_shape=shape, seed=seed)


def resnet(
    depth: int, input_shape: Shape = (3, 32, 32), classes: int = 10, *, seed: int = 0
) -> Network:
    """Residual networks for small images: a stem of 3 by 3 and no pool before the first stage.

    18, 34 and 50 have four stages of 64 to 512 channels, 50 with bottlenecks; 20 and 56 have three
    stages of 16 to 64 channels. Where a block changes the shape, its shortcut is a convolution of
    1 by 1 with batch normalisation.

    Parameters
    ----------
    depth : {18, 20, 34, 50, 56}
        Layers with weights, shortcuts not counted.
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
    shape = image_shape(input_shape)
    blocks, width, bottleneck = _RESNET[_known(depth, _RESNET, "resnet")]
    layers = resnet_layers(blocks, width, shape, classes, bottleneck=bottleneck)
    return Network(layers, input_shape=shape, seed=seed)


def small_vgg(input_shape: Shape = (1, 28, 28), classes: int = 10, *, seed: int = 0) -> Network:
    """A deep and narrow VGG for small images, which trains in minutes on two cores.

    The image is first halved by a pool; then eleven convolutions with 8, 16 and 64 channels and
    batch normalisation, two pools between them, and one linear classifier. As in the VGG of the
    pruning literature, most weights are in its last layers; for images of 28 by 28 there are
    200,584 in all.

    Parameters
    ----------
    input_shape : (int, int, int)
        Channels, height and width of a sample, at least 2 by 2 pixels.
    classes : int
    seed : int
        Selects the initial weights.

    Raises
    ------
    ArchitectureError
        If the images are too small.

    Examples
    --------
    >>> from swiftforce import nn
    >>> sum(weight.size for weight in nn.small_vgg().weights.values())
    200584
    """
    channels, height, width = image_shape(input_shape, at_least=2)
    halved = (channels, height // 2, width // 2)
    layers = [AvgPool2d(2), *vgg_layers(_SMALL_VGG, halved, classes)]
    return Network(layers, input_shape=(channels, height, width), seed=seed)


def vgg_layers(plan: Sequence[int], shape: Shape, classes: int) -> list[AnyLayer]:
    """Convolutions of 3 by 3 with batch normalisation, and one linear classifier.

    Parameters
    ----------
    plan : sequence of int
        Output channels of each convolution; 0 stands for a pool of 2 by 2. A pool that the image
        has become too small for is left out.
    """
    channels, height, width = shape
    side = min(height, width)
    layers: list[AnyLayer] = []
    for step in plan:
        if step:
            layers += [
                Conv2d(channels, step, 3, padding=1, bias=False),
                BatchNorm2d(step),
                ReLU(),
            ]
            channels = step
        elif side > 1:
            layers.append(MaxPool2d(2))
            side //= 2
    return [*layers, GlobalAvgPool2d(), Linear(channels, classes)]


def resnet_layers(
    blocks: Sequence[int], width: int, shape: Shape, classes: int, *, bottleneck: bool = False
) -> list[AnyLayer]:
    """A stem of 3 by 3, stages of residual blocks, and one linear classifier.

    Parameters
    ----------
    blocks : sequence of int
        Blocks of each stage; all stages but the first begin with a stride of 2.
    width : int
        Channels of the first stage; each stage has twice as many as the one before.
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


def image_shape(shape: Shape, at_least: int = 1) -> tuple[int, int, int]:
    """Channels, height and width.

    Raises
    ------
    ArchitectureError
        If it is not three sizes, channels of at least 1, or the image has fewer pixels than that.
    """
    sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    if len(sizes) != 3 or any(isinstance(s, bool) or not isinstance(s, int) for s in sizes):
        raise ArchitectureError(f"input_shape must be (channels, height, width), not {sizes}")
    channels, height, width = sizes
    if channels < 1 or min(height, width) < at_least:
        raise ArchitectureError(
            f"input_shape must have images of {at_least} by {at_least} or more, not {sizes}"
        )
    return channels, height, width


def _known(depth: int, table: Mapping[int, object], name: str) -> int:
    if depth not in table:
        known = ", ".join(map(str, table))
        raise ArchitectureError(f"there is no {name} of depth {depth!r}; there are: {known}")
    return depth
