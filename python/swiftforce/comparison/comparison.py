"""What a comparison found, as one row for each trial."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swiftforce.comparison import results_file
from swiftforce.comparison.plots import against_sparsity
from swiftforce.comparison.rows import NOTES, by_trial, settings_of, trial_of, with_settings
from swiftforce.comparison.table import ComparisonTable, cell, check_form
from swiftforce.comparison.trials import DENSE, Trial, checked_plan, trials_of
from swiftforce.errors import RunsFileError, SwiftForceError, UnknownNameError
from swiftforce.files import atomic_write
from swiftforce.show import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


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
        if not Path(path).exists():
            raise FileNotFoundError(f"there is no file {os.fspath(path)!r}")
        same = with_settings(results_file.read(path), wanted)
        if not same:
            asked = "".join(f" with {name} {value!r}" for name, value in wanted.items())
            raise RunsFileError(f"{os.fspath(path)!r} holds no results{asked}")
        kinds = {repr(settings_of(row)): settings_of(row) for row in same}
        if len(kinds) > 1:
            first, second, *_ = kinds.values()
            differ = [name for name in first if repr(first[name]) != repr(second[name])]
            raise RunsFileError(
                f"{os.fspath(path)!r} holds results of several settings: choose by {differ}, such "
                f"as settings={{{differ[0]!r}: {first[differ[0]]!r}}}"
            )
        rows = by_trial(same)
        pruned = [trial.sparsity for trial in rows if not trial.is_dense]
        try:
            plan = checked_plan([t.method for t in rows], pruned, [t.seed for t in rows])
        except SwiftForceError as error:
            raise RunsFileError(f"{os.fspath(path)!r} is damaged: {error}") from None
        return cls(tuple(rows.values()), *plan)

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what was measured, in the order of the columns."""
        names = list(self.rows[0]) if self.rows else []
        first = names.index("seed") + 1 if names else 0
        return tuple(name for name in names[first:] if name not in NOTES)

    @property
    def _first_number(self) -> str:
        """The first measure that is a number in some row; empty if there is none."""
        return next(
            (
                name
                for name in self.measures
                if any(isinstance(row[name], (int, float)) for row in self.rows)
            ),
            "",
        )

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
        return tuple(
            f"{trial_of(row)}: {text}" for row in self.rows for text in row.get("warnings", ())
        )

    def values(self, measure: str, method: str, sparsity: float) -> list[float]:
        """The values of a measure, by seed; those that a trial left out are missing.

        Parameters
        ----------
        measure, method : str
        sparsity : float
            For the dense network, any.

        Returns
        -------
        list of float
            Empty if no trial of these is done.

        Raises
        ------
        UnknownNameError
            If there is no such measure, or a value of it is no number.
        """
        if self.rows and measure and measure not in self.measures:
            raise UnknownNameError(
                f"there is no measure {measure!r}; there are: {', '.join(self.measures)}"
            )
        chosen = [
            row.get(measure)
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
            By default the first that is a number.
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
            If there is no such measure or spread, or a value is no number.
        HyperparameterError
            If `scale` is no number, or `decimals` is negative.
        """
        check_form(spread, scale, decimals)
        name = self._first_number if measure is None else measure
        shares = sorted(self.sparsities) or [0.0]
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
        scale: float = 100.0,
        title: str = "",
        chance: float | None = None,
    ) -> Figure:
        """Draw a measure against sparsity: means, and bands from least to greatest.

        Parameters
        ----------
        measure : str
        scale : float
            Factor of all values; with 100, as by default, they are percent.
        title : str
        chance : float, optional
            Value of guessing, drawn as a dotted line.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        UnknownNameError
            If there is no such measure, or no trial has it.
        """
        spreads = {
            method: {
                share: values
                for share in self.sparsities
                if (values := self.values(measure, method, share))
            }
            for method in self.methods
        }
        if DENSE in self.methods:
            spreads[DENSE] = {0.0: self.values(measure, DENSE, 0.0)}
        drawn = {method: spread for method, spread in spreads.items() if any(spread.values())}
        if not drawn:
            raise UnknownNameError(f"no trial has measured {measure}: there is nothing to draw")
        label = f"{measure}, %" if scale == 100 else measure
        scaled = {
            method: {share: [scale * value for value in values] for share, values in spread.items()}
            for method, spread in drawn.items()
        }
        line = None if chance is None else scale * chance
        return against_sparsity(scaled, title=title, label=label, chance=line)

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
        lines = [f"{self._first_number or 'no results'}: mean over seeds", str(self.table())]
        if done < total:
            lines.append(f"{total - done} of {total} trials are missing")
        warned = sum(bool(row.get("warnings")) for row in self.rows)
        if warned:
            lines.append(f"{warned} of {done} trials warned: see .warnings")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What notebooks show."""
        heading, *_ = str(self).split("\n")
        return f"<p>{heading}</p>{self.table()._repr_html_()}"
