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

from __future__ import annotations

from functools import partial

import numpy as np

from swiftforce import _core
from swiftforce.effective import EffectiveDensity, EffectiveLayer, effective_density
from swiftforce.errors import native_call
from swiftforce.inputs import FLOATS, MASK, MASKS, Array, Arrays, Tensors, check_seed
from swiftforce.result import Pruning, check_whole
from swiftforce.search import permutation

__all__ = [
    "EffectiveDensity",
    "EffectiveLayer",
    "effective_density",
    "invert",
    "layer_densities",
    "shuffle",
]

#: Where the streams of a seed begin that tensors are shuffled and inverted by, one for each
#: position of a tensor: those of initial weights, training and scoring lie below (network.py).
_SHUFFLING = 3 << 32
_INVERTING = 4 << 32


def shuffle(masks: Pruning | Arrays, seed: int = 0) -> Arrays:
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
    tensors = _tensors(masks)
    seed = check_seed(seed)
    shuffled = tensors.empty(MASK)
    for position, (mask, target) in enumerate(zip(tensors.arrays, shuffled, strict=True)):
        if _is_mixed(mask):
            order = permutation(mask.size, seed, _SHUFFLING + position)
            np.take(mask.reshape(-1), order, out=target.reshape(-1), mode="clip")
        else:
            np.copyto(target, mask)
    return tensors.restore(shuffled)


def invert(masks: Pruning | Arrays, *, scores: Arrays | None = None, seed: int = 0) -> Arrays:
    """Masks that keep as many weights of each tensor as these, but the rejected ones.

    Answers: do the scores say anything of the weights within a layer? If a network trains as well
    with the weights that they rank last, they do not.

    Parameters
    ----------
    masks : Pruning, or mapping, sequence or array of bool
        True where kept. Not changed.
    scores : same structure, floats, optional
        What the weights were ranked by, such as `saliency`: of each tensor the weights of smallest
        score are kept, the exact end of the order that a mask is the beginning of. Of equal scores
        that is the one at the *higher* position.
    seed : int
        Without scores, the weights are drawn from the removed ones. Where a tensor keeps more than
        it removes, these are too few: they are all kept, and the rest is drawn from those that
        were.

    Returns
    -------
    same structure as the masks, bool

    Raises
    ------
    NonFiniteError
        If a score is NaN or infinite.
    StructureError
        Also if the masks are pieces of whole tensors, as one of several ranks has them.
    ShapeError, SeedError, UnsupportedTypeError, LayoutError, AllocationError

    Notes
    -----
    A tensor that keeps all its weights, or none, has no other mask of so many. Without scores, the
    tensor at position i is drawn by `swiftforce.permutation` from the stream ``(4 << 32) + i``.

    References
    ----------
    Frankle et al., ICLR 2021, who invert the scores of a method and keep its layerwise densities.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> weights = {"a": np.float32([5, -4, 3, 2, 1]), "b": np.float32([9, 8])}
    >>> pruning = sf.magnitude(weights, keep=4)
    >>> scores = sf.saliency(weights, criterion="magnitude")
    >>> sf.checks.invert(pruning, scores=scores)["a"]
    array([False, False, False,  True,  True])
    """
    tensors = _tensors(masks)
    seed = check_seed(seed)
    inverted = tensors.empty(MASK)
    ranked = None if scores is None else tensors.matching(scores, "scores", FLOATS)
    for position, (mask, target) in enumerate(zip(tensors.arrays, inverted, strict=True)):
        if ranked is None:
            _draw(mask, target, seed, _INVERTING + position)
        elif mask.size:
            with native_call(partial(_label, tensors, position)):
                _keep_last(ranked[position], int(np.count_nonzero(mask)), target)
    return tensors.restore(inverted)


def _label(tensors: Tensors, position: int, role: str, _: int) -> str:
    """What a tensor is called that the core is given by itself."""
    return tensors.label(role, position)


def _keep_last(scores: Array, keep: int, target: Array) -> None:
    """Keep the last so many of the order in which scores are kept."""
    # The core also reads what it need not choose from, and refuses what is not finite.
    _core.select((scores,), (target,), max(1, scores.size - keep))
    if keep == scores.size:
        target.fill(True)
    else:
        np.logical_not(target, out=target)


def _draw(mask: Array, target: Array, seed: int, stream: int) -> None:
    """Keep as many as a mask does: of those it removes first, then of those it keeps."""
    if not _is_mixed(mask):
        np.copyto(target, mask)
        return
    kept = int(np.count_nonzero(mask))
    removed = mask.size - kept
    np.logical_not(mask, out=target)
    if kept < removed:
        target[~mask] = _chosen(removed, kept, seed, stream)
    elif kept > removed:
        target[mask] = _chosen(kept, kept - removed, seed, stream)


def _chosen(n: int, keep: int, seed: int, stream: int) -> Array:
    """A mask of n that keeps so many at random."""
    chosen = np.zeros(n, MASK)
    chosen[permutation(n, seed, stream)[:keep]] = True
    return chosen


def layer_densities(masks: Pruning | Arrays) -> dict[str, float]:
    """The share of its weights that each layer keeps: what `shuffle` and `invert` leave alone.

    Parameters
    ----------
    masks : Pruning, or mapping, sequence or array of bool
        Also the result of an adapter's search.

    Returns
    -------
    dict of str to float
        1 for an empty tensor.

    Raises
    ------
    StructureError, UnsupportedTypeError, LayoutError

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> sf.checks.layer_densities({"a": np.array([True, False]), "b": np.array([True])})
    {'a': 0.5, 'b': 1.0}
    """
    if isinstance(masks, Pruning):
        return {layer.name: layer.density for layer in masks.layers}
    tensors = _tensors(masks)
    return {
        name: float(np.count_nonzero(mask) / mask.size) if mask.size else 1.0
        for name, mask in zip(tensors.names, tensors.arrays, strict=True)
    }


def _tensors(masks: Pruning | Arrays) -> Tensors:
    """Masks, or those of a result."""
    tensors = Tensors(getattr(masks, "masks", masks), "masks", MASKS)
    if isinstance(masks, Pruning) and len(masks.layers) == len(tensors.arrays):
        check_whole(masks, tensors, "check")
    return tensors


def _is_mixed(mask: Array) -> bool:
    """Whether a mask keeps some weights and removes others."""
    return bool(mask.any()) and not mask.all()
