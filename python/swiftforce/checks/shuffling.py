"""Shuffled masks: the same layer densities, at random positions within each layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from swiftforce.checks.masks import is_mixed, tensors_of
from swiftforce.inputs import MASK, Arrays, check_seed
from swiftforce.result import Pruning
from swiftforce.search import permutation

#: The first of this module's random streams, one for each position of a tensor.
#: docs/ARCHITECTURE.md lists the streams.
_SHUFFLE_STREAMS = 3 << 32


def shuffle(masks: Pruning[Any] | Arrays, seed: int = 0) -> Arrays:
    """Shuffle each mask: as many weights are kept, at random positions.

    This tells whether it matters *which* weights of a layer the mask keeps, or only how many. All
    masks that keep as many weights of a tensor are equally likely. `swiftforce.torch.shuffle` and
    `swiftforce.jax.shuffle` shuffle the masks of models and pytrees.

    Parameters
    ----------
    masks : Pruning, or mapping, sequence or array of bool
        True where a weight is kept. Not changed.
    seed : int
        In 0 ... 2**64 - 1. The same seed gives the same masks on every machine.

    Returns
    -------
    same structure as the masks, bool

    Raises
    ------
    StructureError
        If there are no masks, or they are one rank's pieces of tensors.
    SeedError, UnsupportedTypeError, LayoutError, AllocationError

    Notes
    -----
    The tensor at position i becomes ``mask.flat[order]``, where ``order`` is
    ``swiftforce.permutation(size, seed, (3 << 32) + i)``. While a tensor is shuffled, its order
    takes eight bytes for each weight.

    References
    ----------
    Su et al., "Sanity-checking pruning methods: random tickets can win the jackpot", NeurIPS 2020;
    Frankle et al., ICLR 2021.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> pruning = sf.magnitude([np.float32([5, 4, 3, 2, 1]), np.float32([9, 8])], keep=4)
    >>> [int(mask.sum()) for mask in pruning.masks]
    [2, 2]
    >>> sf.checks.shuffle(pruning, seed=1)
    [array([False, False, False,  True,  True]), array([ True,  True])]
    """
    tensors = tensors_of(masks)
    seed = check_seed(seed)
    shuffled = tensors.empty(MASK)
    for position, (mask, target) in enumerate(zip(tensors.arrays, shuffled, strict=True)):
        if is_mixed(mask):
            order = permutation(mask.size, seed, _SHUFFLE_STREAMS + position)
            np.take(mask.reshape(-1), order, out=target.reshape(-1), mode="clip")
        else:
            np.copyto(target, mask)
    return tensors.restore(shuffled)
