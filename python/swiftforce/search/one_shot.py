"""The methods that take one step: one set of scores, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, overload

from swiftforce.inputs import Array, Arrays, Mask, Patterned
from swiftforce.result import Pruning
from swiftforce.search.one_step import one_step
from swiftforce.search.options import Gradients, KeepOptions, Key, RandomOptions
from swiftforce.search.tensor_limits import Allocating


@overload
def snip(
    weights: Mapping[Key, Array], gradients: Gradients | Arrays, **options: Unpack[KeepOptions]
) -> Pruning[dict[Key, Mask]]: ...
@overload
def snip(
    weights: list[Array], gradients: Gradients | Arrays, **options: Unpack[KeepOptions]
) -> Pruning[list[Mask]]: ...
@overload
def snip(
    weights: tuple[Array, ...], gradients: Gradients | Arrays, **options: Unpack[KeepOptions]
) -> Pruning[tuple[Mask, ...]]: ...
@overload
def snip(
    weights: Array, gradients: Gradients | Arrays, **options: Unpack[KeepOptions]
) -> Pruning[Mask]: ...
@overload
def snip(
    weights: Arrays,
    gradients: Gradients | Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
) -> Pruning[Any]: ...
def snip(
    weights: Arrays,
    gradients: Gradients | Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
) -> Pruning[Any]:
    """Find masks by SNIP: the largest ``| w dL/dw |`` at the dense weights, in one step.

    No scores are stored.

    Parameters
    ----------
    weights : mapping, sequence or array
        The dense weights that may be removed: leave out biases and the parameters of
        normalisation layers. float16, bfloat16 (of ml_dtypes), float32 or float64, freely mixed;
        C-contiguous, of any shapes; may be nested. They are read in place and never written.
    gradients : callable or structure of the weights
        ``gradients(masked_weights)`` returns the gradients of the loss at the masked weights, in
        the structure of the weights, averaged over the batches of the step. They must be dense:
        also where a weight is removed. A search of one step also takes the gradients at the
        weights themselves, as arrays. Arrays that are not C-contiguous are copied.
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
    Pruning
        With masks in the structure of the weights.

    Raises
    ------
    SparsityError, KeepError
        If the sparsity or the number to keep is out of range.
    MissingGradientsError
        If `gradients` returns None.
    NonFiniteError
        If a weight or a gradient is NaN or infinite: the message names the tensor.
    ShapeError, StructureError, UnsupportedTypeError, LayoutError, OverlapError
        If an array does not fit: the message names it and says what to do.

    Warns
    -----
    DegenerateSaliencyWarning
        If in some step positions, not scores, chose some of the kept weights.
    LayerCollapseWarning
        If a tensor keeps no weight.

    References
    ----------
    Lee, Ajanthan and Torr, "SNIP: Single-shot network pruning based on connection sensitivity",
    ICLR 2019.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> w, g = np.float32([[1, -2], [3, 0.5]]), np.float32([[4, 1], [0, 2]])
    >>> print(sf.snip(w, g, sparsity=0.5))
    snip: 2 of 4 weights kept (sparsity 0.5), 1 step
    layer    shape   weights  kept  density
    weights  (2, 2)        4     2      0.5
    all                    4     2      0.5
    kept weights have 85.7 % of the sum of all |weight x gradient|
    """
    return one_step(
        weights,
        gradients,
        "snip",
        sparsity=sparsity,
        keep=keep,
        allocation=allocation,
        pattern=pattern,
    )


@overload
def magnitude(
    weights: Mapping[Key, Array], **options: Unpack[KeepOptions]
) -> Pruning[dict[Key, Mask]]: ...
@overload
def magnitude(weights: list[Array], **options: Unpack[KeepOptions]) -> Pruning[list[Mask]]: ...
@overload
def magnitude(
    weights: tuple[Array, ...], **options: Unpack[KeepOptions]
) -> Pruning[tuple[Mask, ...]]: ...
@overload
def magnitude(weights: Array, **options: Unpack[KeepOptions]) -> Pruning[Mask]: ...
@overload
def magnitude(
    weights: Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
) -> Pruning[Any]: ...
def magnitude(
    weights: Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
) -> Pruning[Any]:
    """Find masks by magnitude: the largest ``| w |``, in one step.

    Parameters
    ----------
    weights : mapping, sequence or array
        The dense weights that may be removed: leave out biases and the parameters of
        normalisation layers. float16, bfloat16 (of ml_dtypes), float32 or float64, freely mixed;
        C-contiguous, of any shapes; may be nested. They are read in place and never written.
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
    Pruning
        With masks in the structure of the weights.

    Raises
    ------
    SparsityError, KeepError
        If the sparsity or the number to keep is out of range.
    NonFiniteError
        If a weight is NaN or infinite: the message names the tensor.
    StructureError, UnsupportedTypeError, LayoutError, OverlapError
        If an array does not fit: the message names it and says what to do.

    Warns
    -----
    DegenerateSaliencyWarning
        If in some step positions, not scores, chose some of the kept weights.
    LayerCollapseWarning
        If a tensor keeps no weight.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> sf.magnitude(np.float32([1, -4, 3, 2]), sparsity=0.5).masks
    array([False,  True,  True, False])
    """
    return one_step(
        weights,
        None,
        "magnitude",
        sparsity=sparsity,
        keep=keep,
        allocation=allocation,
        pattern=pattern,
    )


@overload
def random(
    weights: Mapping[Key, Array], **options: Unpack[RandomOptions]
) -> Pruning[dict[Key, Mask]]: ...
@overload
def random(weights: list[Array], **options: Unpack[RandomOptions]) -> Pruning[list[Mask]]: ...
@overload
def random(
    weights: tuple[Array, ...], **options: Unpack[RandomOptions]
) -> Pruning[tuple[Mask, ...]]: ...
@overload
def random(weights: Array, **options: Unpack[RandomOptions]) -> Pruning[Mask]: ...
@overload
def random(
    weights: Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
    seed: int = 0,
) -> Pruning[Any]: ...
def random(
    weights: Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
    seed: int = 0,
) -> Pruning[Any]:
    """Find masks at random: each weight's score is uniform in [0, 1), drawn from the seed.

    Parameters
    ----------
    weights : mapping, sequence or array
        The dense weights that may be removed: leave out biases and the parameters of
        normalisation layers. float16, bfloat16 (of ml_dtypes), float32 or float64, freely mixed;
        C-contiguous, of any shapes; may be nested. They are read in place and never written.
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
    seed : int
        Seed of random scores, in 0 ... 2**64 - 1. The same seed gives the same scores on every
        machine.

    Returns
    -------
    Pruning
        With masks in the structure of the weights.

    Raises
    ------
    SparsityError, KeepError, SeedError
        If an argument is out of range.
    NonFiniteError
        If a weight is NaN or infinite: the message names the tensor.
    StructureError, UnsupportedTypeError, LayoutError, OverlapError
        If an array does not fit: the message names it and says what to do.

    Warns
    -----
    DegenerateSaliencyWarning
        If in some step positions, not scores, chose some of the kept weights.
    LayerCollapseWarning
        If a tensor keeps no weight.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> sf.random(np.float32([1, 2, 3, 4]), keep=2, seed=1).keep
    2
    """
    return one_step(
        weights,
        None,
        "random",
        sparsity=sparsity,
        keep=keep,
        allocation=allocation,
        pattern=pattern,
        seed=seed,
    )
