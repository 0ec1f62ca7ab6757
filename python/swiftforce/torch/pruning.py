"""The search for masks of a model's weights, in one call."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from swiftforce.adapters import Patterns
from swiftforce.distributed import Communicator
from swiftforce.errors import SearchFileError, StructureError, UnsupportedTypeError
from swiftforce.inputs import Array
from swiftforce.result import Layer, Pruning
from swiftforce.search import Agreement, MaskSearch, Schedule, prune_by_scores
from swiftforce.show import bar
from swiftforce.torch.gradients import Parameters
from swiftforce.torch.model_state import temporary_state
from swiftforce.torch.objective import BatchLoss, Loss
from swiftforce.torch.parameters import parallel_of, prunable
from swiftforce.torch.ranks import ranks_of
from swiftforce.torch.scoring import GRASP, SYNFLOW, Scoring, method_of
from swiftforce.torch.sharded import gathered, sharding_of
from swiftforce.torch.weight_buffers import WeightBuffers


class ModelPruning(Pruning):
    """A `swiftforce.Pruning` whose masks are tensors.

    Attributes
    ----------
    masks : dict of name to bool tensor
        True where a weight is kept, by the names of the parameters, on their devices; sharded as
        they are.
    layers : tuple of Layer
        The parameters that were searched.
    """

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write masks and history to a safetensors file, which `swiftforce.load` reads.

        Masks that are sharded are gathered: all ranks call this, with a path each.
        """
        masks = {
            name: gathered(mask).cpu().contiguous().numpy() for name, mask in self.masks.items()
        }
        Pruning(**{**vars(self), "masks": masks}).save(path)


