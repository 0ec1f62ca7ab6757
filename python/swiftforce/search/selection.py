"""Scores of weights, and the exact choice of the best of all tensors together."""

from __future__ import annotations

import numpy as np

from swiftforce import _core
from swiftforce.errors import AllocationError, MissingGradientsError, ShapeError
from swiftforce.inputs import (
    FLOAT32,
    MASK,
    Array,
    Arrays,
    Tensors,
    check_distinct,
    check_seed,
    integer,
    number,
)
from swiftforce.native import native_call, public_error
from swiftforce.result import Pruning, layers_of, step_of, warn_about
from swiftforce.search.schedule import require_keep


def saliency(
    weights: Arrays,
    gradients: Arrays | None = None,
    *,
    criterion: str = "connection_sensitivity",
    seed: int = 0,
) -> Arrays:
    """Importance of every weight: larger is kept.

    Parameters
    ----------
    weights : mapping, sequence or array
        The weights: float16, bfloat16 (of ml_dtypes), float32 or float64, freely mixed; any shapes,
        C-contiguous.
    gradients : same structure, optional
        Gradients of the loss at the weights. Needed by ``connection_sensitivity`` and
        ``squared_gradient``.
    criterion : str
        One of `saliencies`: ``connection_sensitivity`` is ``abs(w * g)``, ``squared_gradient`` is
        ``g * g``, ``magnitude`` is ``abs(w)``, ``random`` is uniform in [0, 1) from the seed.
    seed : int
        For ``random``.

    Returns
    -------
    same structure, float32; float64 if any array that is read holds it
        Scores of the weights' shapes. To find a mask, `snip` and its kin need no scores.

    Raises
    ------
    NonFiniteError, MissingGradientsError, UnknownNameError, SeedError
    ShapeError, StructureError, UnsupportedTypeError, LayoutError, OverlapError

    References
    ----------
    Connection sensitivity: Lee, Ajanthan and Torr, "SNIP", ICLR 2019, equation 3.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> w, g = np.float32([1, -2, 3]), np.float32([4, 1, 0])
    >>> sf.saliency(w, g)
    array([4., 2., 0.], dtype=float32)
    """
    kind = number("saliency", criterion)
    seed = check_seed(seed)
    tensors = Tensors(weights, "weights")
    check_distinct(tensors)
    given = None if gradients is None else tensors.matching(gradients, "gradients")
    reads_weights, reads_gradients = _core.saliency_reads(kind)
    if reads_gradients and given is None:
        raise MissingGradientsError(f"{criterion} is computed from gradients, and none were passed")
    read = (tensors.arrays if reads_weights else ()) + ((given or ()) if reads_gradients else ())
    wide = any(array.dtype == np.float64 for array in read)
    scores = tensors.empty(np.dtype(np.float64) if wide else FLOAT32)
    with native_call(tensors.label):
        _core.saliency(
            kind,
            tensors.arrays,
            given if given is not None and reads_gradients else None,
            scores,
            seed,
        )
    return tensors.restore(scores)


def select(scores: Arrays, *, sparsity: float | None = None, keep: int | None = None) -> Arrays:
    """Masks of the best scores of all tensors together.

    Exactly so many are kept. Larger scores come first; of equal scores the one at the lower
    position (tensors in the order given, elements in memory order). ``-0.0`` equals ``0.0``.

    Parameters
    ----------
    scores : mapping, sequence or array
        Scores of either sign: float16, bfloat16, float32 or float64; any shapes, C-contiguous.
    sparsity : float
        Share to remove, in [0, 1).
    keep : int
        Or the number to keep, in 1 ... n.

    Returns
    -------
    same structure, bool
        True where kept.

    Raises
    ------
    NonFiniteError, SparsityError, KeepError
    ShapeError, StructureError, UnsupportedTypeError, LayoutError

    Warns
    -----
    DegenerateSaliencyWarning
        If some scores of zero are kept and others are not.
    LayerCollapseWarning
        If a tensor keeps nothing.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> sf.select({"a": np.float32([3, 1]), "b": np.float32([2, 3])}, keep=2)
    {'a': array([ True, False]), 'b': array([False,  True])}
    """
    return prune_by_scores(scores, sparsity=sparsity, keep=keep, stacklevel=3).masks


def prune_by_scores(
    scores: Arrays,
    *,
    sparsity: float | None,
    keep: int | None,
    method: str = "",
    stacklevel: int,
) -> Pruning:
    """As `select`, with all that is told of a search of one step.

    Parameters
    ----------
    method : str
        The name of what the scores are.
    stacklevel : int
        Whom the warnings point to, as in `warnings.warn`.
    """
    tensors = Tensors(scores, "scores")
    kept = require_keep(tensors.size, sparsity, keep)
    masks = tensors.empty(MASK)
    try:
        step = step_of(_core.select(tensors.arrays, masks, kept))
    except _core.NativeError as error:
        raise public_error(error, tensors.label) from None
    layers = layers_of(tensors, step)
    warn_about(layers, (step,), stacklevel=stacklevel + 1)
    return Pruning(
        masks=tensors.restore(masks),
        method=method,
        layers=layers,
        history=(step,),
        seed=0,
        schedule="exponential",
    )


def permutation(n: int, seed: int, stream: int = 0) -> Array:
    """The numbers 0 ... n - 1 in an order drawn from a seed.

    Parameters
    ----------
    n : int
        At least 1.
    seed, stream : int
        In 0 ... 2**64 - 1. The same two give the same order on every machine; the streams of a
        seed are independent of each other.

    Returns
    -------
    array of int64, shape (n,)

    Raises
    ------
    ShapeError, SeedError, AllocationError

    References
    ----------
    Fisher and Yates' shuffle over SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).

    Examples
    --------
    >>> import swiftforce as sf
    >>> sorted(sf.permutation(5, seed=1).tolist())
    [0, 1, 2, 3, 4]
    """
    count = integer(n, "n", ShapeError)
    if count < 1:
        raise ShapeError(f"n must be at least 1, not {count}")
    drawn_from = check_seed(seed), check_seed(stream, "stream")
    try:
        order = np.empty(count, np.int64)
    except (MemoryError, ValueError):
        raise AllocationError(f"there is no memory for an order of {count} numbers") from None
    with native_call():
        _core.permutation(order, *drawn_from)
    return order
