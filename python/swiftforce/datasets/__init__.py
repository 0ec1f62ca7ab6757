"""Data sets as numpy arrays, ready to prune and train on.

Nothing is downloaded, and nothing but numpy and the standard library is needed. Every reader
returns a `Dataset`. If a file is missing or damaged, a `swiftforce.DatasetError` names it.
`sources` says where each data set is looked for; each format has a module of its own. Networks
do not belong here.
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
