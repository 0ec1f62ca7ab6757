"""Masks in one call, by the name of a method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, overload

from swiftforce.inputs import Array, Arrays, Mask, MethodName, Patterned, RuleName, SaliencyName
from swiftforce.result import Pruning, PruningRecord
from swiftforce.search.options import Gradients, Key, PruneOptions
from swiftforce.search.run import run
from swiftforce.search.schedule import Schedule
from swiftforce.search.tensor_limits import Allocating


@overload
def prune(
    weights: Mapping[Key, Array],
    gradients: Gradients | Arrays | None = None,
    **options: Unpack[PruneOptions],
) -> Pruning[dict[Key, Mask]]: ...
@overload
def prune(
    weights: list[Array],
    gradients: Gradients | Arrays | None = None,
    **options: Unpack[PruneOptions],
) -> Pruning[list[Mask]]: ...
@overload
def prune(
    weights: tuple[Array, ...],
    gradients: Gradients | Arrays | None = None,
    **options: Unpack[PruneOptions],
) -> Pruning[tuple[Mask, ...]]: ...
@overload
def prune(
    weights: Array, gradients: Gradients | Arrays | None = None, **options: Unpack[PruneOptions]
) -> Pruning[Mask]: ...
@overload
def prune(
    weights: Arrays,
    gradients: Gradients | Arrays | None = None,
    *,
    method: MethodName = ...,
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
    steps: int | None = None,
    schedule: Schedule = ...,
    saliency: SaliencyName | None = None,
    rule: RuleName | None = None,
    seed: int = 0,
    momentum: float = 0.0,
    nested_from: float | None = None,
    removed_factor: float = 1.0,
    initial_masks: PruningRecord[Any] | Arrays | None = None,
    objective: bool = False,
    progress: bool | None = None,
) -> Pruning[Any]: ...
def prune(
    weights: Arrays,
    gradients: Gradients | Arrays | None = None,
    *,
    method: MethodName = "force_nested",
    sparsity: float | None = None,
    keep: int | None = None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
    steps: int | None = None,
    schedule: Schedule = "exponential",
    saliency: SaliencyName | None = None,
    rule: RuleName | None = None,
    seed: int = 0,
    momentum: float = 0.0,
    nested_from: float | None = None,
    removed_factor: float = 1.0,
    initial_masks: PruningRecord[Any] | Arrays | None = None,
    objective: bool = False,
    progress: bool | None = None,
) -> Pruning[Any]:
    """Find masks by the method of the given name.

    Parameters
    ----------
    weights : mapping, sequence or array
        The dense weights that may be removed: leave out biases and the parameters of
        normalisation layers. float16, bfloat16 (of ml_dtypes), float32 or float64, freely mixed;
        C-contiguous, of any shapes; may be nested. They are read in place and never written.
    gradients : callable or structure of the weights, optional
        ``gradients(masked_weights)`` returns the gradients of the loss at the masked weights, in
        the structure of the weights, averaged over the batches of the step. They must be dense:
        also where a weight is removed. A search of one step also takes the gradients at the
        weights themselves, as arrays. Arrays that are not C-contiguous are copied.
        ``magnitude`` and ``random`` need none.
    method : str
        One of `methods`. The default is FORCE whose mask settles in the second half of the steps;
        ``force`` is the paper's.
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
    saliency : str, optional
        How weights are scored, in place of the method's way: one of `saliencies`, or ``given``:
        `gradients` returns scores of your own instead, of either sign; the largest are kept.
    rule : str, optional
        Which weights compete in the next step, in place of the method's rule: ``nested`` (those
        that are kept), ``free`` (all), or ``free_then_nested``.
    seed : int
        Seed of random scores, in 0 ... 2**64 - 1. The same seed gives the same scores on every
        machine.
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
    SparsityError, KeepError, StepsError, ScheduleError, SeedError, UnknownNameError
        If an argument is out of range, or a name is not known.
    BoundsError
        If no masks respect the allocation: the message has the numbers.
    HyperparameterError
        If one of `momentum`, `nested_from`, `removed_factor` and `objective` is out of range, or is
        not for the method.
        Also if more weights were to be kept than `initial_masks` keep.
    WeightsDifferError
        If `initial_masks` is a result for other weights.
    MissingGradientsError
        If the method needs gradients and none are passed, or if `gradients` returns None, or is
        arrays for a search of several steps or with `objective`.
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
    StepsIgnoredWarning
        If a one-shot method is given several steps.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> weights = [np.float32([1, 2, 3]), np.float32([[4], [5]])]
    >>> sf.prune(weights, method="magnitude", sparsity=0.4)
    <Pruning magnitude: 3 of 5 weights kept>
    """
    return run(
        weights,
        gradients,
        method=method,
        sparsity=sparsity,
        keep=keep,
        allocation=allocation,
        pattern=pattern,
        steps=steps,
        schedule=schedule,
        saliency=saliency,
        rule=rule,
        seed=seed,
        momentum=momentum,
        nested_from=nested_from,
        removed_factor=removed_factor,
        initial_masks=initial_masks,
        objective=objective,
        progress=progress,
    )
