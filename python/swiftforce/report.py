"""What a search found and how: layers, steps, and the whole result, which shows itself."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from swiftforce.inputs import Arrays, Tensors, method_info, methods
from swiftforce.show import tables
from swiftforce.trust import concerns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure
    from rich.console import ConsoleOptions


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

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against trusting the masks, in words; empty if nothing does."""
        free = self.method in methods() and method_info(self.method)["free"]
        found = concerns(self.layers, self.history, free=free)
        return tuple(concern.text for concern in found)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write masks and history to a safetensors file; see `swiftforce.load`."""
        from swiftforce.masks import save

        save(self, path)

    def to_dict(self) -> dict[str, Any]:
        """All but the masks, as numbers, texts, lists and dicts: for a log of an experiment.

        Sums of scores that are beyond the largest float64 are None, since JSON has no infinity.

        Examples
        --------
        >>> import numpy as np, swiftforce as sf
        >>> found = sf.magnitude({"fc": np.float32([1, -2, 3, 4])}, sparsity=0.5).to_dict()
        >>> found["sparsity"], found["warnings"], found["layers"][0]
        (0.5, [], {'name': 'fc', 'shape': [4], 'size': 4, 'kept': 2, 'density': 0.5})
        >>> found["history"][0]["removed"]
        2
        """
        return {
            "method": self.method,
            "schedule": self.schedule,
            "seed": self.seed,
            "size": self.size,
            "keep": self.keep,
            "sparsity": self.sparsity,
            "steps": self.steps,
            "degenerate": self.degenerate,
            "warnings": list(self.warnings),
            "layers": [
                {**asdict(layer), "shape": list(layer.shape), "density": layer.density}
                for layer in self.layers
            ],
            "history": [
                {name: _told(value) for name, value in asdict(step).items()}
                for step in self.history
            ],
        }

    def to_json(self, *, indent: int | None = None) -> str:
        """`to_dict` as JSON.

        Parameters
        ----------
        indent : int, optional
            Spaces for each level; everything in one line by default.
        """
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    def plot(self) -> Figure:
        """Draw the density of each layer, and for a search of several steps its course.

        Returns
        -------
        matplotlib.figure.Figure
            Shown where it is the value of a notebook's cell; otherwise save it, by ``savefig``.
            It follows matplotlib's style sheets.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        try:
            from swiftforce.pruning_plots import figure_of
        except ImportError as error:
            raise ImportError(f"{error}: pip install 'swiftforce[demo]'") from None
        return figure_of(self)

    def __str__(self) -> str:
        """A table of the layers, what the search did, and warnings.

        With bars where standard output is a terminal and rich is installed. Colours come with
        ``rich.print``; a format string has the plain text in any case.
        """
        return tables.laid_out(self) if tables.is_terminal() else format(self)

    def __format__(self, specification: str) -> str:
        """The plain table."""
        from swiftforce.summary import plain_text

        return format(plain_text(self), specification)

    def __rich_console__(self, console: object, options: ConsoleOptions) -> Iterator[object]:
        """What rich prints."""
        from swiftforce.summary import rich_parts

        return rich_parts(self, options.max_width)

    def _repr_html_(self) -> str:
        """The card that notebooks show."""
        from swiftforce.card import html_of

        return html_of(self)

    def __repr__(self) -> str:
        """One line."""
        return f"<Pruning {self.method}: {self.keep} of {self.size} weights kept>"


def _told(value: Any) -> Any:  # noqa: ANN401 - of any field
    """A value as JSON has it."""
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
