"""A small network engine: prune, train and evaluate with nothing but numpy installed.

`Network` is a classifier made of a list of layers; stochastic gradient descent on the native core
trains it. `vgg`, `resnet`, `lenet5` and others build networks of the literature. The package is
small on purpose: for augmentation, other optimizers or a GPU, use `swiftforce.torch` or
`swiftforce.jax`. The search for masks does not belong here.
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
from swiftforce.nn.lenet import lenet5, lenet_300_100
from swiftforce.nn.network import Network
from swiftforce.nn.parameters import Parameters
from swiftforce.nn.paths import Paths as Paths
from swiftforce.nn.plan import LayerPlan, NetworkPlan
from swiftforce.nn.records import Epoch, Evaluation
from swiftforce.nn.resnet import resnet
from swiftforce.nn.synaptic_flow import synaptic_flow
from swiftforce.nn.vgg import small_vgg, vgg

__all__ = [
    "AnyLayer",
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "Epoch",
    "Evaluation",
    "Flatten",
    "GlobalAvgPool2d",
    "LayerPlan",
    "Linear",
    "MaxPool2d",
    "Network",
    "NetworkPlan",
    "Parameters",
    "ReLU",
    "Residual",
    "lenet5",
    "lenet_300_100",
    "load",
    "resnet",
    "save",
    "small_vgg",
    "synaptic_flow",
    "vgg",
]


def __dir__() -> list[str]:
    """Public names alone."""
    return sorted(__all__)
