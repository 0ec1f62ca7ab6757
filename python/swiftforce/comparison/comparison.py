"""What a comparison found, as one row for each trial."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swiftforce.comparison import results_file
from swiftforce.comparison.plots import accuracy_against_sparsity
from swiftforce.comparison.table import ComparisonTable, cell, check_spread
from swiftforce.comparison.trials import DENSE, Trial, checked_plan, trials_of
from swiftforce.errors import RunsFileError, UnknownNameError
from swiftforce.files import atomic_write
from swiftforce.show import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

#: The columns after those of the measures: texts of warnings, seconds, version of swiftforce.
NOTES = ("warnings", "seconds", "version")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results of trials, one row each, and the tables and pictures of them.

    Attributes
    ----------
    rows : tuple of mapping of str to value
        In the order of the trials: the settings, ``method``, ``sparsity``, ``seed``, the measures,
        ``warnings`` (list of texts), ``seconds`` and ``version``.
    methods : tuple of str
    sparsities : tuple of float
    seeds : tuple of int
        What is compared, finished or not.

    See Also
    --------
    compare : Does the trials.
    """

    rows: tuple[Mapping[str, Any], ...]
    methods: tuple[str, ...]
    sparsities: tuple[float, ...]
    seeds: tuple[int, ...]

    @classmethod
    def read_csv(
        cls, path: str | os.PathLike[str], settings: Mapping[str, Any] | None = None
    ) -> Comparison:
        """The comparison in a file that `compare` or `to_csv` wrote.

        Parameters
        ----------
        path : path
            The file.
        settings : mapping of str to value, optional
            Only rows with these values are read, for files that hold several comparisons.

        Raises
        ------
        RunsFileError
            If the file holds no such row, or is none of a comparison.
        OSError
        """
        wanted = dict(settings or {})
        rows = [row for row in results_file.read(path) if wanted.items() <= _plain(row).items()]
        if not rows:
            asked = "".join(f" with {name} {value!r}" for name, value in wanted.items())
            raise RunsFileError(f"{os.fspath(path)!r} holds no results{asked}")
        found = [Trial(row["method"], row["sparsity"], row["seed"]) for row in rows]
        pruned = [each.sparsity for each in found if not each.is_dense]
        methods, seeds = [each.method for each in found], [each.seed for each in found]
        return cls(tuple(rows), *checked_plan(methods, pruned, seeds))

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what was measured, in the order of the columns."""
        names = list(self.rows[0]) if self.rows else []
        first = names.index("seed") + 1 if names else 0
        return tuple(name for name in names[first:] if name not in NOTES)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, finished or not, in their order."""
        return tuple(trials_of(self.methods, self.sparsities, self.seeds))

    @property
    def is_complete(self) -> bool:
        """Whether every trial has a row."""
        return len(self.rows) == len(self.trials)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Each warning of each trial, with the trial before it."""
        return tuple(f"{trial_of(row)}: {text}" for row in self.rows for text in row["warnings"])

    def values(self, measure: str, method: str, sparsity: float) -> list[float]:
        """The values of a measure, by seed; those that a trial left out are missing.

        Parameters
        ----------
        measure, method : str
        sparsity : float
            For the dense network, any.

        Raises
        ------
        UnknownNameError
            If there is no such measure, or a value of it is no number.
        """
        if self.rows and measure not in self.measures:
            raise UnknownNameError(
                f"there is no measure {measure!r}; there are: {', '.join(self.measures)}"
            )
        chosen = [
            row[measure]
            for row in self.rows
            if row["method"] == method and (method == DENSE or row["sparsity"] == sparsity)
        ]
        for value in chosen:
            if not isinstance(value, (int, float, type(None))):
                raise UnknownNameError(f"{measure} is no number: {method} has {value!r}")
        return [float(value) for value in chosen if value is not None]

    def table(
        self,
        measure: str | None = None,
        *,
        scale: float = 1.0,
        decimals: int = 3,
        spread: str = "std",
    ) -> ComparisonTable:
        """The mean of a measure over the seeds, and its spread.

        Parameters
        ----------
        measure : str, optional
            By default the first.
        scale : float
            Factor of all values: 100 for percent.
        decimals : int
        spread : str
            ``"std"``, the sample standard deviation; ``"range"``, least and greatest value; or
            ``"none"``.

        Returns
        -------
        ComparisonTable
            A row for each method, a column for each sparsity. The dense network has the same
            values in each column. A cell that not all seeds have reached says how many have.

        Raises
        ------
        UnknownNameError
        """
        check_spread(spread)
        name = measure if measure is not None else next(iter(self.measures), "")
        shares = sorted(self.sparsities)
        seeds = len(self.seeds)
        rows = [("method", *(f"{100 * share:.6g} %" for share in shares))]
        for method in self.methods:
            cells = []
            for share in shares:
                values = [scale * value for value in self.values(name, method, share)]
                cells.append(cell(values, seeds, spread=spread, decimals=decimals))
            rows.append((plots.style(method).label, *cells))
        return ComparisonTable(tuple(rows))

    def plot(
        self,
        measure: str = "accuracy",
        *,
        title: str = "",
        chance: float | None = None,
    ) -> Figure:
        """Draw a measure in percent against sparsity: means, and bands from least to greatest.

        Parameters
        ----------
        measure : str
            Values in [0, 1].
        title : str
        chance : float, optional
            Value of guessing, drawn as a dotted line.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        UnknownNameError
        """
        spreads = {
            method: {
                share: values
                for share in self.sparsities
                if (values := self.values(measure, method, share))
            }
            for method in self.methods
        }
        drawn = {method: spread for method, spread in spreads.items() if spread}
        return accuracy_against_sparsity(drawn, title=title, label=measure, chance=chance)

    def to_pandas(self) -> DataFrame:
        """The rows as a table of pandas, tidy: one trial a row, one variable a column.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise ImportError("to_pandas needs pandas: pip install pandas") from None
        return DataFrame([dict(row) for row in self.rows])

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows to a file, which is replaced; `compare` can go on with it.

        Parameters
        ----------
        path : path
            The file.

        Raises
        ------
        RunsFileError
            If there are no rows.
        OSError
        """
        if not self.rows:
            raise RunsFileError("there are no results to write")
        with atomic_write(path) as temporary:
            temporary.write_bytes(results_file.text_of(self.rows))

    def __str__(self) -> str:
        """The table of the first measure, what is missing, and how many trials warned."""
        total, done = len(self.trials), len(self.rows)
        lines = [f"{next(iter(self.measures), 'no results')}: mean over seeds", str(self.table())]
        if done < total:
            lines.append(f"{total - done} of {total} trials are missing")
        warned = sum(bool(row["warnings"]) for row in self.rows)
        if warned:
            lines.append(f"{warned} of {done} trials warned: see .warnings")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What notebooks show."""
        heading, *_ = str(self).split("\n")
        return f"<p>{heading}</p>{self.table()._repr_html_()}"


def trial_of(row: Mapping[str, Any]) -> Trial:
    """The trial that a row is of."""
    return Trial(row["method"], row["sparsity"], row["seed"])


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row that can be looked up in a set."""
    return {name: value for name, value in row.items() if not isinstance(value, (list, dict))}
