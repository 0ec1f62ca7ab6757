"""What a search found and how, as plain data: steps, layers, and the whole result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from swiftforce.inputs import Tensors

#: The structure of masks: a dict, list or tuple of arrays, one array, or what an adapter returns.
Masks_co = TypeVar("Masks_co", covariant=True)


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
    passes : int
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
    passes: int
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
    """One tensor of weights and what is left of it.

    Attributes
    ----------
    name : str
        As the caller names it, or its position.
    shape : tuple of int
    size, kept : int
        Numbers of weights.
    """

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
class PruningRecord(Generic[Masks_co]):
    """What a search found, as plain data: `Pruning` is a record that can show and save itself.

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

    masks: Masks_co
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


def step_of(report: dict[str, Any]) -> Step:
    """The step that a report of the core tells of: its entries are the fields."""
    step = object.__new__(Step)
    # What Step(**report) does, at once: a frozen class sets one field after another.
    step.__dict__.update(report)
    return step


def saved_step(entries: dict[str, Any]) -> Step:
    """The step that a file has the fields of; version 0.1 called the passes readings."""
    fields = dict(entries)
    if "readings" in fields:
        fields["passes"] = fields.pop("readings")
    return Step(**{**fields, "layer_kept": tuple(fields["layer_kept"])})


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
