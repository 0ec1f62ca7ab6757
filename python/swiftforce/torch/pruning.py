"""The search for masks of a model's weights, in one call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn

from swiftforce.adapters import Patterns, endless
from swiftforce.distributed import Communicator
from swiftforce.errors import (
    HyperparameterError,
    MissingGradientsError,
    StepsError,
    UnknownNameError,
    UnsupportedTypeError,
)
from swiftforce.progress import bar
from swiftforce.report import Layer, Pruning
from swiftforce.schedule import Schedule, integer
from swiftforce.search import MaskSearch
from swiftforce.selection import prune_by_scores
from swiftforce.tensors import Array
from swiftforce.torch.gradients import Parameters, hessian_gradients, mean_gradients, synaptic_flow
from swiftforce.torch.held import HeldWeights
from swiftforce.torch.objective import BatchLoss, Loss, Objective, input_of
from swiftforce.torch.parameters import prunable, unwrapped
from swiftforce.torch.preserved import preserved
from swiftforce.torch.ranks import Ranks, ranks_of
from swiftforce.torch.sharded import sharding_of, whole
from swiftforce.vocabulary import method_info
from swiftforce.vocabulary import methods as methods_of_core

#: Methods that this adapter scores for; the core chooses.
GRASP, SYNFLOW = "grasp", "synflow"
#: Steps of SynFlow where the caller names none: those of its paper.
SYNFLOW_STEPS = 100
#: The outputs' divisor of GraSP where the caller names none: that of its authors' code.
GRASP_TEMPERATURE = 200.0

#: What a step is scored by, and nothing where weights alone decide.
Source = Callable[[], list[torch.Tensor]] | None


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
        masks = {name: whole(mask).cpu().numpy() for name, mask in self.masks.items()}
        Pruning(**{**vars(self), "masks": masks}).save(path)


def methods() -> tuple[str, ...]:
    """Names of all methods of `prune`: those of `swiftforce.methods`, and two more.

    Examples
    --------
    >>> import swiftforce.torch as sft
    >>> sft.methods()[-2:]
    ('grasp', 'synflow')
    """
    return (*methods_of_core(), GRASP, SYNFLOW)


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
    if method not in methods():
        raise UnknownNameError(f"there is no method {method!r}; there are: {', '.join(methods())}")
    train = _is_train(mode, method)
    parameters = prunable(model, include=include, exclude=exclude)
    sharding = sharding_of(parameters)
    if sharding is not None and (communicator is not None or method in {GRASP, SYNFLOW}):
        raise UnsupportedTypeError(
            "sharded parameters bring their own communicator"
            if communicator is not None
            else f"{method} needs whole parameters, not sharded ones"
        )
    ranks = ranks_of(model, communicator)
    # Averaging is done here, where it is not disturbed by what DDP expects of a backward pass.
    inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    source = _source(
        inner,
        parameters,
        batches,
        method=method,
        loss=loss,
        batch_loss=batch_loss,
        batches_per_step=batches_per_step,
        temperature=temperature,
        ranks=ranks,
    )
    with (
        preserved(inner, parameters.values(), train=train),
        HeldWeights(parameters, masked=steps != 1 and not _is_one_shot(method)) as held,
    ):
        if ranks is not None:
            ranks.check_equal(held.dense.values(), "weights")
        if method == GRASP:
            if steps not in {None, 1}:
                raise StepsError(f"grasp takes exactly one step, not {steps}")
            found = _by_products(held, source, sparsity, keep)
        else:
            search = MaskSearch(
                held.dense,
                method="iterative_snip" if method == SYNFLOW else method,
                sparsity=sparsity,
                keep=keep,
                steps=SYNFLOW_STEPS if method == SYNFLOW and steps is None else steps,
                schedule=schedule,
                seed=seed,
                masked_weights=held.masked,
                communicator=sharding.communicator if sharding is not None else None,
                pieces=sharding.pieces if sharding is not None else None,
            )
            for _ in bar(range(search.steps), description=method, shown=progress):
                search.step(held.gradients(source()) if source is not None else None)
                held.show()
            found = search._result(3, copies=False)
        return _of_model(found, method, parameters, held)


def _is_one_shot(method: str) -> bool:
    return method == GRASP or (method != SYNFLOW and method_info(method)["one_shot"])


def _is_train(mode: str | None, method: str) -> bool:
    """Whether the model is scored in its training mode."""
    if mode not in {None, "train", "eval"}:
        raise UnknownNameError(f"there is no mode {mode!r}; there are: train, eval")
    if method == SYNFLOW and mode == "train":
        raise UnknownNameError("synflow scores one input of ones, in the mode 'eval' alone")
    return mode != "eval" and method != SYNFLOW


def _source(
    model: nn.Module,
    parameters: Parameters,
    batches: Iterable[Any] | None,
    *,
    method: str,
    loss: Loss | None,
    batch_loss: BatchLoss | None,
    batches_per_step: int,
    temperature: float | None,
    ranks: Ranks | None,
) -> Source:
    """What a step of this method is scored by."""
    if temperature is not None and (method != GRASP or loss is None):
        raise HyperparameterError("temperature is for the method grasp with loss(output, target)")
    count = integer(batches_per_step, "batches_per_step", HyperparameterError)
    if count < 1:
        raise HyperparameterError(f"batches_per_step must be at least 1, not {count}")
    if method not in {GRASP, SYNFLOW} and not method_info(method)["needs_gradients"]:
        return None
    if batches is None:
        raise MissingGradientsError(f"the method {method!r} scores weights by batches: pass them")
    queue = endless(batches)
    device = next(iter(parameters.values())).device
    if method == SYNFLOW:
        example = input_of(next(queue)).to(device)
        return lambda: synaptic_flow(unwrapped(model), parameters, example)
    if method == GRASP and loss is not None and temperature is None:
        temperature = GRASP_TEMPERATURE
    objective = Objective(model, loss, batch_loss, device=device, temperature=temperature or 1.0)
    derive = hessian_gradients if method == GRASP else mean_gradients
    return lambda: derive(objective, parameters, list(islice(queue, count)), ranks)


def _by_products(
    held: HeldWeights, source: Source, sparsity: float | None, keep: int | None
) -> Pruning:
    """The weights of largest ``w * (H g)``, of either sign."""
    assert source is not None
    products = held.gradients(source())
    scores = {name: _product(weight, products[name]) for name, weight in held.dense.items()}
    return prune_by_scores(scores, sparsity=sparsity, keep=keep, method=GRASP, stacklevel=4)


def _product(first: Array, second: Array) -> Array:
    """In the type that the core computes scores in: float32, or float64 where either has it."""
    wide = np.float64 if np.float64 in {first.dtype.type, second.dtype.type} else np.float32
    product: Array = first.astype(wide) * second.astype(wide)
    return product


def _of_model(
    found: Pruning, method: str, parameters: Parameters, held: HeldWeights
) -> ModelPruning:
    """The same result in terms of the model: tensors of the parameters' shapes."""
    layers = [
        Layer(layer.name, tuple(parameter.shape), layer.size, layer.kept)
        for layer, parameter in zip(found.layers, parameters.values(), strict=True)
    ]
    changes = {"method": method, "masks": held.masks(found.masks), "layers": tuple(layers)}
    return ModelPruning(**{**vars(found), **changes})
