"""Masks in one call: a search from its first step to its last, by the name of its method."""

from __future__ import annotations

from typing import Any

from swiftforce.errors import MissingGradientsError
from swiftforce.inputs import Arrays
from swiftforce.result import Pruning
from swiftforce.search.mask_search import Gradients, MaskSearch
from swiftforce.search.schedule import Schedule
from swiftforce.show import bar


def prune(
    weights: Arrays,
    gradients: Gradients | Arrays | None = None,
    *,
    method: str = "force",
    sparsity: float | None = None,
    keep: int | None = None,
    steps: int | None = None,
    schedule: Schedule = "exponential",
    seed: int = 0,
    progress: bool = False,
) -> Pruning:
    """Find masks by the method of that name.

    Parameters
    ----------
    weights : mapping, sequence or array
        The dense weights that may be removed (leave out biases and the parameters of
        normalisation layers): float16, bfloat16 (of ml_dtypes), float32 or float64. Read in
        place, never written.
    gradients : callable, or the structure of the weights
        ``gradients(masked_weights)`` returns the gradients of the loss at the masked weights, in
        the same structure, averaged over the step's batches, dense: also where a weight is
        removed. A search of one step takes the gradients at the weights as arrays, too.
    method : str
        One of `methods`.
    sparsity : float
        Share of all weights to remove, in [0, 1).
    keep : int
        Or the number of weights to keep.
    steps : int, optional
        Number of steps; 60 by default, 1 for the one-shot methods.
    schedule : str or sequence
        One of `schedules`, or a list of your own: see `schedule_keeps`.
    seed : int
        For the method ``random``.
    progress : bool
        Show a progress bar (needs tqdm).

    Returns
    -------
    Pruning

    Raises
    ------
    SparsityError, KeepError, StepsError, ScheduleError, SeedError, UnknownNameError
    MissingGradientsError, NonFiniteError
    ShapeError, StructureError, UnsupportedTypeError, LayoutError, OverlapError

    Warns
    -----
    DegenerateSaliencyWarning, LayerCollapseWarning, MaskedGradientsWarning
        See `swiftforce.MaskSearch.result`.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> weights = [np.float32([1, 2, 3]), np.float32([[4], [5]])]
    >>> sf.prune(weights, method="magnitude", sparsity=0.4)
    <Pruning magnitude: 3 of 5 weights kept>
    """
    return _run(
        weights,
        gradients,
        method=method,
        sparsity=sparsity,
        keep=keep,
        steps=steps,
        schedule=schedule,
        seed=seed,
        progress=progress,
    )


def _run(
    weights: Arrays,
    gradients: Gradients | Arrays | None,
    *,
    progress: bool = False,
    **options: Any,  # noqa: ANN401 - those of MaskSearch
) -> Pruning:
    """Search to the end; warns in the name of the caller of the public function."""
    search = MaskSearch(weights, **options)
    if gradients is not None and not callable(gradients) and search.steps > 1:
        raise MissingGradientsError(
            f"{search.method} asks for new gradients at each of its {search.steps} steps: pass a "
            "function from masked weights to gradients"
        )
    if not search.needs_gradients:
        gradients = None
    for _ in bar(range(search.steps), description=search.method, shown=progress):
        search.step(gradients(search.masked_weights) if callable(gradients) else gradients)
    # Nobody else holds the search, so its masks need not be copied.
    return search._result(4, copies=False)


def force(
    weights: Arrays,
    gradients: Gradients,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    steps: int | None = None,
    schedule: Schedule = "exponential",
    progress: bool = False,
) -> Pruning:
    """Find masks by FORCE: in each step all weights compete, so a removed weight may return.

    Step t keeps the k_t weights of largest ``| w_i dL/dw_i (w * c_(t-1)) |`` with the dense
    weights w. With one step it is SNIP. Parameters, errors and warnings are those of `prune`.

    References
    ----------
    De Jorge et al., "Progressive Skeletonization", ICLR 2021, algorithm FORCE.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> weights = {"w": np.float32([3, -1, 2, 4])}
    >>> sf.force(weights, lambda masked: {"w": masked["w"] - 1}, sparsity=0.75, steps=2).masks
    {'w': array([False, False, False,  True])}
    """
    return _run(
        weights,
        gradients,
        method="force",
        sparsity=sparsity,
        keep=keep,
        steps=steps,
        schedule=schedule,
        progress=progress,
    )


def iterative_snip(
    weights: Arrays,
    gradients: Gradients,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    steps: int | None = None,
    schedule: Schedule = "exponential",
    progress: bool = False,
) -> Pruning:
    """Find masks by Iterative SNIP: only survivors compete, so a removed weight never returns.

    With one step it is SNIP. Parameters, errors and warnings are those of `prune`.

    References
    ----------
    De Jorge et al., "Progressive Skeletonization", ICLR 2021, algorithm Iterative SNIP.
    """
    return _run(
        weights,
        gradients,
        method="iterative_snip",
        sparsity=sparsity,
        keep=keep,
        steps=steps,
        schedule=schedule,
        progress=progress,
    )


def grasp_it(
    weights: Arrays,
    gradients: Gradients,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    steps: int | None = None,
    schedule: Schedule = "exponential",
    progress: bool = False,
) -> Pruning:
    """Find masks by the paper's GRASP-It: survivors compete by their squared gradients.

    Parameters, errors and warnings are those of `prune`.

    References
    ----------
    De Jorge et al., "Progressive Skeletonization", ICLR 2021. Not the GraSP of Wang et al. 2020,
    which scores by Hessian-gradient products.
    """
    return _run(
        weights,
        gradients,
        method="grasp_it",
        sparsity=sparsity,
        keep=keep,
        steps=steps,
        schedule=schedule,
        progress=progress,
    )


def snip(
    weights: Arrays,
    gradients: Gradients | Arrays,
    *,
    sparsity: float | None = None,
    keep: int | None = None,
) -> Pruning:
    """Find masks by SNIP: the largest ``| w dL/dw |`` at the dense weights, in one step.

    Parameters, errors and warnings are those of `prune`; no scores are stored.

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
    return _run(weights, gradients, method="snip", sparsity=sparsity, keep=keep)


def magnitude(
    weights: Arrays, *, sparsity: float | None = None, keep: int | None = None
) -> Pruning:
    """Find masks by magnitude: the largest ``| w |``, in one step.

    Parameters, errors and warnings are those of `prune`.
    """
    return _run(weights, None, method="magnitude", sparsity=sparsity, keep=keep)


def random(
    weights: Arrays, *, sparsity: float | None = None, keep: int | None = None, seed: int = 0
) -> Pruning:
    """Find masks at random: each weight's score is uniform in [0, 1), drawn from the seed.

    Parameters, errors and warnings are those of `prune`. The same seed gives the same masks on
    every machine.
    """
    return _run(weights, None, method="random", sparsity=sparsity, keep=keep, seed=seed)
