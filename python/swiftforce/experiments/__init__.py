"""Methods compared on Fashion-MNIST, and what a mask costs on this machine.

A run trains one network under one mask (`runs`); `demo` compares a few, `figure` many, whose
results lie in a CSV file (`results_csv`). `bench` times masks. What the command line says of them
is in `swiftforce.cli`.
"""

from swiftforce.experiments import bench, demo, figure, plots, results_csv
from swiftforce.experiments.architectures import NETWORKS
from swiftforce.experiments.runs import Result, compared_methods

__all__ = [
    "NETWORKS",
    "Result",
    "bench",
    "compared_methods",
    "demo",
    "figure",
    "plots",
    "results_csv",
]
