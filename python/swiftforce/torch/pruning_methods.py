"""`prune`: masks for a model by the name of a method."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from torch import nn

from swiftforce.adapters import Patterns
from swiftforce.distributed import Communicator
from swiftforce.inputs import Patterned, RuleName, SaliencyName
from swiftforce.search import Allocating, Schedule
from swiftforce.torch.given_scores import Scores
from swiftforce.torch.initial_masks import InitialMasks
from swiftforce.torch.model_state import Mode
from swiftforce.torch.objective import BatchLoss, Loss
from swiftforce.torch.pruning import ModelPruning
from swiftforce.torch.scoring import MethodName
from swiftforce.torch.search import run_search


def prune(
    model: nn.Module,
    batches: Iterable[Any] | None = None,
    loss: Loss | None = None,
    *,
    batch_loss: BatchLoss | None = None,
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
    initial_masks: InitialMasks | None = None,
    batches_per_step: int = 1,
    mode: Mode | None = None,
    include: Patterns | None = None,
    exclude: Patterns = (),
    temperature: float | None = None,
    seed: int = 0,
    communicator: Communicator | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    objective: bool = False,
    progress: bool | None = None,
) -> ModelPruning:
    """Find masks for the weights of a model, which is left unchanged.

    All of the model is restored bit for bit, whoever changed it, also after an exception or Ctrl-C
    (a second one waits): parameters and buffers, those too that the forward pass writes, training
    flags, caches and other attributes, gradients, ``requires_grad`` and the states of random number
    generators. Objects that the model refers to, other than modules, containers, functions, tensors
    and numpy arrays, are left as the forward pass leaves them. Masked weights are written into the
    model's parameters; of all parameters and buffers one copy is kept in host memory, or, of those
    that are searched, on their device if weights are selected there; but not for ``magnitude`` and
    ``random``, which do not run the model. `apply` removes the weights
    from the model. Weights may be float16, bfloat16, float32 or float64. The ranks of
    DistributedDataParallel find one mask together. If parameters are sharded, by `fully_shard`, by
    tensor parallelism or by both, each rank gets its shard of the masks.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.
    batches : iterable
        A DataLoader, a list, or another iterable of ``(input, target)``, or of whatever
        `batch_loss` takes. Each batch is used once, in order; after the last one, iteration starts
        again. ``magnitude`` and ``random`` need no batches.
    loss : callable, optional
        ``loss(output, target)`` returns the mean loss over the batch, a tensor of one number, such
        as `losses.target_logit`, which keeps paths to all classes at high sparsity where
        `torch.nn.functional.cross_entropy` can lose them. It need not be the loss that trains.
        For ``grasp``, pass the cross entropy. Input and target are moved to the model's device.
    batch_loss : callable, optional
        Instead of `loss`: ``batch_loss(model, batch)`` returns the mean loss over the batch, or
        that and the number of samples. It moves the batch to the device itself, and may use
        autocast. For ``synflow`` it says how the model is called.
    method : str
        One of `methods`. The default is FORCE whose mask settles in the second half of the steps;
        ``force`` is the paper's. ``synflow`` needs no loss, and replaces floating-point inputs by
        ones; a batch that is a mapping is passed as keyword arguments, and the sum is over the
        ``logits`` of a model that names them, else over all outputs but ``loss``.
    sparsity : float, optional
        Share of the prunable weights to remove, in [0, 1). Pass either `sparsity` or `keep`.
    keep : int, optional
        Number of prunable weights to keep.
    allocation : Allocation, str or mapping, optional
        How the kept weights are shared out: ``global``, ``uniform``, ``erk``, a mapping of names or
        patterns to densities or numbers of weights, or an `Allocation`, which also has floors and
        caps. By default scores alone decide.
    pattern : Pattern, str or (int, int), optional
        Which weights live or die together: ``outputs``, ``inputs``, ``kernels``, blocks (r, c), or
        a `Pattern`. By default each weight alone.
    steps : int, optional
        Number of steps of the search: by default 60, for ``synflow`` 100. One-shot methods take one
        step and ignore other numbers, with a warning.
    schedule : str or sequence
        How many weights each step keeps: one of `swiftforce.schedules`, or a list of sparsities or
        numbers of weights, one for each step.
    saliency : str, optional
        How weights are scored, in place of the method's way: one of `swiftforce.saliencies`, or
        ``given``: by `scores`. Not for ``grasp`` and ``synflow``.
    rule : str, optional
        Which weights compete in the next step, in place of the method's rule: ``nested`` (those
        that are kept), ``free`` (all), or ``free_then_nested``. Not for ``grasp`` and ``synflow``.
    scores : callable, optional
        With the saliency ``given``, in place of batches and a loss: ``scores(model)`` is called
        with the masked model of each step and returns the scores of your own, a mapping of
        parameter names to tensors of the parameters' shapes, of either sign; the largest are kept.
        It may call ``backward``: the model has no gradients when it is called. If several ranks
        search, their scores are averaged.
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
    initial_masks : Pruning, or mapping of name to bool tensor, optional
        Masks to begin at, True where a weight is kept, as if a step had found them: the first
        gradients are those of the masked model, and a named schedule falls from as many weights as
        they keep. `sparsity` and `keep` are still of all prunable weights. Not for methods of one
        step.
    batches_per_step : int
        Number of batches that the gradients of a step are averaged over. A batch weighs by its
        number of samples: the length of its first tensor, or of a list of samples. A weight that
        one of them does not reach, such as that of an expert, has a gradient of zero there.
    mode : {"train", "eval", "as_is"}, optional
        Mode of the model while it is scored, set by its own ``train`` or ``eval``: by default
        "train", as in the paper of FORCE, and for ``synflow`` "eval". "as_is" keeps the flags of
        all modules, such as those of batch normalisation that is frozen.
    include : str or sequence of str, optional
        Patterns of parameter names, as in `fnmatch`: prune the floating-point parameters that one
        of them matches, frozen ones too, instead of those that `prunable` takes by default.
    exclude : str or sequence of str
        Patterns of parameter names to leave out.
    temperature : float, optional
        For ``grasp`` with `loss`: the model's outputs are divided by it; by default 200, as in its
        authors' code.
    seed : int
        For ``random``: the seed of the scores.
    communicator : swiftforce.distributed.Communicator, optional
        The ranks that search together, each with a copy of the model and with batches of its own.
        Gradients are averaged over the ranks, and all find the same masks.
    checkpoint : path, optional
        File that the search is saved to after each step. If it exists, the search resumes from it
        and skips the batches of the steps taken; a finished search is read from it at once,
        whatever the batches are. Weights and arguments must be the same; the masks are, too, if
        the loss does not depend on chance. Remove the file to start a new search. If several ranks
        search, the first one writes, all must be able to read the file, and there may be other
        numbers of them when the search resumes.
    objective : bool
        Whether to take gradients once more, at the masks found, for the objective of the result.
    progress : bool, optional
        Whether to show a progress bar. By default one appears once the call has taken two seconds,
        if standard error is a terminal or a notebook and tqdm is installed.

    Returns
    -------
    ModelPruning
        The masks, as bool tensors by parameter name, and what each step did.

    Raises
    ------
    SparsityError, KeepError
        If not exactly one of `sparsity` and `keep` is given, or it is out of range.
    StepsError, ScheduleError, HyperparameterError, SeedError
        If an option is not a valid value, or is not for the method or the saliency.
    UnknownNameError
        If there is no such method, saliency, rule, schedule or mode, or a pattern matches no
        parameter.
    BatchesError
        If there are no batches, they run out and cannot be iterated again, or the number of samples
        in one is needed and unknown.
    MissingGradientsError
        If batches, a loss or `scores` are missing, or no batch of the search reaches a parameter.
    UnsupportedTypeError
        If an argument has the wrong type, or a parameter is not floating-point.
    StructureError
        If there is nothing to prune, a batch is not a pair ``(input, target)``, or `scores`
        returns no scores of a parameter.
    ShapeError
        If the loss is not one number, or scores have another shape than their parameter.
    LayoutError, OverlapError
        If a parameter is not contiguous in any order of its dimensions, or two share memory.
    NonFiniteError
        If a weight, a gradient, a score or the loss is NaN or infinite.
    SearchFileError, WeightsDifferError
        If the checkpoint is damaged, or is of another search.
    RanksDifferError, RankFailedError
        If the ranks start from different weights, or another rank raised.
    ImportError
        If `progress` is True and tqdm is not installed, or a weight is bfloat16 and ml_dtypes is
        not installed.

    Warns
    -----
    DegenerateSaliencyWarning, LayerCollapseWarning, MaskedGradientsWarning
        See `swiftforce.MaskSearch.result`.
    PartlySearchedWarning
        If less than half of the model's matrices were searched, and not because of the patterns.
    MasksLostWarning
        If `include` names a parameter from which a layer computes the weight that acts.
    StepsIgnoredWarning
        If a one-shot method is given another number of steps than one.

    References
    ----------
    The methods of the core: see `swiftforce.prune`. ``grasp`` keeps the largest ``w * (H g)``: the
    weights whose removal would reduce the norm of the gradient most (Wang, Zhang and Grosse,
    "Picking winning tickets before training by preserving gradient flow", ICLR 2020, which gives
    scores the other sign and keeps the smallest). ``synflow``: Tanaka et al., "Pruning neural
    networks without any data by iteratively conserving synaptic flow", NeurIPS 2020.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> model = torch.nn.Linear(20, 2)
    >>> batches = [(torch.randn(64, 20), torch.randint(2, (64,))) for _ in range(4)]
    >>> pruning = sft.prune(model, batches, sft.losses.target_logit, sparsity=0.5, steps=10)
    >>> pruning.keep, pruning.masks["weight"].dtype
    (20, torch.bool)
    """
    return run_search(
        model,
        batches,
        loss,
        batch_loss=batch_loss,
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
        mode=mode,
        include=include,
        exclude=exclude,
        temperature=temperature,
        seed=seed,
        communicator=communicator,
        checkpoint=checkpoint,
        progress=progress,
    )
