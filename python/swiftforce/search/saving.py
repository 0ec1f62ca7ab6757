"""What a search writes to a file between two steps, and how another one goes on from there.

Ranks that share a search write one file together, which is that of one process: a search may go on
with other ranks, or without any. All ranks call each function here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from swiftforce.distributed import Communicator
from swiftforce.errors import SearchFileError
from swiftforce.inputs import Array, Arrays, Tensors
from swiftforce.result import Step
from swiftforce.search.agreement import Agreement
from swiftforce.search.gathering import (
    Wholes,
    gathered_accumulated,
    gathered_counts,
    gathered_digests,
    gathered_masks,
    own_accumulated,
    own_mask,
    wholes_of,
)
from swiftforce.search.pieces import Block, Piece
from swiftforce.search.saved_search import SavedSearch, Weights, old_digest, shown_digest
from swiftforce.search.shards import Shard
from swiftforce.search.shared_limits import check_can_share


class Described:
    """The whole tensors of a search, as a file describes them; made once for all its files.

    Parameters
    ----------
    tensors : Tensors
        Of this process.
    shard : Shard, optional
        Their part, if several ranks share the search.
    """

    def __init__(self, tensors: Tensors, shard: Shard | None) -> None:
        self.shard = shard
        if shard is None:
            blocks = tuple(
                Block(array.shape, array.size, 0, (array.size,), (1,)) for array in tensors.arrays
            )
            pairs = zip(blocks, tensors.arrays, strict=True)
            self.weights = Weights.of(tensors, [block.digest(array) for block, array in pairs])
            self.wholes = Wholes(
                self.weights.names, self.weights.shapes, self.weights.dtypes, 0, blocks
            )
            return
        self.wholes = wholes = wholes_of(shard, tensors)
        digests = tuple(map(shown_digest, gathered_digests(shard, tensors, wholes)))
        self.weights = Weights(wholes.names, wholes.shapes, wholes.dtypes, digests)

    def counts(self, own: Sequence[int]) -> tuple[int, ...]:
        """Counts of whole tensors, from those of this rank's parts."""
        if self.shard is None:
            return tuple(own)
        return gathered_counts(self.shard, own, self.wholes)

    def history(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Steps with the counts of all whole tensors; those of pieces have them."""
        if self.shard is None or self.shard.blocks is not None:
            return tuple(steps)
        return tuple(replace(step, layer_kept=self.counts(step.layer_kept)) for step in steps)

    def own_history(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Steps with the counts that a search has here; the reverse of `history`."""
        if self.shard is None or self.shard.blocks is not None:
            return tuple(steps)
        own = self.wholes.own
        return tuple(replace(step, layer_kept=step.layer_kept[own]) for step in steps)

    def write(
        self,
        path: str | os.PathLike[str],
        masks: Sequence[Array] | None,
        accumulated: Sequence[Array] | None,
        saved: SavedSearch,
    ) -> None:
        """Write a file, on the first rank; `saved` has no masks, no counts of them, no sums."""
        kept: tuple[int, ...] = ()
        packed: tuple[Array, ...] | None = ()
        history = self.history(saved.history)
        if masks is not None:
            kept = self.counts([int(np.count_nonzero(mask)) for mask in masks])
            if self.shard is None:
                packed = tuple(np.packbits(mask, bitorder="little") for mask in masks)
            else:
                packed = gathered_masks(self.shard, masks, self.wholes)
        flat: tuple[Array, ...] | None = ()
        if accumulated is not None and self.shard is None:
            flat = tuple(array.reshape(-1) for array in accumulated)
        elif accumulated is not None and self.shard is not None:
            flat = gathered_accumulated(self.shard, accumulated, self.wholes)
        communicator = None if self.shard is None else self.shard.communicator
        with Agreement(communicator):
            if communicator is None or communicator.rank == 0:
                whole = replace(
                    saved, history=history, kept=kept, masks=packed or (), accumulated=flat or ()
                )
                whole.write(path)


@dataclass(frozen=True)
class Resumed:
    """What a file holds for this rank.

    Attributes
    ----------
    saved : SavedSearch
    history : tuple of Step
    masks, accumulated : tuple of array, or None
    described : Described
    """

    saved: SavedSearch
    history: tuple[Step, ...]
    masks: tuple[Array, ...] | None
    accumulated: tuple[Array, ...] | None
    described: Described


def read(
    path: str | os.PathLike[str],
    weights: Arrays,
    communicator: Communicator | None,
    pieces: Sequence[Piece] | None,
    label: str,
) -> Resumed:
    """Read a file for these weights; the arguments are those of `MaskSearch.resume`.

    Raises
    ------
    WeightsDifferError, SearchFileError, ImportError, OSError
    """
    with Agreement(communicator) as agreement:
        tensors = Tensors(weights, "weights", may_be_empty=communicator is not None)
        shard = Shard.of(communicator, tensors, pieces)
        saved = SavedSearch.read(path, label=label)
        if shard is not None and saved.has_old_digests:
            raise SearchFileError(
                f"{path} was saved by an earlier version, whose digests one process can check "
                "alone: resume it there, and save it again"
            )
        if shard is not None:
            check_can_share(saved.limits, shard, tensors)
        agreement.settings = (saved.settings, shard and shard.settings)
    described = Described(tensors, shard)
    with Agreement(communicator):
        found = described.weights
        if saved.has_old_digests:
            found = replace(found, digests=tuple(map(old_digest, tensors.arrays)))
        saved.check_weights(path, found)
        own, blocks = described.wholes.own, described.wholes.blocks
        masks = accumulated = None
        if saved.masks:
            parts = zip(saved.masks[own], blocks, tensors.arrays, strict=True)
            masks = tuple(own_mask(bits, block, array.shape) for bits, block, array in parts)
        if saved.damping.momentum > 0:
            parts = zip(saved.accumulated[own], blocks, tensors.arrays, strict=True)
            accumulated = tuple(
                own_accumulated(flat, block, array.shape) for flat, block, array in parts
            )
        history = described.own_history(saved.history)
        return Resumed(saved, history, masks, accumulated, described)
