"""A table of one measure: a row for each method, a column for each sparsity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from swiftforce.errors import HyperparameterError, UnknownNameError
from swiftforce.inputs import integer
from swiftforce.show import tables

#: How the values of several seeds are told besides their mean.
SPREADS: dict[str, Callable[[Sequence[float], int], str]] = {
    "std": lambda values, digits: f" ± {np.std(values, ddof=1):.{digits}f}",
    "range": lambda values, digits: f" ({min(values):.{digits}f} to {max(values):.{digits}f})",
    "none": lambda values, digits: "",
}


@dataclass(frozen=True)
class ComparisonTable:
    """A table of one measure of a `Comparison`, as text, HTML, Markdown or LaTeX.

    Attributes
    ----------
    rows : tuple of tuple of str
        The heading, and a row for each method.
    """

    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        """Aligned columns."""
        return tables.plain(self.rows)

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return tables.html(self.rows)

    def to_markdown(self) -> str:
        """The table as GitHub's Markdown.

        Raises
        ------
        ImportError
            If tabulate is not installed.
        """
        return self._written("github")

    def to_latex(self) -> str:
        """The table as a ``tabular`` of LaTeX, with the rules of the package booktabs.

        Raises
        ------
        ImportError
            If tabulate is not installed.
        """
        return self._written("latex_booktabs")

    def _written(self, style: str) -> str:
        try:
            from tabulate import tabulate
        except ImportError:
            raise ImportError(
                "tables of Markdown and LaTeX need tabulate: pip install 'swiftforce[demo]'"
            ) from None
        heading, *body = self.rows
        alignment = ["left", *("right" for _ in heading[1:])]
        return str(tabulate(body, heading, style, disable_numparse=True, colalign=alignment))


def cell(values: Sequence[float], seeds: int, *, spread: str, decimals: int) -> str:
    """The mean of the values of some seeds, and their spread.

    Parameters
    ----------
    values : sequence of float
    seeds : int
        How many values there will be: a cell of fewer says so.
    spread : str
        One of `SPREADS`.
    decimals : int
    """
    if not values:
        return "-"
    with np.errstate(invalid="ignore"):  # infinity less infinity
        text = f"{np.mean(values):.{decimals}f}"
        if len(values) > 1:
            text += SPREADS[spread](values, decimals)
    return text if len(values) == seeds else f"{text} [{len(values)}/{seeds} seeds]"


def check_form(spread: str, scale: float, decimals: int) -> None:
    """Refuse a form that tables do not have.

    Raises
    ------
    UnknownNameError, HyperparameterError
    """
    if not isinstance(spread, str) or spread not in SPREADS:
        raise UnknownNameError(f"there is no spread {spread!r}; there are: {', '.join(SPREADS)}")
    if isinstance(scale, bool) or not isinstance(scale, Real):
        raise HyperparameterError(f"scale must be a number, such as 100 for percent, not {scale!r}")
    if integer(decimals, "decimals", HyperparameterError) < 0:
        raise HyperparameterError(f"decimals must be at least 0, not {decimals}")
