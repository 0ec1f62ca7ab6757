"""Masks of the same layer densities that keep the weights a mask rejects."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from swiftforce import _core
from swiftforce.checks.masks import is_mixed, tensors_of
from swiftforce.inputs import FLOATS, MASK, Array, Arrays, Tensors, check_seed
from swiftforce.native import native_call
from swiftforce.result import Pruning
from swiftforce.search import permutation

#: Where the streams of a seed begin that masks are inverted by, one for each position of a tensor.
#: docs/ARCHITECTURE.md lists the streams.
_INVERTING = 4 << 32


def invert(masks: Pruning[Any] | Arrays, *, scores: Arrays | None = None, seed: int = 0) -> Arrays:
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
    tensors = tensors_of(masks)
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
    if not is_mixed(mask):
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
