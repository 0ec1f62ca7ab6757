"""Doing the trials of a comparison, and continuing after an interruption."""

from __future__ import annotations

import os
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swiftforce.comparison import results_file
from swiftforce.comparison.comparison import Comparison
from swiftforce.comparison.rows import NOTES, by_trial, settings_of, with_settings
from swiftforce.comparison.trials import Trial, checked_plan, trials_of
from swiftforce.errors import MeasuresError, RunsFileError, SwiftForceWarning
from swiftforce.show import WorkProgress
from swiftforce.version import __version__

Row = dict[str, Any]


def compare(
    run: Callable[[Trial], Mapping[str, Any]],
    *,
    methods: Sequence[str],
    sparsities: Sequence[float],
    seeds: Sequence[int] = (0, 1, 2),
    path: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    seconds: float = float("inf"),
    progress: bool = True,
) -> Comparison:
    """Compare methods over sparsities and seeds; a comparison that was interrupted goes on.

    Parameters
    ----------
    run : callable
        ``run(trial)`` prunes with ``trial.method``, ``trial.sparsity`` and ``trial.seed``, trains,
        and returns what it measured: a mapping of names to numbers, texts, lists or mappings, or
        None for what a trial has not. All trials return the same names. It may use any framework.
    methods : sequence of str
        Names for `run`, in the order of the tables. ``"dense"`` is run once for each seed, at a
        sparsity of 0, and is in each column of a table.
    sparsities : sequence of float
        Shares of weights to remove, each in [0, 1), in the order of the trials: the most telling
        ones first, so that an unfinished comparison is of use.
    seeds : sequence of int
        Each is a trial of its own, in 0 ... 2**64 - 1.
    path : path, optional
        A CSV file to which the row of each trial is added as it ends. Trials that it already has
        with these settings are not done again. By default the results are in memory alone.
    settings : mapping of str to value, optional
        What else the results depend on, such as the network and the number of epochs: columns of
        each row. A file can hold comparisons of several settings that measure the same.
    seconds : float
        No trial starts after this many seconds; 0 reads the file and does none.
    progress : bool
        Show a bar, and a line for each trial with its first measure and an estimate of the time
        left.

    Returns
    -------
    Comparison

    Raises
    ------
    UnknownNameError
        If there is nothing to compare.
    SparsityError, SeedError
    MeasuresError
        If `run` returns no mapping, or a name or a value that a row cannot hold.
    RunsFileError
        If the file has other columns, or is none of a comparison.
    OSError
        If the file cannot be read or written.

    Notes
    -----
    Warnings of swiftforce during a trial are in its row, in the column ``warnings``. What `run`
    raises ends the comparison; the trials before it are in the file.

    Examples
    --------
    >>> import swiftforce as sf
    >>> def run(trial):
    ...     return {"accuracy": 0.9 - trial.sparsity / (10 if trial.method == "force" else 5)}
    >>> found = sf.compare(
    ...     run, methods=["force", "snip"], sparsities=[0.9, 0.99], seeds=[0, 1], progress=False
    ... )
    >>> print(found.table("accuracy", scale=100, decimals=1))
    method        90 %        99 %
    FORCE   81.0 ± 0.0  80.1 ± 0.0
    SNIP    72.0 ± 0.0  70.2 ± 0.0
    """
    start = time.monotonic()
    plan = checked_plan(methods, sparsities, seeds)
    trials = trials_of(*plan)
    fixed = _checked(dict(settings or {}), "settings")
    done = {} if path is None else _finished(path, fixed, trials)
    missing = [trial for trial in trials if trial not in done]
    if path is not None and missing and seconds > 0:
        results_file.check_writable(path)
    with WorkProgress(len(missing), shown=None if progress else False) as work:
        for trial in missing:
            if time.monotonic() - start >= seconds:
                break
            work.begin(str(trial))
            try:
                row = _ordered(_row(run, trial, fixed), trial, done)
            except Exception as error:
                error.add_note(f"in the trial of {trial}")
                raise
            if path is not None:
                results_file.append(path, row)
            done[trial] = row
            work.advance()
            work.say(_line(trial, done, len(trials)))
    return Comparison(tuple(done[trial] for trial in trials if trial in done), *plan)


