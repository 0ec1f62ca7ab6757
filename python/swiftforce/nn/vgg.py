"""VGG for small images, and a narrow one that trains in minutes."""

from __future__ import annotations

from collections.abc import Sequence

from swiftforce.nn.architecture_arguments import check_depth, check_image_shape
from swiftforce.nn.layers import (
    AnyLayer,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
)
from swiftforce.nn.network import Network

#: Output channels of the convolutions of each VGG; 0 stands for a pool.
_VGG = {
    11: (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    13: (64, 64, 0, 128, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    16: (64, 64, 0, 128, 128, 0, *(256,) * 3, 0, *(512,) * 3, 0, *(512,) * 3, 0),
    19: (64, 64, 0, 128, 128, 0, *(256,) * 4, 0, *(512,) * 4, 0, *(512,) * 4, 0),
}

_SMALL_VGG = (8, 8, 0, *(16,) * 3, 0, *(64,) * 6)


def vgg(
    depth: int, input_shape: Sequence[int] = (3, 32, 32), classes: int = 10, *, seed: int = 0
) -> Network:
    """VGG with batch normalisation and one linear classifier, as in the pruning literature.

    Parameters
    ----------
    depth : {11, 13, 16, 19}
        Number of layers with weights in the paper, including its three linear layers.
    input_shape : (int, int, int)
        Channels, height and width of a sample. Pools are left out once the image is down to one
        pixel in height or width.
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
    shape = check_image_shape(input_shape)
    layers = _vgg_layers(_VGG[check_depth(depth, _VGG, "vgg")], shape, classes)
    return Network(layers, input_shape=shape, seed=seed)


def small_vgg(
    input_shape: Sequence[int] = (1, 28, 28), classes: int = 10, *, seed: int = 0
) -> Network:
    """A deep and narrow VGG for small images, which trains in minutes on two cores.

    A pool halves the image. Eleven convolutions with 8, 16 and 64 channels and batch normalisation
    follow, with two pools between them, and one linear classifier. As in VGG, most weights are in
    the last layers. For images of 28 by 28 there are 200,584 weights.

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
    channels, height, width = check_image_shape(input_shape, at_least=2)
    halved = (channels, height // 2, width // 2)
    layers = [AvgPool2d(2), *_vgg_layers(_SMALL_VGG, halved, classes)]
    return Network(layers, input_shape=(channels, height, width), seed=seed)


def _vgg_layers(widths: Sequence[int], shape: Sequence[int], classes: int) -> list[AnyLayer]:
    """Convolutions of 3 by 3 with batch normalisation, and one linear classifier.

    Parameters
    ----------
    widths : sequence of int
        Output channels of each convolution; 0 stands for a pool of 2 by 2, which is left out if the
        image is too small for it.
    """
    channels, height, width = shape
    side = min(height, width)
    layers: list[AnyLayer] = []
    for out in widths:
        if out:
            layers += [
                Conv2d(channels, out, 3, padding=1, bias=False),
                BatchNorm2d(out),
                ReLU(),
            ]
            channels = out
        elif side > 1:
            layers.append(MaxPool2d(2))
            side //= 2
    return [*layers, GlobalAvgPool2d(), Linear(channels, classes)]
