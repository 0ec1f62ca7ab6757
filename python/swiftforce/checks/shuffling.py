"""Masks of the same layer densities, at random places within each layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from swiftforce.checks.masks import is_mixed, tensors_of
from swiftforce.inputs import MASK, Arrays, check_seed
from swiftforce.result import Pruning
from swiftforce.search import permutation

#: Where the streams of a seed begin that tensors are shuffled by, one for each position of a
#: tensor. docs/ARCHITECTURE.md lists the streams.
_SHUFFLING = 3 << 32


def shuffle(masks: Pruning[Any] | Arrays, seed: int = 0) -> Arrays:
    """Masks that keep as many weights of each tensor as these, at random places.

    Answers: does it matter *which* weights of a layer the mask keeps, or only how many? All ways to
    choose so many weights of a tensor are as likely.

    Parameters
    ----------
    masks : Pruning, or mapping, sequence or array of bool
        True where kept. Not changed. Masks of an adapter: `swiftforce.torch.shuffle` and
        `swiftforce.jax.shuffle` return them as the model needs them.
    seed : int
        In 0 ... 2**64 - 1. The same seed gives the same masks on every machine.

    Returns
    -------
    same structure as the masks, bool

    Raises
    ------
    StructureError
        Also if the masks are pieces of whole tensors, as one of several ranks has them.
    SeedError, UnsupportedTypeError, LayoutError, AllocationError

    Notes
    -----
    The tensor at position i is ``mask.flat[order]``, with ``order = permutation(size, seed,
    (3 << 32) + i)`` of `swiftforce.permutation`. Takes eight bytes for each weight of the largest
    tensor for a while.

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
            order = permutation(mask.size, seed, _SHUFFLING + position)
            np.take(mask.reshape(-1), order, out=target.reshape(-1), mode="clip")
        else:
            np.copyto(target, mask)
    return tensors.restore(shuffled)
