"""Inverted masks: the same layer densities, but of the weights that a mask removes."""

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

#: The first of this module's random streams, one for each position of a tensor.
#: docs/ARCHITECTURE.md lists the streams.
_INVERT_STREAMS = 4 << 32


def invert(masks: Pruning[Any] | Arrays, *, scores: Arrays | None = None, seed: int = 0) -> Arrays:
    """Invert each mask: as many weights are kept, those of lowest score or those it removed.

    This tells whether the scores rank the weights within a layer in a useful order. They do not if
    a network trains as well with the weights that they rank last.

    Parameters
    ----------
    masks : Pruning, or mapping, sequence or array of bool
        True where a weight is kept. Not changed.
    scores : same structure as the masks, of floats, optional
        The scores that ranked the weights, such as those of `swiftforce.saliency`. Of each tensor
        the weights of smallest score are kept: the end of the order whose beginning the mask
        keeps. Of equal scores, the one at the *higher* position is kept.
    seed : int
        In 0 ... 2**64 - 1, used without scores. The weights to keep are then drawn at random from
        the removed ones. If a tensor removes fewer weights than it keeps, all removed ones are
        kept, and the rest is drawn from the others.

    Returns
    -------
    same structure as the masks, bool

    Raises
    ------
    NonFiniteError
        If a score is NaN or infinite.
    StructureError
        If the scores differ from the masks in structure, or the masks are one rank's pieces of
        tensors.
    ShapeError, SeedError, UnsupportedTypeError, LayoutError, AllocationError

    Notes
    -----
    A tensor that keeps all its weights, or none, keeps its mask: there is no other of that density.
    Without scores, the tensor at position i uses `swiftforce.permutation` with the stream
    ``(4 << 32) + i``.

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
            _draw(mask, target, seed, _INVERT_STREAMS + position)
        elif mask.size:
            with native_call(partial(_label, tensors, position)):
                _keep_last(ranked[position], int(np.count_nonzero(mask)), target)
    return tensors.restore(inverted)


def _label(tensors: Tensors, position: int, role: str, _: int) -> str:
    """How messages name a tensor that is passed to the core alone."""
    return tensors.label(role, position)


def _keep_last(scores: Array, keep: int, target: Array) -> None:
    """Keep the last `keep` weights of the order in which the core selects scores."""
    # Also if all are kept: the core then still refuses scores that are not finite.
    _core.select((scores,), (target,), max(1, scores.size - keep), None, None, None, None)
    if keep == scores.size:
        target.fill(True)
    else:
        np.logical_not(target, out=target)


def _draw(mask: Array, target: Array, seed: int, stream: int) -> None:
    """Keep as many weights as a mask: random ones of those it removes, then of those it keeps."""
    if not is_mixed(mask):
        np.copyto(target, mask)
        return
    kept = int(np.count_nonzero(mask))
    removed = mask.size - kept
    np.logical_not(mask, out=target)
    if kept < removed:
        target[~mask] = _random_mask(removed, kept, seed, stream)
    elif kept > removed:
        target[mask] = _random_mask(kept, kept - removed, seed, stream)


def _random_mask(n: int, keep: int, seed: int, stream: int) -> Array:
    """A mask of n weights that keeps `keep` of them at random."""
    mask = np.zeros(n, MASK)
    mask[permutation(n, seed, stream)[:keep]] = True
    return mask
