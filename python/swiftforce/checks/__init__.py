"""Checks of masks: what one is worth beyond its layer densities, and what two have in common.

`shuffle` and `invert` return masks that keep as many weights of each layer, but not the same ones.
Train from the same initial weights with the mask and with these. If the mask is more accurate, its
choice of weights matters; if not, only the number of weights that each layer keeps does.
`effective_density` counts the kept weights that lie on a path from input to output. `overlap`
counts the weights that two masks both keep.

Everything here compares or counts masks that were found elsewhere. The search for masks and the
training do not belong here. Masks of frameworks are checked in `swiftforce.torch` and
`swiftforce.jax`.

References
----------
Frankle, Dziugaite, Roy and Carbin, "Pruning neural networks at initialization: why are we missing
the mark?", ICLR 2021.
"""

from swiftforce.checks.effective import EffectiveDensity, EffectiveLayer, effective_density
from swiftforce.checks.inversion import invert
from swiftforce.checks.masks import layer_densities
from swiftforce.checks.overlaps import LayerOverlap, Overlap, overlap
from swiftforce.checks.shuffling import shuffle

__all__ = [
    "EffectiveDensity",
    "EffectiveLayer",
    "LayerOverlap",
    "Overlap",
    "effective_density",
    "invert",
    "layer_densities",
    "overlap",
    "shuffle",
]


def __dir__() -> list[str]:
    return sorted(__all__)
