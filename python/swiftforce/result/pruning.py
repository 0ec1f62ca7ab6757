"""The result of a search as users hold it: a record that shows, saves and explains itself.

The functions that do so are in the modules beside this one, each over plain records; they are
imported when they are first used.
"""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from swiftforce.inputs import Arrays
from swiftforce.result import trust
from swiftforce.result.records import Masks_co, PruningRecord
from swiftforce.show import is_terminal, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure
    from rich.console import ConsoleOptions


@dataclass(frozen=True, eq=False)
class Pruning(PruningRecord[Masks_co]):
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

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against trusting the masks, in words; empty if nothing does."""
        return trust.texts(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write masks and history to a safetensors file; see `swiftforce.load`."""
        from swiftforce.result.mask_files import save

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
            from swiftforce.result.plots import figure_of
        except ImportError as error:
            raise ImportError(f"{error}: pip install 'swiftforce[demo]'") from None
        return figure_of(self)

    def __str__(self) -> str:
        """A table of the layers, what the search did, and warnings.

        With bars where standard output is a terminal and rich is installed. Colours come with
        ``rich.print``; a format string has the plain text in any case.
        """
        return tables.rendered(self) if is_terminal(sys.stdout) else format(self)

    def __format__(self, specification: str) -> str:
        """The plain table."""
        from swiftforce.result.table import plain_text

        return format(plain_text(self), specification)

    def __rich_console__(self, console: object, options: ConsoleOptions) -> Iterator[object]:
        """What rich prints."""
        from swiftforce.result.table import rich_parts

        return rich_parts(self, options.max_width)

    def _repr_html_(self) -> str:
        """The card that notebooks show."""
        from swiftforce.result.card import html_of

        return html_of(self)

    def __repr__(self) -> str:
        """One line."""
        return f"<Pruning {self.method}: {self.keep} of {self.size} weights kept>"


def _told(value: Any) -> Any:  # noqa: ANN401 - of any field
    """A value as JSON has it."""
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load(path: str | os.PathLike[str], weights: Arrays | None = None) -> Pruning[Any]:
    """Read what `Pruning.save` wrote.

    Parameters
    ----------
    path : path
        The file.
    weights : mapping, sequence or array, optional
        Weights that the masks must fit: the same names and shapes, in any order and type.

    Returns
    -------
    Pruning
        With the masks in the structure they were saved in; names are strings.

    Raises
    ------
    MaskFileError
        If the file is damaged, or is not one of swiftforce.
    WeightsDifferError
        If the masks do not fit the weights: the message says which are missing, unknown, or of
        another shape.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be read.
    """
    from swiftforce.result import mask_files

    return Pruning(**vars(mask_files.read(path, weights)))
