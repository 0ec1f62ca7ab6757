"""A small network engine: prune, train and evaluate with nothing but numpy installed.

Classifiers from a list of layers, trained by stochastic gradient descent on the native core. It is
small on purpose: for augmentation, other optimizers or a GPU, use a framework with `swiftforce`
beside it. How masks are found does not belong here.
"""

from swiftforce.nn.files import load, save
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
from swiftforce.nn.models import lenet5, lenet_300_100, resnet, small_vgg, vgg
from swiftforce.nn.network import Epoch, Evaluation, Network
from swiftforce.nn.parameters import Parameters
from swiftforce.nn.paths import Paths as Paths

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
