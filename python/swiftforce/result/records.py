"""What a search found and how, as plain data: steps, layers, and the whole result."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from swiftforce.inputs import Allocation, Pattern, TensorValues
from swiftforce.result.layers import Layer, Layers
from swiftforce.result.zero_scores import ZeroScores

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
        Number of weights kept, exactly.
    candidates : int
        Number of weights that could be kept.
    removed, revived : int
        Weights that were kept before and are not now; that were not and are now.
    zero_scores : int
        Candidates whose own score of this step is zero, before momentum, factor and cost.
    at_threshold, kept_at_threshold : int
        Candidates whose score equals the threshold, and how many of them are kept.
    arbitrary : int
        Weights with a score of zero that are kept while others with a score of zero are not: they
        were chosen by their positions. If there are any, do not trust the mask of this step.
    kept_by_floors, removed_by_caps : int
        Weights that floors kept although their scores are below the one that decided among all, and
        weights that caps removed although theirs are above it. 0 where no such score decided.
    passes : int
        How often weights and gradients were read to find the mask: once, unless a sample cannot
        bracket the threshold; twice where there are fewer than 4,096 of them. Three times where
        `swiftforce.torch` selects on another device than the CPU, or five times in float64.
    threshold : float
        The smallest kept score; with a pattern, of a unit; with costs, of score / cost, as in the
        two sums below.
    saliency : float
        Sum of the kept scores. With momentum they are sums over the steps so far, which grow to
        at most ``1 / (1 - momentum)`` times the scores of a step; those of removed weights are
        multiplied by the factor. `objective` is comparable between steps and searches.
    total_saliency : float
        Sum of the scores of all candidates.
    gradient_norm : float
        Euclidean norm of all gradients; 0 where the method reads none.
    objective : float, optional
        The objective of FORCE at the masks of this step, by the gradients of the step after it:
        ``S(c)``, the sum of ``| w_i dL/dw_i (w * c) |`` over the kept weights. For ``grasp_it`` the
        sum of squared gradients instead. None while no gradients were taken at these masks, as in
        the last step, unless the search was asked for its objective.
    layer_kept : tuple of int
        Weights kept of each tensor, as passed. With ranks, of the tensors on this rank, or of whole
        tensors if these are pieces; all other fields are of all ranks.
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
    objective: float | None = None
    kept_by_floors: int = 0
    removed_by_caps: int = 0

    @property
    def degenerate(self) -> bool:
        """Whether some of the kept weights were chosen by their positions, not their scores."""
        return self.arbitrary > 0


@dataclass(frozen=True)
class Damping:
    """What keeps a search from replacing most of its mask in each step.

    Attributes
    ----------
    momentum : float
        Factor of the scores accumulated so far; 0: scores are not accumulated.
    removed_factor : float
        Factor of the scores of removed weights; 0: they do not return.
    nested_from : int, optional
        The first step from which removed weights do not return.
    """

    momentum: float = 0.0
    removed_factor: float = 1.0
    nested_from: int | None = None

    def __str__(self) -> str:
        """The settings that are not the defaults, with all digits; empty if all are."""
        parts = {
            f"momentum {self.momentum!r}": self.momentum > 0,
            f"removed factor {self.removed_factor!r}": self.removed_factor < 1,
            f"nested from step {self.nested_from}": self.nested_from is not None,
        }
        return ", ".join(part for part, is_set in parts.items() if is_set)


UNDAMPED = Damping()


@dataclass(frozen=True)
class Scope:
    """What part of a model was searched.

    A *matrix* here is an array of two or more dimensions that products or convolutions use; tables
    of embeddings are none.

    Attributes
    ----------
    searched : int
        Number of elements of the matrices that were searched.
    matrices : int
        Number of elements of all matrices of the model.
    by_pattern : int
        Of those, how many the caller's patterns left out.
    parameters : int
        Number of elements of all parameters of the model.
    largest : tuple of (str, int, str)
        The largest matrices that the patterns did not leave out and that were not searched all the
        same: name, number of elements, and why.
    """

    searched: int
    matrices: int
    by_pattern: int
    parameters: int
    largest: tuple[tuple[str, int, str], ...] = ()

    @property
    def share(self) -> float:
        """Share of the elements of all matrices that was searched; 1 if there are none."""
        return self.searched / self.matrices if self.matrices else 1.0

    @property
    def is_small(self) -> bool:
        """Whether less than half was searched of what the patterns did not leave out."""
        return 2 * self.searched < self.matrices - self.by_pattern


@dataclass(frozen=True, eq=False)
class PruningRecord(Generic[Masks_co]):
    """What a search found, as plain data: `Pruning` adds methods that show and save it.

    Attributes
    ----------
    masks : mapping, sequence or array of bool
        True where a weight is kept, in the structure and the shapes of the weights. With ranks,
        the masks of the weights on this rank.
    method : str
        The method that found the masks.
    layers : tuple of Layer
        How many weights of each tensor are kept. With pieces of tensors, of each whole tensor.
    history : tuple of Step
        What each step did.
    seed : int
        The seed of the random method.
    schedule : str
        The name of the schedule; ``custom`` if the caller passed a list.
    scope : Scope, optional
        What part of the model was searched; None where only weights were given.
    zeros : ZeroScores, optional
        Tensors whose every score was zero at the first step, and the tensors of zeros that cause
        it; None where this is not known.
    damping : Damping
        What kept the search from replacing most of its mask in each step.
    saliency, rule : str
        How weights were scored, and which competed in the next step, if the caller chose other than
        those of the method; else empty.
    allocation : Allocation, optional
        How the kept weights were shared out; None if scores alone decided.
    pattern : Pattern, optional
        Which weights lived or died together; None if each alone.
    """

    masks: Masks_co
    method: str
    layers: tuple[Layer, ...]
    history: tuple[Step, ...]
    seed: int
    schedule: str
    scope: Scope | None = None
    zeros: ZeroScores | None = None
    damping: Damping = UNDAMPED
    saliency: str = ""
    rule: str = ""
    allocation: Allocation | None = None
    pattern: Pattern | None = None

    @classmethod
    def with_layers(cls, layers: Layers, **given: Any) -> Self:  # noqa: ANN401 - of any field
        """A record whose layers are made when they are first read.

        Parameters
        ----------
        layers : Layers
        given : optional
            All other fields that have no defaults, and any that have.
        """
        record = object.__new__(cls)
        # As in step_of: a frozen class sets its fields one by one.
        defaults = _defaults(cls)  # type: ignore[arg-type]
        record.__dict__.update(defaults, _layers=layers, **given)
        return record

    if not TYPE_CHECKING:  # To type checkers it is a field like the others.

        def __getattr__(self, name: str) -> tuple[Layer, ...]:
            """The layers, when they are first read; called for what the record does not have."""
            own = self.__dict__
            if name != "layers" or "_layers" not in own:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return own.setdefault("layers", own["_layers"].records)

    def __getstate__(self) -> dict[str, Any]:
        """All that the record has, with its layers made."""
        state = {**vars(self), "layers": self.layers}
        state.pop("_layers", None)
        return state

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
        """Share of all weights that are kept; 1 if there are none, as on a rank without tensors."""
        return self.keep / self.size if self.size else 1.0

    @property
    def sparsity(self) -> float:
        """Share of all weights that are removed."""
        return 1 - self.density

    @property
    def cost_sparsity(self) -> float | None:
        """Share of what all weights cost that is removed; None without costs: see `Allocation`."""
        if self.allocation is None or self.allocation.cost is None or not self.size:
            return None
        costs = TensorValues(self.allocation, [layer.name for layer in self.layers])
        pairs = [(layer, int(costs.get("cost", layer.name))) for layer in self.layers]
        kept = sum(layer.kept * cost for layer, cost in pairs)
        return 1 - kept / sum(layer.size * cost for layer, cost in pairs)

    @property
    def model_sparsity(self) -> float | None:
        """Share of all parameters of the model that is removed; None if there is no model."""
        return None if self.scope is None else (self.size - self.keep) / self.scope.parameters

    @property
    def steps(self) -> int:
        """Number of steps taken."""
        return len(self.history)

    @property
    def objective(self) -> float | None:
        """The objective of FORCE at the masks, if the search was asked for it; see `Step`."""
        return self.history[-1].objective

    @property
    def degenerate(self) -> bool:
        """Whether some weights of the final masks were chosen by their positions."""
        return self.history[-1].degenerate


def fields_of(record: PruningRecord[Any]) -> dict[str, Any]:
    """The fields of a record by name, without copies."""
    return {one.name: getattr(record, one.name) for one in fields(record)}


def masks_of(masks: PruningRecord[Any] | Any) -> Any:  # noqa: ANN401 - of any structure
    """The masks of a result, or masks as they are."""
    return masks.masks if isinstance(masks, PruningRecord) else masks


@cache
def _defaults(kind: type[Any]) -> dict[str, Any]:
    """The fields of a record that have defaults."""
    return {one.name: one.default for one in fields(kind) if one.default is not MISSING}


def step_of(report: dict[str, Any]) -> Step:
    """The step of a report of the core, whose entries have the names of the fields."""
    report.pop("objective_before", None)
    step = object.__new__(Step)
    # Faster than Step(**report): a frozen class sets its fields one by one.
    step.__dict__.update({"objective": None, **report})
    return step
