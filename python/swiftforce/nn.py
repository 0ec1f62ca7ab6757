"""A small network engine: prune, train and evaluate with nothing but numpy installed.

Classifiers from a list of layers, trained by stochastic gradient descent on the native core. It is
small on purpose: whoever needs augmentation, other optimizers or a GPU uses a framework, and
`swiftforce` beside it.
"""

from swiftforce.layers import (
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
from swiftforce.models import lenet5, lenet_300_100, resnet, small_vgg, vgg
from swiftforce.network import Epoch, Evaluation, Network
from swiftforce.network_files import load, save
from swiftforce.parameters import Parameters

__all__ = [
    "AnyLayer",
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "Epoch",
    "Evaluation",
    "Flatten",
    "GlobalAvgPool2d",
    "Linear",
    "MaxPool2d",
    "Network",
    "Parameters",
    "ReLU",
    "Residual",
    "lenet5",
    "lenet_300_100",
    "load",
    "resnet",
    "save",
    "small_vgg",
    "vgg",
]