def _finished(
    path: str | os.PathLike[str], settings: Row, trials: Sequence[Trial]
) -> dict[Trial, Row]:
    """The rows of a file that have these settings, by trial.

    Raises
    ------
    RunsFileError, OSError
    """
    rows = results_file.read(path)
    for row in rows[:1]:
        found = settings_of(row)
        if set(found) != set(settings):
            raise RunsFileError(
                f"{os.fspath(path)!r} has other settings: {', '.join(found) or 'none'}, and this "
                f"comparison has {', '.join(settings) or 'none'}; give another path"
            )
    wanted = set(trials)
    done = by_trial(with_settings(rows, settings))
    return {trial: row for trial, row in done.items() if trial in wanted}


def _row(run: Callable[[Trial], Mapping[str, Any]], trial: Trial, settings: Row) -> Row:
    """Do a trial; its results as a row.

    Raises
    ------
    MeasuresError
    """
    began = time.monotonic()
    ours: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SwiftForceWarning)
            measured = run(trial)
    finally:
        for each in caught:
            if issubclass(each.category, SwiftForceWarning):
                ours.append(str(each.message))
            else:
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    spent = round(time.monotonic() - began, 3)
    if not isinstance(measured, Mapping) or not measured:
        raise MeasuresError(
            f"{trial}: a trial must return its measures as a mapping of names to values, "
            f"not {measured!r}: for example {{'accuracy': 0.9}}"
        )
    key = dict(zip(results_file.TRIAL, (trial.method, trial.sparsity, trial.seed), strict=True))
    measures = _checked(dict(measured), str(trial), taken=settings)
    notes = (ours, spent, __version__)
    return {**settings, **key, **measures, **dict(zip(NOTES, notes, strict=True))}


def _checked(values: Row, what: str, taken: Mapping[str, Any] | None = None) -> Row:
    """Values that a row can hold, as they come back from a file.

    Raises
    ------
    MeasuresError
    """
    reserved = {*results_file.TRIAL, *NOTES, *(taken or {})}
    for name in values:
        if not isinstance(name, str) or not (name and name.isprintable()) or name in reserved:
            raise MeasuresError(
                f"{what}: {name!r} cannot be the name of a column: pass a text of one line, and "
                f"none of {', '.join(sorted(reserved))}, which are taken"
            )
    checked = {}
    for name, value in values.items():
        try:
            checked[name] = results_file.plain_value(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise MeasuresError(
                f"{what}: {name} is {value!r}, which a row cannot hold ({error}): return a number, "
                "a text, or lists and mappings of them"
            ) from None
    return checked


def _ordered(row: Row, trial: Trial, done: Mapping[Trial, Row]) -> Row:
    """A row with its columns in the order of the first one.

    Raises
    ------
    MeasuresError
        If a trial measured something else than the first.
    """
    first = next(iter(done.values()), row)
    if differ := sorted(set(first) ^ set(row)):
        raise MeasuresError(
            f"{trial} measured something else than the trials before it: {', '.join(differ)} is in "
            "one and not in the other; return the same names, with None for what a trial has not, "
            "or give another path for a new measure"
        )
    return {name: row[name] for name in first}


def _line(trial: Trial, done: Mapping[Trial, Row], total: int) -> str:
    row = done[trial]
    names = list(row)[list(row).index("seed") + 1 :]
    name = next((one for one in names if isinstance(row[one], (int, float))), names[0])
    value = row[name]
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    parts = [f"{trial}: {name} {shown}", f"{len(done)} of {total} trials"]
    if row["warnings"]:
        count = len(row["warnings"])
        parts.insert(1, f"{count} warning{'s' if count > 1 else ''}")
    if len(done) < total:
        mean = statistics.fmean(row["seconds"] for row in done.values())
        parts.append(f"about {duration(mean * (total - len(done)))} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time in words.

    Examples
    --------
    >>> [duration(seconds) for seconds in (7.6, 200, 9000)]
    ['8 s', '3 min', '2 h 30 min']
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
