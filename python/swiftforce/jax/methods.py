"""`prune`: masks of a pytree by the name of a method."""

from __future__ import annotations

from collections.abc import Iterable

from swiftforce.adapters import Patterns
from swiftforce.inputs import MethodName, Patterned, RuleName, SaliencyName
from swiftforce.jax.batch_sizes import BatchSize
from swiftforce.jax.given_scores import Scores
from swiftforce.jax.gradients import Loss
from swiftforce.jax.pruning import PytreePruning
from swiftforce.jax.pytrees import Pytree
from swiftforce.jax.search import run_search
from swiftforce.search import Allocating, Schedule


def prune(
    params: Pytree,
    loss: Loss | None = None,
    batches: Iterable[Pytree] | None = None,
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
    scores: Scores | None = None,
    momentum: float = 0.0,
    nested_from: float | None = None,
    removed_factor: float = 1.0,
    initial_masks: Pytree | None = None,
    batches_per_step: int = 1,
    batch_size: BatchSize | None = None,
    include: Patterns | None = None,
    exclude: Patterns = (),
    stacked: Patterns | None = None,
    seed: int = 0,
    jit: bool = True,
    objective: bool = False,
    progress: bool | None = None,
) -> PytreePruning:
    """Find masks for a pytree of parameters by any method.

    Parameters
    ----------
    params : pytree of arrays
        The dense parameters, as JAX or numpy arrays. They are never changed. Prunable leaves are
        float16, bfloat16, float32 or float64. If several processes hold them together, all make the
        same call, with batches of all.
    loss : callable
        ``loss(params, batch)`` returns the mean loss over the batch, a scalar. It is called with
        parameters whose removed weights are zero, and differentiated by `jax.grad`. For a
        classifier, return `losses.target_logit` of logits and labels: at high sparsity it keeps
        paths to all classes where the cross entropy can lose them. It need not be the loss that
        trains.
    batches : iterable of pytrees of arrays
        Each batch is used once, in order. After the last one, iteration starts again, so pass a
        list or another iterable that allows this. A generator must yield as many batches as the
        search needs.
    method : str
        One of `swiftforce.methods`. The default is FORCE whose mask settles in the second
        half of the steps; ``force`` is the paper's.
    sparsity : float
        Share of all prunable weights to remove, in [0, 1). Give this or `keep`.
    keep : int
        Number of prunable weights to keep.
    allocation : Allocation, str or mapping, optional
        How the kept weights are shared out: ``global``, ``uniform``, ``erk``, a mapping of names or
        patterns to densities or numbers of weights, or an `Allocation`, which also has floors and
        caps. By default scores alone decide.
    pattern : Pattern, str or (int, int), optional
        Which weights live or die together: ``outputs``, ``inputs``, ``kernels``, blocks (r, c), or
        a `Pattern`. By default each weight alone.
    steps : int, optional
        Number of steps: 60 by default. One-shot methods take one.
    schedule : str or sequence
        One of `swiftforce.schedules`, or a list: see `swiftforce.schedule_keeps`.
    saliency : str, optional
        How weights are scored, in place of the method's way: one of `swiftforce.saliencies`, or
        ``given``: by `scores`.
    rule : str, optional
        Which weights compete in the next step, in place of the method's rule: ``nested`` (those
        that are kept), ``free`` (all), or ``free_then_nested``.
    scores : callable, optional
        With the saliency ``given``, in place of a loss and batches: ``scores(params)`` is called
        with the masked parameters of each step and returns scores of your own in their structure,
        floating-point arrays of either sign; the largest are kept. Leaves that are not searched may
        be anything, None too. It is not compiled: pass what `jax.jit` returns if it should be.
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
    initial_masks : PytreePruning, or pytree of bool arrays, optional
        Masks to begin at, True where a weight is kept, as if a step had found them: the first
        gradients are those of the masked parameters, and a named schedule falls from as many
        weights as they keep. `sparsity` and `keep` are still of all prunable weights. Not for
        methods of one step.
    batches_per_step : int
        Number of batches whose gradients a step averages before it computes scores,
        ``|w * mean_b g_b|``. A batch is weighted by its size. The mean is computed in float32 at
        least.
    batch_size : callable or int, optional
        The size of a batch, for its weight: ``batch_size(batch)``, or one number for all. By
        default the leading axis that its arrays have in common, except for keys of random numbers;
        batches of the same shapes weigh the same.
    include : str or sequence of str, optional
        Patterns that replace the default choice of prunable leaves: a leaf is prunable if a pattern
        matches its path, such as ``params/Dense_0/kernel``. Patterns are those of `fnmatch`, and
        ``*`` also matches ``/``. Leaves that are not real floating-point arrays are never prunable.
    exclude : str or sequence of str
        Patterns of leaves that are not prunable, whether by default or by `include`.
    stacked : str or sequence of str, optional
        Patterns of leaves whose first axis counts layers, as `nn.scan` makes them. Each layer is
        listed, warned of, shuffled and chosen by patterns as a leaf of its own: the one at position
        3 of ``blocks/kernel`` is ``blocks/kernel[3]``.
    seed : int
        For the method ``random``.
    jit : bool
        Whether to compile the gradients. Pass False for a loss that `jax.jit` cannot trace.
    objective : bool
        Whether to take gradients once more, at the masks found, for the objective of the result.
    progress : bool, optional
        Whether to show a progress bar. By default one appears once the call has taken two seconds,
        if standard error is a terminal or a notebook and tqdm is installed.

    Returns
    -------
    PytreePruning

    Raises
    ------
    MissingGradientsError
        If `loss`, `batches` or `scores` is missing.
    HyperparameterError
        If an option is not for the method or the saliency.
    BatchesError
        If there are no batches, or they run out and cannot be iterated again, or the size of one
        is needed and its arrays differ in their leading axes.
    UnknownNameError
        If a pattern matches no leaf, or there is no such method, saliency, rule or schedule.
    OverlapError
        If two prunable leaves are the same array. Training would make them differ: exclude one.
    NonFiniteError
        If a weight, a gradient or a score is NaN or infinite. The message names the leaf by its
        path.
    StructureError
        If no leaf is prunable, two leaves have the same path, an array was deleted, or `scores`
        returns none of a leaf that is searched.
    ShapeError
        If the loss does not return a scalar, or scores have another shape than their leaf.
    UnsupportedTypeError
        If an argument has a wrong type: a module, a tensor or a batch of another framework, a loss
        that is not a function or cannot be compiled, complex weights, traced arrays.
    SparsityError, KeepError, StepsError, ScheduleError, SeedError

    Warns
    -----
    DegenerateSaliencyWarning, LayerCollapseWarning, MaskedGradientsWarning
        See `swiftforce.MaskSearch.result`.
    PartlySearchedWarning
        If less than half of the model's matrices were searched, and not because of the patterns.

    Notes
    -----
    Methods that score without gradients (``magnitude``, ``random``) need no `loss` and no
    `batches`.

    By default a leaf is prunable if it is a real floating-point array of two or more dimensions
    and neither its path nor its neighbours mark it as something else:

    - An embedding or a table has ``embed`` or ``pos`` in the last name of its path (``embedding``
      in flax, ``embeddings`` in haiku, ``pos_embedding``) or ``embed`` in the name before it
      (``embedding/weight``). A leaf named ``kernel`` is a dense layer or a convolution and not an
      embedding, as in a vision transformer.
    - A bias or a scale has a last name such as ``bias``, ``scale``, ``offset``, ``mask`` or
      ``token``, it is the ``b`` of a ``w``, or it has ``norm`` or ``ln`` in the name before. In
      attention heads and stacked layers these have two or more dimensions.
    - A leaf of the shape of the bias beside it, or of two dimensions in a stack of layers, holds a
      vector for each layer.
    - A router of experts is called so, or it is a ``gate`` beside ``experts``.

    Boxes (`flax.nnx` variables, ``nn.Partitioned``) are no part of a path. `prunable` shows which
    leaves are chosen, which are not, and why.

    ``print(pruning)`` lists the prunable leaves. The loss gets all other leaves unchanged; those
    that are not arrays (numbers, functions) are not traced.

    Examples
    --------
    >>> import jax.numpy as jnp, swiftforce.jax as sfj
    >>> params = {"dense": {"kernel": jnp.array([[1.0, 2.0], [3.0, 4.0]]), "bias": jnp.ones(2)}}
    >>> print(sfj.prune(params, method="magnitude", sparsity=0.25))
    magnitude: 3 of 4 weights kept (sparsity 0.25), 1 step
    layer         shape   weights  kept  density
    dense/kernel  (2, 2)        4     3     0.75
    all                         4     3     0.75
    searched 100 % of the model's matrices; whole model: sparsity 0.1667 of 6 parameters
    kept weights have 90 % of the sum of all |weight|
    """
    return run_search(
        params,
        loss,
        batches,
        method=method,
        sparsity=sparsity,
        keep=keep,
        allocation=allocation,
        pattern=pattern,
        steps=steps,
        schedule=schedule,
        saliency=saliency,
        rule=rule,
        scores=scores,
        momentum=momentum,
        nested_from=nested_from,
        removed_factor=removed_factor,
        initial_masks=initial_masks,
        objective=objective,
        batches_per_step=batches_per_step,
        batch_size=batch_size,
        include=include,
        exclude=exclude,
        stacked=stacked,
        seed=seed,
        jit=jit,
        progress=progress,
    )
