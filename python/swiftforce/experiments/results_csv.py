"""Results of runs in a CSV file: one line per run, appended as the run ends."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from swiftforce.errors import RunsFileError
from swiftforce.experiments.runs import Result, Run
from swiftforce.files import open_regular

#: The columns that identify a run.
SETTINGS = tuple(field.name for field in fields(Run))

_NUMBERS: dict[str, Callable[[str], Any]] = {
    "keep": int,
    "accuracy": float,
    "loss": float,
    "train_accuracy": float,
    "search_seconds": float,
    "train_seconds": float,
}
_JSON = ("empty_layers", "density", "removed", "revived", "warnings", "versions")

#: All columns, in order.
COLUMNS = (*SETTINGS, *_NUMBERS, *_JSON)

_TYPES: Mapping[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str}
_SETTING_TYPES = {field.name: _TYPES[str(field.type)] for field in fields(Run)}


def read(path: str | os.PathLike[str]) -> list[Result]:
    """Results of a file, in order; an empty list if there is no such file.

    A last line without a line break is ignored: writing it was interrupted.

    Raises
    ------
    RunsFileError
        If the file does not hold results, or a complete line cannot be read.
    OSError
    """
    target = Path(path)
    try:
        with open_regular(target) as file:
            content = file.read()
    except FileNotFoundError:
        return []
    text = content[: _complete_length(content, target)].decode(errors="replace")
    rows = csv.reader(io.StringIO(text, newline=""))
    next(rows, None)
    results = []
    try:
        for row in rows:
            results.append(_result(row))
    except _DAMAGE as error:
        raise RunsFileError(f"{str(target)!r}, line {rows.line_num}: {error}") from None
    return results


def append(path: str | os.PathLike[str], result: Result) -> None:
    """Append a result to a file, which is created if it does not exist, and flush it to disk.

    An incomplete last line is overwritten.

    Raises
    ------
    RunsFileError
        If the file does not hold results; it is not changed.
    OSError
    """
    target = Path(path)
    with target.open("a+b") as file:
        file.seek(0)
        complete = _complete_length(file.read(), target)
        file.truncate(complete)
        file.write((b"" if complete else _HEADING) + _line(_row(result)))
        file.flush()
        os.fsync(file.fileno())


#: What the conversions of cells raise.
_DAMAGE = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError),
    *(TypeError, ValueError, csv.Error),
)


def _complete_length(content: bytes, path: Path) -> int:
    """Length of the complete lines. Raises RunsFileError if the file does not hold results."""
    complete = content.rfind(b"\n") + 1
    if content.startswith(_HEADING) or (not complete and _HEADING.startswith(content)):
        return complete
    raise RunsFileError(
        f"{str(path)!r} is not a file of runs: it does not begin with the columns "
        f"{', '.join(COLUMNS)}; give another path"
    )


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


_HEADING = _line(list(COLUMNS))


def _row(result: Result) -> list[str]:
    # JSON escapes line breaks, so each row is one line of the file.
    return [
        *(_plain(getattr(result.run, name)) for name in SETTINGS),
        *(_plain(getattr(result, name)) for name in _NUMBERS),
        *(_json(getattr(result, name)) for name in _JSON),
    ]


def _plain(value: object) -> str:
    return repr(float(value)) if isinstance(value, float) else str(value)


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def _result(row: list[str]) -> Result:
    if len(row) != len(COLUMNS):
        raise ValueError(f"{len(row)} cells where there are {len(COLUMNS)} columns")
    cells = dict(zip(COLUMNS, row, strict=True))
    numbers = {name: convert(cells[name]) for name, convert in _NUMBERS.items()}
    return Result(
        run=Run(**{name: convert(cells[name]) for name, convert in _SETTING_TYPES.items()}),
        **numbers,
        density={str(name): float(share) for name, share in json.loads(cells["density"]).items()},
        removed=tuple(map(int, json.loads(cells["removed"]))),
        revived=tuple(map(int, json.loads(cells["revived"]))),
        warnings=tuple(map(str, json.loads(cells["warnings"]))),
        versions=dict(json.loads(cells["versions"])),
    )
