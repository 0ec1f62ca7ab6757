"""LeNet-300-100 and LeNet-5."""

from __future__ import annotations

from collections.abc import Sequence

from swiftforce.nn.architecture_arguments import check_image_shape
from swiftforce.nn.layers import (
    AnyLayer,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
)
from swiftforce.nn.network import Network


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


def lenet5(
    input_shape: Sequence[int] = (1, 28, 28), classes: int = 10, *, seed: int = 0
) -> Network:
    """LeNet-5: two convolutions of 5 by 5 with max pools, then three linear layers.

    The first convolution is padded by 2, since the images of the paper have a margin of 2 pixels
    around 28 by 28. Activations are ReLU and pools take the maximum, unlike in the paper.

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
    channels, height, width = check_image_shape(input_shape, at_least=12)
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
