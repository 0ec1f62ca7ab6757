"""What a search found and how: layers, steps, the whole result, and the warnings about it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from swiftforce.errors import (
    DegenerateSaliencyWarning,
    LayerCollapseWarning,
    MaskedGradientsWarning,
)
from swiftforce.tables import plain
from swiftforce.tensors import Arrays, Tensors


@dataclass(frozen=True)
class Step:
    """What one step of a search did.

    Attributes
    ----------
    step : int
        Position in the search; 1 is the first.
    keep : int
        Weights kept: exactly so many.
    candidates : int
        Weights that competed.
    removed, revived : int
        Weights kept before and not now; not kept before and kept now.
    zero_scores : int
        Candidates whose score is zero.
    at_threshold, kept_at_threshold : int
        Candidates whose score equals the threshold, and how many of them are kept.
    arbitrary : int
        Weights kept with a score of zero while others with a score of zero were not: their
        positions chose them. Above zero, do not trust this step's mask.
    readings : int
        How often weights and gradients were read to find the mask: once, unless a sample cannot
        bracket the threshold; twice where there are fewer than 32,768 of them.
    threshold : float
        The smallest kept score.
    saliency : float
        Sum of the kept scores: the objective of FORCE.
    total_saliency : float
        Sum of the scores of all candidates.
    gradient_norm : float
        Euclidean norm of all gradients; 0 where the method reads none.
    layer_kept : tuple of int
        Weights kept of each tensor, as passed: with ranks, of those here, where all else is of
        all ranks.
    """

    step: int
    keep: int
    candidates: int
    removed: int
    revived: int
    zero_scores: int
    at_threshold: int
    kept_at_threshold: int
    arbitrary: int
    readings: int
    threshold: float
    saliency: float
    total_saliency: float
    gradient_norm: float
    layer_kept: tuple[int, ...]

    @property
    def degenerate(self) -> bool:
        """Whether positions, not scores, chose some of the kept weights."""
        return self.arbitrary > 0


@dataclass(frozen=True)
class Layer:
    """One tensor of weights and what is left of it."""

    name: str
    shape: tuple[int, ...]
    size: int
    kept: int

    @property
    def density(self) -> float:
        """Share of its weights that are kept; 1 for an empty tensor."""
        return self.kept / self.size if self.size else 1.0

    @property
    def sparsity(self) -> float:
        """Share of its weights that are removed."""
        return 1 - self.density

    @property
    def collapsed(self) -> bool:
        """Whether nothing of it is left."""
        return self.size > 0 and self.kept == 0


@dataclass(frozen=True, eq=False)
class Pruning:
    """The result of a search.

    Attributes
    ----------
    masks : mapping, sequence or array of bool
        True where a weight is kept, in the structure and the shapes of the weights; with ranks,
        of those here.
    method : str
        The method that found them.
    layers : tuple of Layer
        What is left of each tensor; where the weights are pieces, of each whole tensor.
    history : tuple of Step
        What each step did.
    seed : int
        The seed, which the random method draws from.
    schedule : str
        The schedule's name; ``custom`` for a list of the caller's.
    """

    masks: Arrays
    method: str
    layers: tuple[Layer, ...]
    history: tuple[Step, ...]
    seed: int
    schedule: str

    @property
    def size(self) -> int:
        """Number of prunable weights."""
        return sum(layer.size for layer in self.layers)

    @property
    def keep(self) -> int:
        """Number of weights kept."""
        return sum(layer.kept for layer in self.layers)

    @property
    def density(self) -> float:
        """Share of all weights that are kept."""
        return self.keep / self.size

    @property
    def sparsity(self) -> float:
        """Share of all weights that are removed."""
        return 1 - self.density

    @property
    def steps(self) -> int:
        """Number of steps taken."""
        return len(self.history)

    @property
    def degenerate(self) -> bool:
        """Whether positions, not scores, chose some weights of the final masks."""
        return self.history[-1].degenerate

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write masks and history to a safetensors file; see `swiftforce.load`."""
        from swiftforce.masks import save

        save(self, path)

    def __str__(self) -> str:
        """A table of the layers."""
        rows: list[tuple[str, ...]] = [("layer", "shape", "weights", "kept", "density")]
        for layer in self.layers:
            rows.append(_row(layer.name, str(layer.shape), layer.size, layer.kept, layer.density))
        rows.append(_row("all", "", self.size, self.keep, self.density))
        plural = "s" if self.steps > 1 else ""
        return (
            f"{self.method}: {self.keep:,} of {self.size:,} weights kept "
            f"(sparsity {self.sparsity:.4g}), {self.steps} step{plural}\n{plain(rows, left=2)}"
        )

    def __repr__(self) -> str:
        """One line."""
        return f"<Pruning {self.method}: {self.keep} of {self.size} weights kept>"


def _row(name: str, shape: str, size: int, kept: int, density: float) -> tuple[str, ...]:
    return (name, shape, f"{size:,}", f"{kept:,}", f"{density:.4g}")


def step_of(report: dict[str, Any]) -> Step:
    """The step that a report of the core tells of: its entries are the fields."""
    step = object.__new__(Step)
    # What Step(**report) does, at once: a frozen class sets one field after another.
    step.__dict__.update(report)
    return step


def layers_of(tensors: Tensors, step: Step) -> tuple[Layer, ...]:
    """What a step left of each tensor."""
    return tuple(
        [
            Layer(name, array.shape, size, kept)
            for name, array, size, kept in zip(
                tensors.names, tensors.arrays, tensors.sizes, step.layer_kept, strict=True
            )
        ]
    )


def warn_of(
    layers: Sequence[Layer],
    history: Sequence[Step],
    *,
    size: int | None = None,
    free: bool = False,
    stacklevel: int,
) -> None:
    """Warn of what speaks against trusting a mask.

    Parameters
    ----------
    size : int, optional
        How many weights the history counts: those of the layers, or more.
    free : bool
        Whether removed weights may return.
    """
    if size is None:
        size = sum(layer.size for layer in layers)
    degenerate = [step for step in history if step.degenerate]
    if degenerate:
        last = degenerate[-1]
        steps = "the selection" if len(history) == 1 else _steps(degenerate, len(history))
        warnings.warn(
            f"{steps} had fewer weights with a score above zero than to keep: "
            f"{last.arbitrary} of the {last.keep} weights kept "
            f"{'' if len(history) == 1 else f'in step {last.step} '}"
            "have a score of zero and were chosen by their positions",
            DegenerateSaliencyWarning,
            stacklevel=stacklevel,
        )
    collapsed = [layer.name for layer in layers if layer.collapsed]
    if collapsed:
        warnings.warn(
            f"no weight is kept in {', '.join(collapsed)}: nothing passes through",
            LayerCollapseWarning,
            stacklevel=stacklevel,
        )
    if free and len(history) > 1 and _never_had_gradients(history, size):
        warnings.warn(
            f"in none of {len(history)} steps had a removed weight a gradient other than zero, so "
            "none could return: gradients must be dense, at the masked weights but not masked",
            MaskedGradientsWarning,
            stacklevel=stacklevel,
        )


def _never_had_gradients(history: Sequence[Step], size: int) -> bool:
    """Whether at every step all that was removed may have had a score of zero."""
    return not any(step.revived for step in history) and all(
        size > before.keep and step.zero_scores >= size - before.keep
        for before, step in pairwise(history)
    )


def _steps(steps: Sequence[Step], total: int) -> str:
    shown = ", ".join(str(step.step) for step in steps[:5])
    more = ", ..." if len(steps) > 5 else ""
    return f"{len(steps)} of {total} steps ({shown}{more})"
