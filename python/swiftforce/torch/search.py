"""A search from its first step to its last: a model's weights in, masks of the model out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from swiftforce import _core
from swiftforce.adapters import Patterns
from swiftforce.distributed import Communicator
from swiftforce.errors import (
    HyperparameterError,
    SearchFileError,
    StructureError,
    UnsupportedTypeError,
)
from swiftforce.inputs import Array, Mask, Patterned, RuleName, SaliencyName
from swiftforce.result import (
    Layer,
    Prunable,
    Pruning,
    ZeroScores,
    warn_about_parts,
    warn_about_scope,
    with_lost_parts,
)
from swiftforce.search import (
    Agreement,
    Allocating,
    MaskSearch,
    RankSums,
    Schedule,
    ShapedAllocation,
    prune_by_scores,
)
from swiftforce.show import bar
from swiftforce.torch.arguments import check_model
from swiftforce.torch.given_scores import Scores
from swiftforce.torch.initial_masks import InitialMasks, digest, flat_masks
from swiftforce.torch.interrupts import ProtectedStack
from swiftforce.torch.model_state import ModelState, forked_generators
from swiftforce.torch.objective import BatchLoss, Loss
from swiftforce.torch.observation import searched
from swiftforce.torch.output_axes import shaped
from swiftforce.torch.parameters import warn_about_computed
from swiftforce.torch.pruning import ModelPruning, ShardedMasks
from swiftforce.torch.ranks import Ranks, ranks_of
from swiftforce.torch.scoring import GRASP, SYNFLOW, Method, method_of
from swiftforce.torch.sharded import Sharding, mesh_ranks, sharding_of
from swiftforce.torch.step_scoring import Scoring
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
            buffers = WeightBuffers(
                parameters,
                masked=(steps != 1 or initial_masks is not None) and not row.is_one_shot,
                written=row.runs_model,
            )
            begins_at = flat_masks(initial_masks, row, inner, buffers)
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
            how = (row.name, how_scored, batches_per_step, temperature, seed)
            # Ranks with copies of a model have the same masks; with shards, the search compares.
            begins = begins_at is not None if sharding is not None else digest(begins_at)
            limits = shaped(allocation, pattern, inner, parameters, buffers.orders)
            amount = (sparsity, keep, limits, pattern)
            wanted = (*amount, steps, schedule, begins, checkpoint is not None, objective)
            agreement.settings = (how, row.saliency, row.rule, wanted, shapes)
        with Agreement(group), state:
            packed = None
            scoring.begin_batches_by(state.begin_batch)
            others = {name: one for name, one in inner.named_parameters() if name not in parameters}
            if ranks is not None:
                ranks.check_equal(buffers.dense.values(), "weights")
            if row.core is None:
                found = _by_products(buffers, scoring, amount, others)
            else:
                search = MaskSearch(
                    buffers.dense,
                    method=row.core,
                    sparsity=sparsity,
                    keep=keep,
                    allocation=limits,
                    pattern=pattern,
                    steps=steps,
                    schedule=schedule,
                    saliency=row.saliency,
                    rule=row.rule,
                    seed=seed,
                    momentum=momentum,
                    nested_from=nested_from,
                    removed_factor=removed_factor,
                    masked_weights=buffers.masked,
                    initial_masks=begins_at,
                    communicator=sharding.communicator if sharding is not None else None,
                    pieces=sharding.pieces if sharding is not None else None,
                )
                label = _label(how, search, begins_at is not None and (sharding or begins))
                if begins_at is not None:
                    buffers.load_masked()
                run = _Run(row.name, scoring, buffers, sharding, ranks, group, objective)
                found, packed = run.finish(search, checkpoint, label, others, progress)
            if ranks is not None:
                ranks.check_equal(found.masks.values(), "masks")
            pruning = _of_model(found, row.name, parameters, buffers, packed)
            warn_about_parts(pruning.layers, stacklevel=4)
            warn_about_scope(parameters.scope, stacklevel=4)
            warn_about_computed(parameters, stacklevel=4)
            return pruning


def _label(how: Sequence[object], search: MaskSearch[Masks], begins: object) -> str:
    """What a checkpoint says of the search, which must be the same to continue.

    Parameters
    ----------
    begins : object
        False without masks to begin at; else their digest, or shards of them.
    """
    label = "{}, {} mode, {} batches per step, temperature {}, seed {}".format(*how)
    for axis, name in (("saliency", search._saliency), ("rule", search._rule)):
        label += f", {axis} {name}" if name else ""
    if damping := str(search._damping):
        label += f", {damping}"
    if search._limits is not None:
        label += f", {search._limits.allocation}, {search._limits.pattern}"
    if begins is not False:
        # Each rank has shards of its own, and all give the file the same label.
        label += f", from the masks {'of all ranks' if isinstance(begins, Sharding) else begins}"
    return label


@dataclass(frozen=True)
class _Run:
    """What the steps of a search need."""

    method: str
    scoring: Scoring
    buffers: WeightBuffers
    sharding: Sharding | None
    ranks: Ranks | None
    group: Communicator | None
    objective: bool

    def finish(
        self,
        search: MaskSearch[Masks],
        checkpoint: str | os.PathLike[str] | None,
        label: str,
        others: Mapping[str, nn.Parameter],
        progress: bool | None,
    ) -> tuple[Pruning[Masks], Sequence[Array] | None]:
        """Search to the end; the result and, on the first rank that has shards, whole masks."""
        if checkpoint is not None and _exists(checkpoint, self.group):
            search = _resumed(search, checkpoint, label, self.buffers, self.sharding)
            self.scoring.skip(search.taken)
        steps = range(search.taken, search.steps)
        for _ in bar(steps, description=self.method, shown=progress):
            computed = self.buffers.gradients(self.scoring())
            if self.scoring.are_scores:
                search.step(scores=computed)
            else:
                search.step(computed)
            self.buffers.load_masked()
            # Computing gradients comes next and needs the most memory.
            search._forget_previous()
            if checkpoint is not None and _writes(self.ranks, self.sharding):
                search.save(checkpoint, label=label)
        if self.objective and search.history[-1].objective is None:
            search.objective(self.buffers.gradients(self.scoring()))
            if checkpoint is not None and _writes(self.ranks, self.sharding):
                search.save(checkpoint, label=label)
        self.scoring.check_reached()  # Before warnings of what follows from it.
        with Agreement(self.group):
            found = search._result(5, copies=False, others=others)
        is_shared = self.sharding is not None and self.sharding.is_first_copy
        return found, search._whole_masks() if is_shared else None


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


def _writes(ranks: Ranks | None, sharding: Sharding | None) -> bool:
    """Whether this rank takes part in writing a checkpoint: one copy of a model is enough."""
    if sharding is not None:
        return sharding.is_first_copy
    return ranks is None or ranks.communicator.rank == 0


def _exists(checkpoint: str | os.PathLike[str], group: Communicator | None) -> bool:
    """Whether there is a checkpoint, as the first rank sees it: it is the one that writes."""
    if group is None:
        return Path(checkpoint).exists()

    def look(numbers: NDArray[np.int64]) -> None:
        numbers[0] = group.rank == 0 and Path(checkpoint).exists()

    return bool(RankSums(group)(look)[0])


def _resumed(
    search: MaskSearch[Masks],
    checkpoint: str | os.PathLike[str],
    label: str,
    buffers: WeightBuffers,
    sharding: Sharding | None,
) -> MaskSearch[Masks]:
    """The search in a checkpoint file, which must have the same arguments as `search`."""
    found: MaskSearch[Masks] = MaskSearch.resume(
        checkpoint,
        buffers.dense,
        masked_weights=buffers.masked,
        communicator=None if sharding is None else sharding.communicator,
        pieces=None if sharding is None else sharding.pieces,
        label=label,
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
    buffers: WeightBuffers,
    scoring: Scoring,
    amount: tuple[float | None, int | None, ShapedAllocation | None, Patterned | None],
    others: Mapping[str, nn.Parameter],
) -> Pruning[Masks]:
    """The masks that keep the largest scores ``w * (H g)``, whatever their sign.

    Parameters
    ----------
    amount : (float, int, ShapedAllocation, Pattern)
        The sparsity, the number to keep, the allocation and the pattern, each or None.
    """
    sparsity, keep, limits, pattern = amount
    products = buffers.gradients(scoring())
    scoring.check_reached()
    assert products is not None
    scores = {name: _product(weight, products[name]) for name, weight in buffers.dense.items()}
    zeros = ZeroScores.of(tuple(scores), tuple(buffers.dense.values()), tuple(products.values()))
    return prune_by_scores(
        scores,
        sparsity=sparsity,
        keep=keep,
        allocation=limits,
        pattern=pattern,
        method=GRASP,
        zeros=zeros.with_factors(others) if zeros.layers else None,
        stacklevel=5,
    )


def _product(first: Array, second: Array) -> Array:
    """In the dtype that the core computes scores in: float64 if either is, else float32."""
    wide = np.float64 if np.float64 in {first.dtype.type, second.dtype.type} else np.float32
    return _core.ieee(lambda: first.astype(wide) * second.astype(wide))


def _of_model(
    found: Pruning[Masks],
    method: str,
    parameters: Prunable[nn.Parameter],
    buffers: WeightBuffers,
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
        "layers": with_lost_parts(layers, found.masks.values()),
        "scope": parameters.scope,
    }
    return ModelPruning(**{**vars(found), **changes})
