"""The networks that are measured, and their samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from swiftforce import nn

from benchmarks.arrays import Array


@dataclass(frozen=True)
class Kind:
    """A network of `swiftforce.nn`: its family and its depth."""

    family: str
    depth: int

    def __str__(self) -> str:
        """The name in papers."""
        return {"vgg": "VGG", "resnet": "ResNet"}[self.family] + str(self.depth)

    def make(self, seed: int = 1) -> nn.Network:
        """The network, for images of 3 by 32 by 32 and 10 classes."""
        network: nn.Network = getattr(nn, self.family)(self.depth, seed=seed)
        return network


def samples(n: int, shape: tuple[int, ...] = (3, 32, 32)) -> tuple[Array, Array]:
    """Images of noise, with random labels."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((n, *shape), dtype=np.float32), rng.integers(0, 10, n)
