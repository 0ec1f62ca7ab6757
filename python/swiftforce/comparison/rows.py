"""Rows of results: which columns are settings, and which row is of which trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from swiftforce.comparison import results_file
from swiftforce.comparison.trials import Trial

#: The columns after those of the measures: texts of warnings, seconds, version of swiftforce.
NOTES = ("warnings", "seconds", "version")


def trial_of(row: Mapping[str, Any]) -> Trial:
    """The trial that a row is of."""
    return Trial(row["method"], row["sparsity"], row["seed"])


def settings_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a row: the columns before those of the trial."""
    names = list(row)
    return {name: row[name] for name in names[: names.index("method")]}


def with_settings(
    rows: Iterable[Mapping[str, Any]], settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The rows that have these settings."""
    wanted = results_file.plain_value(dict(settings))
    return [
        dict(row)
        for row in rows
        if all(
            name in row and results_file.is_same(row[name], value) for name, value in wanted.items()
        )
    ]


def by_trial(rows: Iterable[dict[str, Any]]) -> dict[Trial, dict[str, Any]]:
    """Rows of the same settings by trial: of several rows of one, the last."""
    return {trial_of(row): row for row in rows}
