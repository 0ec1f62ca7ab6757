"""Methods compared on Fashion-MNIST, and what a mask costs on this machine.

A trial trains one network with one mask (`runs`); `variants` are the ways to find masks. `demo` and
`figure` say what is compared and how it is shown, and `swiftforce.comparison` does the trials.
`bench` times the search for a mask.

Options and printed text belong to `swiftforce.cli`; methods and networks to the packages below.
"""

from swiftforce.experiments import bench, demo, figure, plots
from swiftforce.experiments.architectures import NETWORKS
from swiftforce.experiments.runs import Settings, perform
from swiftforce.experiments.variants import Variant, compared_methods

__all__ = [
    "NETWORKS",
    "Settings",
    "Variant",
    "bench",
    "compared_methods",
    "demo",
    "figure",
    "perform",
    "plots",
]
