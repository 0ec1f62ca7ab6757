"""The methods that take several steps: each step removes more weights, and scores again.

FORCE looks for the mask c that keeps k weights and maximises the connection sensitivity *after*
pruning,

    S(c) = sum over kept i of | w_i dL/dw_i (w * c) |,

by taking gradients at the masked weights and choosing again, in T steps that keep fewer and fewer
weights. Iterative SNIP does the same, but a weight that it has removed never returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, overload

from swiftforce.inputs import Array, Arrays, Mask, Patterned
from swiftforce.result import Pruning, PruningRecord
from swiftforce.search.options import FreeOptions, Gradients, Key, StepOptions
from swiftforce.search.run import run
from swiftforce.search.schedule import Schedule
from swiftforce.search.tensor_limits import Allocating


@overload
def force(
    weights: Mapping[Key, Array], gradients: Gradients | Arrays, **options: Unpack[FreeOptions]
) -> Pruning[dict[Key, Mask]]: ...
@overload
def force(
    weights: list[Array], gradients: Gradients | Arrays, **options: Unpack[FreeOptions]
) -> Pruning[list[Mask]]: ...
@overload
def force(
    weights: tuple[Array, ...], gradients: Gradients | Arrays, **options: Unpack[FreeOptions]
) -> Pruning[tuple[Mask, ...]]: ...
@overload
def force(
    weights: Array, gradients: Gradients | Arrays, **options: Unpack[FreeOptions]
) -> Pruning[Mask]: ...
@overload
def force(
    weights: Arrays,
    gradients: Gradients | Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
    steps: int | None = None,
    schedule: Schedule = ...,
    momentum: float = 0.0,
    nested_from: float | None = None,
    removed_factor: float = 1.0,
    initial_masks: PruningRecord[Any] | Arrays | None = None,
    objective: bool = False,
    progress: bool | None = None,
) -> Pruning[Any]: ...
def force(
    weights: Arrays,
    gradients: Gradients | Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
    steps: int | None = None,
    schedule: Schedule = "exponential",
    momentum: float = 0.0,
    nested_from: float | None = None,
    removed_factor: float = 1.0,
    initial_masks: PruningRecord[Any] | Arrays | None = None,
    objective: bool = False,
    progress: bool | None = None,
) -> Pruning[Any]:
    """Find masks by FORCE: in each step all weights compete, so a removed weight may return.

    Step t keeps the k_t weights of largest ``| w_i dL/dw_i (w * c_(t-1)) |``, with w the dense
    weights and c the masks. With one step it is SNIP.

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
    steps : int, optional
        Number of steps. By default 60; the one-shot methods always take 1.
    schedule : str or sequence
        How the number of kept weights falls from step to step: one of `schedules`, or a list of
        your own (see `schedule_keeps`).
    momentum : float
        Factor, in [0, 1), of the scores accumulated over the steps so far: weights compete by
        ``sum = momentum * sum + score``. It takes 4 bytes per weight, 8 for float64. By
        default by the scores of the step alone.
    nested_from : int or float, optional
        The step, counted from 1, from which removed weights stay removed; or a share of the steps,
        in (0, 1), after which they do. By default they may return in every step, and by
        ``force_nested`` in the first half of them.
    removed_factor : float
        Factor, in [0, 1], of the scores of removed weights: 1 as in the paper; 0 and they stay
        removed, as by ``iterative_snip``.
    initial_masks : Pruning, or structure of the weights, of bool, optional
        Masks to begin at, True where a weight is kept, as if a step had found them: the first
        gradients are those of the masked weights, and a named schedule falls from as many weights
        as they keep. `sparsity` and `keep` are still of all weights. Not for methods of one step.
    objective : bool
        Whether to take gradients once more, at the masks found, for the objective of the result.
    progress : bool, optional
        Whether to show a progress bar. By default one appears once the call has taken two seconds,
        if standard error is a terminal or a notebook and tqdm is installed.

    Returns
    -------
    Pruning
        With masks in the structure of the weights.

    Raises
    ------
    SparsityError, KeepError, StepsError, ScheduleError, HyperparameterError, UnknownNameError
        If an argument is out of range, or a name is not known.
        Also if more weights were to be kept than `initial_masks` keep.
    WeightsDifferError
        If `initial_masks` is a result for other weights.
    MissingGradientsError
        If `gradients` returns None, or is arrays for a search of several steps or with
        `objective`.
    NonFiniteError
        If a weight or a gradient is NaN or infinite: the message names the tensor.
    ShapeError, StructureError, UnsupportedTypeError, LayoutError, OverlapError
        If an array does not fit: the message names it and says what to do.
    ImportError
        If `progress` is True and tqdm is not installed.

    Warns
    -----
    DegenerateSaliencyWarning
        If in some step positions, not scores, chose some of the kept weights.
    LayerCollapseWarning
        If a tensor keeps no weight.
    MaskedGradientsWarning
        If removed weights could return but never had a gradient.

    References
    ----------
    De Jorge, Sanyal, Behl, Torr, Rogez and Dokania, "Progressive Skeletonization: Trimming more fat
    from a network at initialization", ICLR 2021, arXiv 2006.09081: algorithm FORCE.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> weights = {"w": np.float32([3, -1, 2, 4])}
    >>> sf.force(weights, lambda masked: {"w": masked["w"] - 1}, sparsity=0.75, steps=2).masks
    {'w': array([False, False, False,  True])}
    """
    return run(
        weights,
        gradients,
        method="force",
        sparsity=sparsity,
        keep=keep,
        allocation=allocation,
        pattern=pattern,
        steps=steps,
        schedule=schedule,
        momentum=momentum,
        nested_from=nested_from,
        removed_factor=removed_factor,
        initial_masks=initial_masks,
        objective=objective,
        progress=progress,
    )


@overload
def iterative_snip(
    weights: Mapping[Key, Array], gradients: Gradients | Arrays, **options: Unpack[StepOptions]
) -> Pruning[dict[Key, Mask]]: ...
@overload
def iterative_snip(
    weights: list[Array], gradients: Gradients | Arrays, **options: Unpack[StepOptions]
) -> Pruning[list[Mask]]: ...
@overload
def iterative_snip(
    weights: tuple[Array, ...], gradients: Gradients | Arrays, **options: Unpack[StepOptions]
) -> Pruning[tuple[Mask, ...]]: ...
@overload
def iterative_snip(
    weights: Array, gradients: Gradients | Arrays, **options: Unpack[StepOptions]
) -> Pruning[Mask]: ...
@overload
def iterative_snip(
    weights: Arrays,
    gradients: Gradients | Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
    steps: int | None = None,
    schedule: Schedule = ...,
    momentum: float = 0.0,
    initial_masks: PruningRecord[Any] | Arrays | None = None,
    objective: bool = False,
    progress: bool | None = None,
) -> Pruning[Any]: ...
def iterative_snip(
    weights: Arrays,
    gradients: Gradients | Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
    steps: int | None = None,
    schedule: Schedule = "exponential",
    momentum: float = 0.0,
    initial_masks: PruningRecord[Any] | Arrays | None = None,
    objective: bool = False,
    progress: bool | None = None,
) -> Pruning[Any]:
    """Find masks by Iterative SNIP: only survivors compete, so a removed weight never returns.

    Step t keeps the k_t survivors of largest ``| w_i dL/dw_i (w * c_(t-1)) |``, with w the dense
    weights and c the masks. With one step it is SNIP.

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
    steps : int, optional
        Number of steps. By default 60; the one-shot methods always take 1.
    schedule : str or sequence
        How the number of kept weights falls from step to step: one of `schedules`, or a list of
        your own (see `schedule_keeps`).
    momentum : float
        Factor, in [0, 1), of the scores accumulated over the steps so far: weights compete by
        ``sum = momentum * sum + score``. It takes 4 bytes per weight, 8 for float64. By
        default by the scores of the step alone.
    initial_masks : Pruning, or structure of the weights, of bool, optional
        Masks to begin at, True where a weight is kept, as if a step had found them: the first
        gradients are those of the masked weights, and a named schedule falls from as many weights
        as they keep. `sparsity` and `keep` are still of all weights. Not for methods of one step.
    objective : bool
        Whether to take gradients once more, at the masks found, for the objective of the result.
    progress : bool, optional
        Whether to show a progress bar. By default one appears once the call has taken two seconds,
        if standard error is a terminal or a notebook and tqdm is installed.

    Returns
    -------
    Pruning
        With masks in the structure of the weights.

    Raises
    ------
    SparsityError, KeepError, StepsError, ScheduleError, HyperparameterError, UnknownNameError
        If an argument is out of range, or a name is not known.
        Also if more weights were to be kept than `initial_masks` keep.
    WeightsDifferError
        If `initial_masks` is a result for other weights.
    MissingGradientsError
        If `gradients` returns None, or is arrays for a search of several steps or with
        `objective`.
    NonFiniteError
        If a weight or a gradient is NaN or infinite: the message names the tensor.
    ShapeError, StructureError, UnsupportedTypeError, LayoutError, OverlapError
        If an array does not fit: the message names it and says what to do.
    ImportError
        If `progress` is True and tqdm is not installed.

    Warns
    -----
    DegenerateSaliencyWarning
        If in some step positions, not scores, chose some of the kept weights.
    LayerCollapseWarning
        If a tensor keeps no weight.

    References
    ----------
    De Jorge, Sanyal, Behl, Torr, Rogez and Dokania, "Progressive Skeletonization: Trimming more fat
    from a network at initialization", ICLR 2021, arXiv 2006.09081: algorithm Iterative
    SNIP.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> weights = [np.float32([3, -1]), np.float32([2, 4])]
    >>> sf.iterative_snip(weights, lambda masked: masked, keep=2, steps=2).masks
    [array([ True, False]), array([False,  True])]
    """
    return run(
        weights,
        gradients,
        method="iterative_snip",
        sparsity=sparsity,
        keep=keep,
        allocation=allocation,
        pattern=pattern,
        steps=steps,
        schedule=schedule,
        momentum=momentum,
        initial_masks=initial_masks,
        objective=objective,
        progress=progress,
    )


@overload
def grasp_it(
    weights: Mapping[Key, Array], gradients: Gradients | Arrays, **options: Unpack[StepOptions]
) -> Pruning[dict[Key, Mask]]: ...
@overload
def grasp_it(
    weights: list[Array], gradients: Gradients | Arrays, **options: Unpack[StepOptions]
) -> Pruning[list[Mask]]: ...
@overload
def grasp_it(
    weights: tuple[Array, ...], gradients: Gradients | Arrays, **options: Unpack[StepOptions]
) -> Pruning[tuple[Mask, ...]]: ...
@overload
def grasp_it(
    weights: Array, gradients: Gradients | Arrays, **options: Unpack[StepOptions]
) -> Pruning[Mask]: ...
@overload
def grasp_it(
    weights: Arrays,
    gradients: Gradients | Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
    steps: int | None = None,
    schedule: Schedule = ...,
    momentum: float = 0.0,
    initial_masks: PruningRecord[Any] | Arrays | None = None,
    objective: bool = False,
    progress: bool | None = None,
) -> Pruning[Any]: ...
def grasp_it(
    weights: Arrays,
    gradients: Gradients | Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
    steps: int | None = None,
    schedule: Schedule = "exponential",
    momentum: float = 0.0,
    initial_masks: PruningRecord[Any] | Arrays | None = None,
    objective: bool = False,
    progress: bool | None = None,
) -> Pruning[Any]:
    """Find masks by the paper's GRASP-It: survivors compete by their squared gradients.

    Not the GraSP of Wang et al. 2020, which scores by products of the Hessian and the gradient:
    that is ``swiftforce.torch.prune(..., method="grasp")``.

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
    steps : int, optional
        Number of steps. By default 60; the one-shot methods always take 1.
    schedule : str or sequence
        How the number of kept weights falls from step to step: one of `schedules`, or a list of
        your own (see `schedule_keeps`).
    momentum : float
        Factor, in [0, 1), of the scores accumulated over the steps so far: weights compete by
        ``sum = momentum * sum + score``. It takes 4 bytes per weight, 8 for float64. By
        default by the scores of the step alone.
    initial_masks : Pruning, or structure of the weights, of bool, optional
        Masks to begin at, True where a weight is kept, as if a step had found them: the first
        gradients are those of the masked weights, and a named schedule falls from as many weights
        as they keep. `sparsity` and `keep` are still of all weights. Not for methods of one step.
    objective : bool
        Whether to take gradients once more, at the masks found, for the objective of the result.
    progress : bool, optional
        Whether to show a progress bar. By default one appears once the call has taken two seconds,
        if standard error is a terminal or a notebook and tqdm is installed.

    Returns
    -------
    Pruning
        With masks in the structure of the weights.

    Raises
    ------
    SparsityError, KeepError, StepsError, ScheduleError, HyperparameterError, UnknownNameError
        If an argument is out of range, or a name is not known.
        Also if more weights were to be kept than `initial_masks` keep.
    WeightsDifferError
        If `initial_masks` is a result for other weights.
    MissingGradientsError
        If `gradients` returns None, or is arrays for a search of several steps or with
        `objective`.
    NonFiniteError
        If a weight or a gradient is NaN or infinite: the message names the tensor.
    ShapeError, StructureError, UnsupportedTypeError, LayoutError, OverlapError
        If an array does not fit: the message names it and says what to do.
    ImportError
        If `progress` is True and tqdm is not installed.

    Warns
    -----
    DegenerateSaliencyWarning
        If in some step positions, not scores, chose some of the kept weights.
    LayerCollapseWarning
        If a tensor keeps no weight.

    References
    ----------
    De Jorge, Sanyal, Behl, Torr, Rogez and Dokania, "Progressive Skeletonization: Trimming more fat
    from a network at initialization", ICLR 2021, arXiv 2006.09081.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> weights = np.float32([3, -1, 2, 4])
    >>> sf.grasp_it(weights, lambda masked: 5 - masked, keep=2, steps=2).masks
    array([False,  True,  True, False])
    """
    return run(
        weights,
        gradients,
        method="grasp_it",
        sparsity=sparsity,
        keep=keep,
        allocation=allocation,
        pattern=pattern,
        steps=steps,
        schedule=schedule,
        momentum=momentum,
        initial_masks=initial_masks,
        objective=objective,
        progress=progress,
    )
