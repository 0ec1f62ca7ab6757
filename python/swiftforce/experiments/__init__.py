"""Methods compared on Fashion-MNIST, and what a mask costs on this machine.

A run trains one network with one mask (`runs`). `demo` does a few runs and compares them. `figure`
does many and keeps their results in a CSV file (`results_csv`); `figure_report` makes a table and
pictures from it. `bench` times the search for a mask.

Options and printed text belong to `swiftforce.cli`; methods and networks to the packages below.
"""

from swiftforce.experiments import bench, demo, figure, figure_report, plots, results_csv
from swiftforce.experiments.architectures import NETWORKS
from swiftforce.experiments.runs import DENSE, Result, compared_methods

__all__ = [
    "DENSE",
    "NETWORKS",
    "Result",
    "bench",
    "compared_methods",
    "demo",
    "figure",
    "figure_report",
    "plots",
    "results_csv",
]
