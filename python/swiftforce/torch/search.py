"""A search from its first step to its last: a model's weights in, masks of the model out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from swiftforce.adapters import Patterns, PeekedBatches, as_patterns
from swiftforce.distributed import Communicator
from swiftforce.errors import SearchFileError, StructureError, UnsupportedTypeError
from swiftforce.inputs import Array, Mask
from swiftforce.result import (
    Layer,
    Prunable,
    Pruning,
    warn_about_parts,
    warn_about_scope,
    with_lost_parts,
)
from swiftforce.search import Agreement, MaskSearch, Schedule, prune_by_scores
from swiftforce.show import bar
from swiftforce.torch.arguments import check_model, check_objective
from swiftforce.torch.model_state import ModelState, forked_generators
from swiftforce.torch.objective import BatchLoss, Loss, Objective
from swiftforce.torch.observation import may_tell, observe
from swiftforce.torch.parameters import chosen_of
from swiftforce.torch.pruning import ModelPruning
from swiftforce.torch.ranks import ranks_of
from swiftforce.torch.scoring import GRASP, SYNFLOW, Scoring, method_of
from swiftforce.torch.sharded import sharding_of
from swiftforce.torch.weight_buffers import WeightBuffers
from swiftforce.torch.wrappers import scored

#: Flat masks by parameter name.
Masks = dict[str, Mask]


def run_search(
    model: nn.Module,
    batches: Iterable[Any] | None,
    loss: Loss | None,
    *,
    batch_loss: BatchLoss | None,
    method: str,
    sparsity: float | None,
    keep: int | None,
    steps: int | None,
    schedule: Schedule,
    batches_per_step: int,
    mode: str | None,
    include: Patterns | None,
    exclude: Patterns,
    communicator: Communicator | None,
    checkpoint: str | os.PathLike[str] | None,
    progress: bool | None,
    temperature: float | None = None,
    seed: int = 0,
) -> ModelPruning:
    """Find masks for a model; the arguments are those of `swiftforce.torch.prune`.

    Warnings point to the caller of the public function that calls this.
    """
    model = check_model(model)
    include, exclude = as_patterns(include), as_patterns(exclude) or ()
    ranks = ranks_of(model, communicator)
    given = batches
    with (
        Agreement(None if ranks is None else ranks.communicator) as agreement,
        ExitStack() as before,
    ):
        row = method_of(method)
        how_scored = row.mode_of(mode)
        inner = scored(model)  # Gradients are averaged over ranks here, not by DDP.
        parameters = chosen_of(model, include, exclude, {})
        if row.takes_gradients and may_tell(parameters):
            check_objective(loss, batch_loss, batches, row.name)
            assert batches is not None
            before.enter_context(forked_generators(batches))
            batches = PeekedBatches(batches)
            device = next(iter(parameters.values())).device
            objective = Objective(inner, loss, batch_loss, device=device)
            seen = observe(inner, parameters, objective, batches.first, mode=how_scored)
            parameters = chosen_of(model, include, exclude, seen)
        sharding = sharding_of(parameters, communicator)
        if sharding is not None and row.name in {GRASP, SYNFLOW}:
            raise UnsupportedTypeError(
                f"{row.name} does not work on sharded parameters: prune the model before it is "
                "sharded"
            )
        if checkpoint is not None and (row.name == GRASP or ranks or sharding):
            raise StructureError(
                "checkpoint is for a search of several steps in one process: leave it out"
            )
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
        steps = row.steps_of(steps, schedule)
        buffers = WeightBuffers(
            parameters,
            masked=steps != 1 and not row.is_one_shot,
            written=row.needs_batches,
        )
        shapes = [(name, tuple(one.shape)) for name, one in parameters.items()]
        how = (row.name, how_scored, batches_per_step, temperature, seed)
        agreement.settings = (how, sparsity, keep, steps, schedule, shapes)
        generators = before.pop_all()
    # Methods that need no batches do not run the model, so its state cannot change.
    state = ModelState(
        inner if row.needs_batches else nn.Module(),
        parameters.values() if row.needs_batches else (),
        given,
        mode=how_scored,
        weights=buffers,
        contexts=scoring.contexts,
    )
    with generators, state:
        scoring.begin_batches_by(state.begin_batch)
        if ranks is not None:
            ranks.check_equal(buffers.dense.values(), "weights")
        if row.core is None:
            found = _by_products(buffers, scoring, sparsity, keep)
        else:
            search = MaskSearch(
                buffers.dense,
                method=row.core,
                sparsity=sparsity,
                keep=keep,
                steps=steps,
                schedule=schedule,
                seed=seed,
                masked_weights=buffers.masked,
                communicator=sharding.communicator if sharding is not None else None,
                pieces=sharding.pieces if sharding is not None else None,
            )
            label = "{}, {} mode, {} batches per step, temperature {}, seed {}".format(*how)
            if checkpoint is not None and Path(checkpoint).exists():
                search = _resumed(search, checkpoint, label, buffers)
                scoring.skip(search.taken)
            remaining = range(search.taken, search.steps)
            for _ in bar(remaining, description=row.name, shown=progress):
                search.step(buffers.gradients(scoring()))
                buffers.load_masked()
                # Computing gradients comes next and needs the most memory.
                search._forget_previous()
                if checkpoint is not None:
                    search.save(checkpoint, label=label)
            scoring.check_reached()
            found = search._result(4, copies=False)
        if ranks is not None:
            ranks.check_equal(found.masks.values(), "masks")
        pruning = _of_model(found, row.name, parameters, buffers)
        warn_about_parts(pruning.layers, stacklevel=4)
        warn_about_scope(parameters.scope, stacklevel=4)
        return pruning


def _resumed(
    search: MaskSearch[Masks],
    checkpoint: str | os.PathLike[str],
    label: str,
    buffers: WeightBuffers,
) -> MaskSearch[Masks]:
    """The search in a checkpoint file, which must have the same arguments as `search`."""
    found: MaskSearch[Masks] = MaskSearch.resume(
        checkpoint, buffers.dense, masked_weights=buffers.masked, label=label
    )
    if found.keeps != search.keeps:
        raise SearchFileError(
            f"{checkpoint} is of another search: {found.steps} steps to {found.keeps[-1]} weights, "
            f"not {search.steps} to {search.keeps[-1]}, or by another schedule: remove the file to "
            "start a new search"
        )
    buffers.load_masked()
    return found


def _by_products(
    buffers: WeightBuffers, scoring: Scoring, sparsity: float | None, keep: int | None
) -> Pruning[Masks]:
    """The masks that keep the largest scores ``w * (H g)``, whatever their sign."""
    products = buffers.gradients(scoring())
    scoring.check_reached()
    assert products is not None
    scores = {name: _product(weight, products[name]) for name, weight in buffers.dense.items()}
    return prune_by_scores(scores, sparsity=sparsity, keep=keep, method=GRASP, stacklevel=5)


def _product(first: Array, second: Array) -> Array:
    """In the dtype that the core computes scores in: float64 if either is, else float32."""
    wide = np.float64 if np.float64 in {first.dtype.type, second.dtype.type} else np.float32
    product: Array = first.astype(wide) * second.astype(wide)
    return product


def _of_model(
    found: Pruning[Masks], method: str, parameters: Prunable[nn.Parameter], buffers: WeightBuffers
) -> ModelPruning:
    """The same result with tensors of the parameters' shapes as masks."""
    layers = [
        Layer(layer.name, tuple(parameter.shape), layer.size, layer.kept)
        for layer, parameter in zip(found.layers, parameters.values(), strict=True)
    ]
    changes = {
        "method": method,
        "masks": buffers.masks(found.masks),
        "layers": with_lost_parts(layers, found.masks.values()),
        "scope": parameters.scope,
    }
    return ModelPruning(**{**vars(found), **changes})