def prune(
    model: nn.Module,
    batches: Iterable[Any] | None = None,
    *,
    loss: Loss | None = None,
    batch_loss: BatchLoss | None = None,
    method: str = "force",
    sparsity: float | None = None,
    keep: int | None = None,
    steps: int | None = None,
    schedule: Schedule = "exponential",
    batches_per_step: int = 1,
    mode: str | None = None,
    include: Patterns | None = None,
    exclude: Patterns = (),
    temperature: float | None = None,
    seed: int = 0,
    communicator: Communicator | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> ModelPruning:
    """Find masks for the weights of a model, which is afterwards as it was before.

    Weights, statistics of batch normalisation, training flags, gradients, ``requires_grad`` and the
    generators of random numbers are restored, also after an exception or Ctrl-C. No copy of the
    model is made: masked weights are written into the parameters, and the dense ones come back.
    `apply` puts the masks to work.

    Parameters
    ----------
    model : nn.Module
        With its initial weights, on any device: float16, bfloat16, float32 or float64. May be
        compiled, or wrapped by DistributedDataParallel, whose ranks then find one mask together.
    batches : iterable
        A DataLoader or a list, of ``(input, target)`` or whatever `batch_loss` takes. Each batch is
        used once, in order, and all again when they are exhausted.
    loss : callable
        ``loss(output, target)``, mean over the batch; `torch.nn.functional.cross_entropy` is one.
        Input and target are moved to the model's device.
    batch_loss : callable
        Or ``batch_loss(model, batch)``, mean over the batch; moving and autocast are yours.
    method : str
        One of `methods`. ``synflow`` needs no loss, and of `batches` no more than the shape of an
        input.
    sparsity : float
        Share of the prunable weights to remove, in [0, 1).
    keep : int
        Or the number of weights to keep.
    steps : int, optional
        Steps of the search: 60 by default, 100 for ``synflow``; the one-shot methods take 1.
    schedule : str or sequence
        One of `swiftforce.schedules`, or a list of your own.
    batches_per_step : int
        Batches that the gradients of a step are averaged over; a batch weighs by its size.
    mode : {"train", "eval"}, optional
        Mode of the model while it is scored: "train" by default, as in the paper; always "eval"
        for ``synflow``.
    include, exclude : str or sequence of str
        Patterns of names that choose which parameters are pruned: see `prunable`.
    temperature : float, optional
        For ``grasp`` with `loss`: outputs are divided by it; 200 by default, as in its authors'
        code.
    seed : int
        For the method ``random``.
    communicator : swiftforce.distributed.Communicator, optional
        The ranks that search together, each with a copy of the model and batches of its own:
        gradients are averaged over them, and all find the same masks.
    checkpoint : path, optional
        The search is saved here after each step, and gone on with if it is there already: the
        batches of the steps taken are gone through unused. One that is done is read from there
        at once, whatever the batches are: remove the file to begin anew. Weights and arguments
        must be the same; so are the masks, where the loss of a batch does not depend on chance.
    progress : bool
        Show a progress bar (needs tqdm).

    Returns
    -------
    ModelPruning

    Raises
    ------
    SparsityError, KeepError, StepsError, ScheduleError, SeedError, HyperparameterError
    UnknownNameError, StructureError, ShapeError, UnsupportedTypeError, LayoutError, OverlapError
    BatchesError
        If there are no batches, or they run out and cannot be begun again.
    MissingGradientsError
        If a loss is needed and none is given, or it does not depend on a parameter.
    NonFiniteError
        If a weight, a gradient or the loss is NaN or infinite.
    SearchFileError, WeightsDifferError
        If the checkpoint is damaged, or of another search.
    RanksDifferError
        If the ranks start from different weights.

    Warns
    -----
    DegenerateSaliencyWarning, LayerCollapseWarning, MaskedGradientsWarning
        See `swiftforce.MaskSearch.result`.

    References
    ----------
    The methods of the core: see `swiftforce.prune`. ``grasp`` keeps the largest ``w * (H g)``:
    those whose removal would reduce the norm of the gradient most (Wang, Zhang and Grosse, "Picking
    winning tickets before training by preserving gradient flow", ICLR 2020, which gives scores
    the other sign and keeps the smallest). ``synflow``: Tanaka et al., "Pruning neural networks
    without any data by iteratively conserving synaptic flow", NeurIPS 2020.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> from torch.nn import functional
    >>> model = torch.nn.Linear(20, 2)
    >>> batches = [(torch.randn(64, 20), torch.randint(2, (64,))) for _ in range(4)]
    >>> pruning = sft.prune(model, batches, loss=functional.cross_entropy, sparsity=0.5, steps=10)
    >>> pruning.keep, pruning.masks["weight"].dtype
    (20, torch.bool)
    """
    ranks = ranks_of(model, communicator)
    with Agreement(None if ranks is None else ranks.communicator) as agreement:
        row = method_of(method)
        train = row.is_train(mode)
        parameters = prunable(model, include=include, exclude=exclude)
        sharding = sharding_of(parameters, communicator)
        if sharding is not None and method in {GRASP, SYNFLOW}:
            raise UnsupportedTypeError(f"{method} needs whole parameters, not sharded ones")
        if checkpoint is not None and (method == GRASP or ranks or sharding):
            raise StructureError("checkpoint is for searches in steps, by one process")
        # Averaging is done here, where it is not disturbed by what DDP expects of a backward pass.
        parallel = parallel_of(model)
        inner = model if parallel is None else parallel.module
        scoring = row.scoring(
            inner,
            parameters,
            batches,
            loss=loss,
            batch_loss=batch_loss,
            batches_per_step=batches_per_step,
            temperature=temperature,
            ranks=ranks,
            sharding=sharding,
        )
        row.check_steps(steps)
        buffers = WeightBuffers(parameters, masked=steps != 1 and not row.is_one_shot)
        shapes = [(name, tuple(one.shape)) for name, one in parameters.items()]
        way = (method, "train" if train else "eval", batches_per_step, temperature, seed)
        agreement.settings = (way, sparsity, keep, steps, schedule, shapes)
    with temporary_state(inner, parameters.values(), batches, train=train), buffers:
        if ranks is not None:
            ranks.check_equal(buffers.dense.values(), "weights")
        if method == GRASP:
            found = _by_products(buffers, scoring, sparsity, keep)
        else:
            search = MaskSearch(
                buffers.dense,
                method=row.core,
                sparsity=sparsity,
                keep=keep,
                steps=row.steps if steps is None and isinstance(schedule, str) else steps,
                schedule=schedule,
                seed=seed,
                masked_weights=buffers.masked,
                communicator=sharding.communicator if sharding is not None else None,
                pieces=sharding.pieces if sharding is not None else None,
            )
            label = "{}, {} mode, {} batches per step, temperature {}, seed {}".format(*way)
            if checkpoint is not None and Path(checkpoint).exists():
                search = _gone_on(search, checkpoint, label, buffers)
                scoring.skip(search.taken)
            left = range(search.taken, search.steps)
            for _ in bar(left, description=method, shown=progress):
                search.step(buffers.gradients(scoring()))
                buffers.load_masked()
                # Gradients come next, when memory is short.
                search._forget_previous()
                if checkpoint is not None:
                    search.save(checkpoint, label=label)
            found = search._result(3, copies=False)
        if ranks is not None:
            ranks.check_equal(found.masks.values(), "masks")
        return _of_model(found, method, parameters, buffers)


def _gone_on(
    search: MaskSearch, checkpoint: str | os.PathLike[str], label: str, buffers: WeightBuffers
) -> MaskSearch:
    """The search of a checkpoint, which must be one that begins as `search` does."""
    found = MaskSearch.resume(checkpoint, buffers.dense, masked_weights=buffers.masked, label=label)
    if found.keeps != search.keeps:
        raise SearchFileError(
            f"{checkpoint} is of another search: {found.steps} steps to {found.keeps[-1]} weights, "
            f"not {search.steps} to {search.keeps[-1]}, or by another schedule"
        )
    buffers.load_masked()
    return found


def _by_products(
    buffers: WeightBuffers, scoring: Scoring, sparsity: float | None, keep: int | None
) -> Pruning:
    """The weights of largest ``w * (H g)``, of either sign."""
    products = buffers.gradients(scoring())
    assert products is not None
    scores = {name: _product(weight, products[name]) for name, weight in buffers.dense.items()}
    return prune_by_scores(scores, sparsity=sparsity, keep=keep, method=GRASP, stacklevel=4)


def _product(first: Array, second: Array) -> Array:
    """In the type that the core computes scores in: float32, or float64 where either has it."""
    wide = np.float64 if np.float64 in {first.dtype.type, second.dtype.type} else np.float32
    product: Array = first.astype(wide) * second.astype(wide)
    return product


def _of_model(
    found: Pruning, method: str, parameters: Parameters, buffers: WeightBuffers
) -> ModelPruning:
    """The same result in terms of the model: tensors of the parameters' shapes."""
    layers = [
        Layer(layer.name, tuple(parameter.shape), layer.size, layer.kept)
        for layer, parameter in zip(found.layers, parameters.values(), strict=True)
    ]
    changes = {"method": method, "masks": buffers.masks(found.masks), "layers": tuple(layers)}
    return ModelPruning(**{**vars(found), **changes})
