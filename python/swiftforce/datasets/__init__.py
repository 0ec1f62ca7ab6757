"""Data sets as numpy arrays, ready to prune and train on.

Every reader returns a `Dataset` and needs nothing but numpy. Nothing is downloaded. If a file is
missing or damaged, a `swiftforce.DatasetError` names it.

`sources` defines where each data set is looked for; each file format has a module of its own.
Networks do not belong here.
"""

from swiftforce.datasets.idx import idx_dataset, read_idx
from swiftforce.datasets.images import Dataset
from swiftforce.datasets.sources import cifar10, cifar100, fashion_mnist, mnist

__all__ = [
    "Dataset",
    "cifar10",
    "cifar100",
    "fashion_mnist",
    "idx_dataset",
    "mnist",
    "read_idx",
]


def __dir__() -> list[str]:
    """Public names alone."""
    return sorted(__all__)
