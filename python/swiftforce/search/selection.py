"""Scores of weights, and the exact choice of the best of all tensors together."""

from __future__ import annotations

from typing import Any

import numpy as np

from swiftforce import _core
from swiftforce.errors import AllocationError, MissingGradientsError, ShapeError
from swiftforce.inputs import (
    FLOAT32,
    MASK,
    Array,
    Arrays,
    Patterned,
    SaliencyName,
    Tensors,
    case_names,
    case_number,
    check_distinct,
    check_seed,
    integer,
)
from swiftforce.native import native_call, public_error
from swiftforce.result import (
    Pruning,
    Step,
    ZeroScores,
    layers_kept,
    step_of,
    warn_about,
)
from swiftforce.search.limits import NO_LIMITS, Limits
from swiftforce.search.schedule import require_keep
from swiftforce.search.tensor_limits import Allocating, limits_of, with_counts


def saliency(
    weights: Arrays,
    gradients: Arrays | None = None,
    *,
    criterion: SaliencyName = "connection_sensitivity",
    seed: int = 0,
) -> Arrays:
    """Importance of every weight: larger is kept.

    Parameters
    ----------
    weights : mapping, sequence or array
        The dense weights that may be removed: leave out biases and the parameters of
        normalisation layers. float16, bfloat16 (of ml_dtypes), float32 or float64, freely mixed;
        C-contiguous, of any shapes; may be nested. They are read in place and never written.
    gradients : structure of the weights, optional
        Gradients of the loss at the weights, of any of the types of weights. The criteria
        ``connection_sensitivity`` and ``squared_gradient`` need them. Arrays that are not
        C-contiguous are copied.
    criterion : str
        One of `saliencies`: ``connection_sensitivity`` is ``abs(w * g)``, ``squared_gradient`` is
        ``g * g``, ``magnitude`` is ``abs(w)``, ``random`` is uniform in [0, 1) from the seed.
    seed : int
        Seed of random scores, in 0 ... 2**64 - 1. The same seed gives the same scores on every
        machine.

    Returns
    -------
    same structure, float32; float64 if any array that is read holds it
        Scores, in the shapes of the weights. `snip` and the other methods find a mask without
        storing scores.

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
    kind = case_number("saliency", criterion)
    seed = check_seed(seed)
    tensors = Tensors(weights, "weights")
    check_distinct(tensors)
    given = None
    if gradients is not None:
        given = tensors.matching(gradients, "gradients", copies=True)
    reads_weights, reads_gradients = _core.saliency_reads(kind)
    if reads_gradients and given is None:
        name = case_names("saliency")[kind]
        raise MissingGradientsError(f"{name} is computed from gradients: pass them")
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


def select(
    scores: Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
) -> Arrays:
    """Masks of the best scores of all tensors together.

    Exactly the given number is kept. Larger scores come first; of equal scores, the one at the
    lower position (tensors in the order given, elements in memory order). ``-0.0`` equals ``0.0``.

    Parameters
    ----------
    scores : mapping, sequence or array
        Scores of either sign: float16, bfloat16, float32 or float64; any shapes, C-contiguous.
    sparsity : float, optional
        Share of all weights to remove, in [0, 1). Give either this or `keep`.
    keep : int, optional
        Number of weights to keep, at least 1. Give either this or `sparsity`.
    allocation : Allocation, str or mapping, optional
        How the kept weights are shared out: ``global``, ``uniform``, ``erk``, a mapping of names or
        patterns to densities or numbers of weights, or an `Allocation`, which also has floors and
        caps. By default scores alone decide.
    pattern : Pattern, str or (int, int), optional
        Which weights live or die together: ``outputs``, ``inputs``, ``kernels``, blocks (r, c), or
        a `Pattern`. By default each weight alone.

    Returns
    -------
    same structure, bool
        True where kept.

    Raises
    ------
    NonFiniteError, SparsityError, KeepError, BoundsError
    StructureError, UnsupportedTypeError, LayoutError

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
    return prune_by_scores(
        scores,
        sparsity=sparsity,
        keep=keep,
        allocation=allocation,
        pattern=pattern,
        stacklevel=3,
    ).masks


def prune_by_scores(
    scores: Arrays,
    *,
    sparsity: float | None,
    keep: int | None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
    method: str = "",
    zeros: ZeroScores | None = None,
    stacklevel: int,
) -> Pruning[Any]:
    """As `select`, but returns the whole result, as a search of one step does.

    Parameters
    ----------
    method : str
        The name of what the scores are.
    zeros : ZeroScores, optional
        Which scores are zero, and why, for warnings.
    stacklevel : int
        Which caller the warnings point to, as in `warnings.warn`.
    """
    tensors = Tensors(scores, "scores")
    limits, kept = kept_within(allocation, tensors, sparsity, keep, pattern)
    numbers = NO_LIMITS if limits is None else limits.arguments
    masks = tensors.empty(MASK)
    try:
        step = step_of(_core.select(tensors.arrays, masks, kept, *numbers))
    except _core.NativeError as error:
        raise public_error(error, tensors.label) from None
    return result_of(
        tensors, masks, step, method=method, limits=limits, zeros=zeros, stacklevel=stacklevel + 1
    )


def kept_within(
    allocation: Allocating | None,
    tensors: Tensors,
    sparsity: float | None,
    keep: int | None,
    pattern: Patterned | None,
) -> tuple[Limits | None, int]:
    """The limits of a selection, and how many weights it keeps, or what those may cost."""
    limits, keep = limits_of(allocation, tensors, sparsity, keep, pattern)
    kept = require_keep(tensors.size if limits is None else limits.size, sparsity, keep)
    return (None if limits is None else with_counts(limits, kept, tensors)), kept


def result_of(
    tensors: Tensors,
    masks: tuple[Array, ...],
    step: Step,
    *,
    method: str,
    limits: Limits | None,
    zeros: ZeroScores | None,
    seed: int = 0,
    free: bool = False,
    stacklevel: int,
) -> Pruning[Any]:
    """The result of a search of one step, with its warnings."""
    layers = layers_kept(tensors, step.layer_kept, masks)
    warn_about(layers, (step,), free=free, zeros=zeros, stacklevel=stacklevel + 1)
    return Pruning.with_layers(
        layers,
        masks=tensors.restore(masks),
        method=method,
        history=(step,),
        seed=seed,
        schedule="exponential",
        zeros=zeros,
        allocation=None if limits is None else limits.allocation,
        pattern=None if limits is None else limits.pattern,
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
