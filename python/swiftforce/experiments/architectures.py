"""The networks that experiments can use, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from swiftforce import nn

#: ``build(input_shape, classes, seed=seed)`` makes the network.
Build = Callable[..., nn.Network]


@dataclass(frozen=True)
class Architecture:
    """A network that runs can name.

    Attributes
    ----------
    label : str
        Its name in pictures.
    build : callable
        ``build(input_shape, classes, seed=seed)`` makes the network.
    """

    label: str
    build: Build


def _lenet_300_100(input_shape: tuple[int, ...], classes: int, *, seed: int) -> nn.Network:
    return nn.lenet_300_100(math.prod(input_shape), classes, seed=seed)


#: By name.
NETWORKS: dict[str, Architecture] = {
    "lenet_300_100": Architecture("LeNet-300-100", _lenet_300_100),
    "lenet5": Architecture("LeNet-5", nn.lenet5),
    "small_vgg": Architecture("small VGG", nn.small_vgg),
    **{f"vgg{n}": Architecture(f"VGG{n}", partial(nn.vgg, n)) for n in (11, 13, 16, 19)},
    **{
        f"resnet{n}": Architecture(f"ResNet{n}", partial(nn.resnet, n))
        for n in (18, 20, 34, 50, 56)
    },
}
