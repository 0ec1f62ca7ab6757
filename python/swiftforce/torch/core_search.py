"""A search that the core selects for, on arrays of the host, from its first step to its last.

What must not live here: what a caller may ask for (`search`), and searches whose weights are
selected where they lie (`device.search`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from swiftforce import _core
from swiftforce.distributed import Communicator
from swiftforce.errors import SearchFileError
from swiftforce.inputs import Array, Mask
from swiftforce.inputs import MethodName as CoreMethodName
from swiftforce.result import Pruning, ZeroScores
from swiftforce.search import Agreement, MaskSearch, RankSums, prune_by_scores
from swiftforce.show import bar
from swiftforce.torch.initial_masks import digest
from swiftforce.torch.ranks import Ranks
from swiftforce.torch.scoring import GRASP
from swiftforce.torch.search_options import SearchOptions
from swiftforce.torch.sharded import Sharding
from swiftforce.torch.step_scoring import Scoring
from swiftforce.torch.weight_buffers import WeightBuffers

#: Flat masks by parameter name.
Masks = dict[str, Mask]


@dataclass(frozen=True)
class CoreSearch:
    """What the steps of a search need."""

    options: SearchOptions
    scoring: Scoring
    buffers: WeightBuffers
    sharding: Sharding | None
    ranks: Ranks | None
    group: Communicator | None

    def search(
        self,
        checkpoint: str | os.PathLike[str] | None,
        how: Sequence[object],
        others: Mapping[str, nn.Parameter],
    ) -> tuple[Pruning[Masks], Sequence[Array] | None]:
        """Search to the end; the result and, on the first rank that has shards, whole masks.

        Parameters
        ----------
        checkpoint : path, optional
        how : sequence
            How the model is scored, for a checkpoint.
        others : mapping of name to nn.Parameter
            The parameters of the model that are not searched.
        """
        packed = None
        if self.ranks is not None:
            self.ranks.check_equal(self.buffers.dense.values(), "weights")
        if self.options.row.core is None:
            found = self._by_products(others)
        else:
            initial = self.options.initial_masks
            begins_at = None if initial is None else self.buffers.flat_masks(initial)
            search = self._begun(self.options.row.core, begins_at)
            begins: object = begins_at is not None
            if begins_at is not None:
                # Each rank has shards of its own, and all give the file the same label.
                begins = "of all ranks" if self.sharding is not None else digest(begins_at)
                self.buffers.load_masked()
            label = _label(how, search, begins)
            found, packed = self._finish(search, checkpoint, label, others)
        if self.ranks is not None:
            self.ranks.check_equal(found.masks.values(), "masks")
        return found, packed

    def _begun(self, method: CoreMethodName, begins_at: Masks | None) -> MaskSearch[Masks]:
        options, sharding = self.options, self.sharding
        return MaskSearch(
            self.buffers.dense,
            method=method,
            sparsity=options.sparsity,
            keep=options.keep,
            allocation=options.limits,
            pattern=options.pattern,
            steps=options.steps,
            schedule=options.schedule,
            saliency=options.row.saliency,
            rule=options.row.rule,
            seed=options.seed,
            momentum=options.momentum,
            nested_from=options.nested_from,
            removed_factor=options.removed_factor,
            masked_weights=self.buffers.masked,
            initial_masks=begins_at,
            communicator=sharding.communicator if sharding is not None else None,
            pieces=sharding.pieces if sharding is not None else None,
        )

    def _finish(
        self,
        search: MaskSearch[Masks],
        checkpoint: str | os.PathLike[str] | None,
        label: str,
        others: Mapping[str, nn.Parameter],
    ) -> tuple[Pruning[Masks], Sequence[Array] | None]:
        if checkpoint is not None and _exists(checkpoint, self.group):
            search = _resumed(search, checkpoint, label, self.buffers, self.sharding)
            self.scoring.skip(search.taken)
        steps = range(search.taken, search.steps)
        for _ in bar(steps, description=self.options.row.name, shown=self.options.progress):
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
        if self.options.objective and search.history[-1].objective is None:
            search.objective(self.buffers.gradients(self.scoring()))
            if checkpoint is not None and _writes(self.ranks, self.sharding):
                search.save(checkpoint, label=label)
        self.scoring.check_reached()  # Before warnings of what follows from it.
        with Agreement(self.group):
            found = search._result(6, copies=False, others=others)
        is_shared = self.sharding is not None and self.sharding.is_first_copy
        return found, search._whole_masks() if is_shared else None

    def _by_products(self, others: Mapping[str, nn.Parameter]) -> Pruning[Masks]:
        """The masks that keep the largest scores ``w * (H g)``, whatever their sign."""
        dense = self.buffers.dense
        products = self.buffers.gradients(self.scoring())
        self.scoring.check_reached()
        assert products is not None
        scores = {name: _product(weight, products[name]) for name, weight in dense.items()}
        zeros = ZeroScores.of(tuple(scores), tuple(dense.values()), tuple(products.values()))
        return prune_by_scores(
            scores,
            sparsity=self.options.sparsity,
            keep=self.options.keep,
            allocation=self.options.limits,
            pattern=self.options.pattern,
            method=GRASP,
            zeros=zeros.with_factors(others) if zeros.layers else None,
            stacklevel=6,
        )


def _label(how: Sequence[object], search: MaskSearch[Masks], begins: object) -> str:
    """What a checkpoint says of the search, which must be the same to continue.

    Parameters
    ----------
    begins : object
        False without masks to begin at; else their digest, or what shards have in place of it.
    """
    label = "{}, {} mode, {} batches per step, temperature {}, seed {}".format(*how)
    for axis, name in (("saliency", search._saliency), ("rule", search._rule)):
        label += f", {axis} {name}" if name else ""
    if damping := str(search._damping):
        label += f", {damping}"
    if search._limits is not None:
        label += f", {search._limits.allocation}, {search._limits.pattern}"
    if begins is not False:
        label += f", from the masks {begins}"
    return label


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


def _product(first: Array, second: Array) -> Array:
    """In the dtype that the core computes scores in: float64 if either is, else float32."""
    wide = np.float64 if np.float64 in {first.dtype.type, second.dtype.type} else np.float32
    return _core.ieee(lambda: first.astype(wide) * second.astype(wide))
