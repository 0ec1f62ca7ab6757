"""A search from its first step to its last: a model's weights in, masks of the model out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from swiftforce.adapters import Patterns
from swiftforce.distributed import Communicator
from swiftforce.errors import (
    HyperparameterError,
    StructureError,
    UnsupportedTypeError,
)
from swiftforce.inputs import Array, Mask, Patterned, RuleName, SaliencyName
from swiftforce.result import (
    Layer,
    Prunable,
    Pruning,
    fields_of,
    warn_about_parts,
    warn_about_scope,
)
from swiftforce.search import (
    Agreement,
    Allocating,
    Schedule,
)
from swiftforce.torch.arguments import check_model
from swiftforce.torch.core_search import CoreSearch
from swiftforce.torch.device import DeviceBuffers, search_on_device, selects_on_device
from swiftforce.torch.given_scores import Scores
from swiftforce.torch.initial_masks import InitialMasks, digest, searched_masks
from swiftforce.torch.interrupts import ProtectedStack
from swiftforce.torch.model_state import ModelState, forked_generators
from swiftforce.torch.objective import BatchLoss, Loss
from swiftforce.torch.observation import searched
from swiftforce.torch.output_axes import shaped
from swiftforce.torch.parameters import warn_about_computed
from swiftforce.torch.pruning import ModelPruning, ShardedMasks
from swiftforce.torch.ranks import Ranks, ranks_of
from swiftforce.torch.scoring import GRASP, SYNFLOW, Method, method_of
from swiftforce.torch.search_options import SearchOptions
from swiftforce.torch.sharded import Sharding, mesh_ranks, sharding_of
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
    allocation: Allocating | None,
    steps: int | None,
    schedule: Schedule,
    saliency: SaliencyName | None = None,
    rule: RuleName | None = None,
    scores: Scores | None = None,
    momentum: float,
    nested_from: float | None = None,
    removed_factor: float = 1.0,
    initial_masks: InitialMasks | None,
    objective: bool,
    batches_per_step: int,
    mode: str | None,
    include: Patterns | None,
    exclude: Patterns,
    communicator: Communicator | None,
    checkpoint: str | os.PathLike[str] | None,
    progress: bool | None,
    temperature: float | None = None,
    pattern: Patterned | None = None,
    seed: int = 0,
) -> ModelPruning:
    """Find masks for a model; the arguments are those of `swiftforce.torch.prune`.

    Warnings point to the caller of the public function that calls this.
    """
    ranks = ranks_of(model, communicator)
    mesh = mesh_ranks(model) if ranks is None else None
    group = mesh if ranks is None else ranks.communicator
    given = batches
    with ProtectedStack() as generators:
        generators.enter_context(forked_generators(given))
        with Agreement(group) as agreement:
            model = check_model(model)
            row = method_of(method, saliency, rule)
            how_scored = row.mode_of(mode)
            parameters, batches = searched(
                model,
                row,
                batches,
                (loss, batch_loss),
                (include, exclude),
                mode=how_scored,
            )
            sharding = sharding_of(parameters, communicator, mesh)
            damped = momentum != 0 or nested_from is not None or removed_factor != 1
            _check_can(row, sharding, checkpoint)
            _check_core_does(row, objective=objective, damped=damped)
            inner = scored(model)  # Gradients are averaged over ranks here, not by DDP.
            scoring = row.scoring(
                inner,
                parameters,
                batches,
                loss=loss,
                batch_loss=batch_loss,
                scores=scores,
                batches_per_step=batches_per_step,
                temperature=temperature,
                ranks=ranks,
                sharding=sharding,
            )
            steps = row.steps_of(steps, schedule)
            needs_core = (allocation, pattern, checkpoint, ranks, sharding, row.saliency, row.rule)
            is_plain = all(one is None for one in needs_core)
            on_device = selects_on_device(parameters, is_plain=is_plain)
            buffers = (DeviceBuffers if on_device else WeightBuffers)(
                parameters,
                masked=(steps != 1 or initial_masks is not None) and not row.is_one_shot,
                written=row.runs_model,
            )
            # Methods that do not run the model cannot change its state.
            state = ModelState(
                inner if row.runs_model else nn.Module(),
                parameters.values() if row.runs_model else (),
                given,
                mode=how_scored,
                weights=buffers,
                contexts=scoring.contexts,
            )
            shapes = [(name, tuple(one.shape), str(one.dtype)) for name, one in parameters.items()]
            options = SearchOptions(
                row=row,
                sparsity=sparsity,
                keep=keep,
                steps=steps,
                schedule=schedule,
                initial_masks=searched_masks(initial_masks, row, inner, parameters),
                limits=shaped(allocation, pattern, inner, parameters, buffers.orders),
                pattern=pattern,
                momentum=momentum,
                nested_from=nested_from,
                removed_factor=removed_factor,
                seed=seed,
                objective=objective,
                progress=progress,
            )
            how = (row.name, how_scored, batches_per_step, temperature, seed)
            amount = (sparsity, keep, options.limits, pattern)
            begins = _told(options, buffers, ranks)
            wanted = (*amount, steps, schedule, begins, checkpoint is not None, objective)
            agreement.settings = (how, row.saliency, row.rule, wanted, shapes)
        with Agreement(group), state:
            found: Pruning[Any]
            packed = None
            scoring.begin_batches_by(state.begin_batch)
            others = {name: one for name, one in inner.named_parameters() if name not in parameters}
            if isinstance(buffers, DeviceBuffers):
                found = search_on_device(options, scoring, buffers, others)
            else:
                run = CoreSearch(options, scoring, buffers, sharding, ranks, group)
                found, packed = run.search(checkpoint, how, others)
            pruning = _of_model(found, row.name, parameters, buffers, packed)
            warn_about_parts(pruning.layers, stacklevel=4)
            warn_about_scope(parameters.scope, stacklevel=4)
            warn_about_computed(parameters, stacklevel=4)
            return pruning


def _told(
    options: SearchOptions, buffers: WeightBuffers | DeviceBuffers, ranks: Ranks | None
) -> object:
    """What ranks tell each other of the masks that the search begins at."""
    if options.initial_masks is None or ranks is None or isinstance(buffers, DeviceBuffers):
        # Of shards, the search compares more.
        return options.initial_masks is not None
    # Ranks with copies of a model have the same masks.
    return digest(buffers.flat_masks(options.initial_masks))


def _check_can(
    row: Method, sharding: Sharding | None, checkpoint: str | os.PathLike[str] | None
) -> None:
    """Refuse what GraSP, SynFlow and scores of the caller's own cannot do."""
    if sharding is not None and (row.name in {GRASP, SYNFLOW} or row.is_given):
        what = "saliency='given'" if row.is_given else row.name
        raise UnsupportedTypeError(
            f"{what} does not work on sharded parameters: prune the model before it is sharded"
        )
    if checkpoint is not None and row.name == GRASP:
        raise StructureError("checkpoint is for a search of several steps: leave it out")


def _check_core_does(row: Method, *, objective: bool, damped: bool) -> None:
    """Refuse settings of the core's searches for methods that are none."""
    if objective and (row.core is None or not row.takes_gradients):
        raise HyperparameterError(
            f"objective is for methods that score by gradients of the loss, which {row.name} does "
            "not: leave it out"
        )
    if damped and (row.core is None or row.is_flow):
        raise HyperparameterError(
            f"momentum, nested_from and removed_factor are not for {row.name}: leave them out"
        )


def _of_model(
    found: Pruning[Any],
    method: str,
    parameters: Prunable[nn.Parameter],
    buffers: WeightBuffers | DeviceBuffers,
    packed: Sequence[Array] | None,
) -> ModelPruning:
    """The same result with tensors of the parameters' shapes as masks."""
    layers = [
        Layer(layer.name, tuple(parameter.shape), layer.size, layer.kept)
        for layer, parameter in zip(found.layers, parameters.values(), strict=True)
    ]
    changes = {
        "method": method,
        "masks": ShardedMasks.of(buffers.masks(found.masks), packed),
        "layers": buffers.with_lost_parts(layers, found.masks),
        "scope": parameters.scope,
    }
    return ModelPruning(**{**fields_of(found), **changes})
