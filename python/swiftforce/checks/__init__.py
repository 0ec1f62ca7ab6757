"""Checks of what a mask is worth beyond the density of each layer.

`shuffle` and `invert` make masks that keep as many weights of each layer, and others. Train with
them, from the same weights, as with the mask itself: what accuracy the mask has beyond theirs is
owed to its choice of weights, and all else to how many each layer keeps. `effective_density` tells
how many of the kept weights can do anything.

References
----------
Frankle, Dziugaite, Roy and Carbin, "Pruning neural networks at initialization: why are we missing
the mark?", ICLR 2021.
"""

from swiftforce.checks.effective import EffectiveDensity, EffectiveLayer, effective_density
from swiftforce.checks.inversion import invert
from swiftforce.checks.masks import layer_densities
from swiftforce.checks.shuffling import shuffle

__all__ = [
    "EffectiveDensity",
    "EffectiveLayer",
    "effective_density",
    "invert",
    "layer_densities",
    "shuffle",
]
