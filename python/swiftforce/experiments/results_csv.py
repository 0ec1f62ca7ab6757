"""Results of runs in a CSV file that grows by a line with each run, and survives being cut off."""

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

#: The columns that say which run it is: two lines that agree in them are of one run.
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

#: All columns, in the order of the file.
COLUMNS = (*SETTINGS, *_NUMBERS, *_JSON)

_TYPES: Mapping[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str}
_SETTING_TYPES = {field.name: _TYPES[str(field.type)] for field in fields(Run)}


def read(path: str | os.PathLike[str]) -> list[Result]:
    """Results of a file, in its order; none where there is no such file.

    A last line that does not end was torn off as it was written, and is left out.

    Raises
    ------
    RunsFileError
        If the file is of another kind, or a whole line of it cannot be read.
    OSError
    """
    target = Path(path)
    if not target.exists():
        return []
    content = target.read_bytes()
    text = content[: _whole(content, target)].decode(errors="replace")
    rows = csv.reader(io.StringIO(text, newline=""))
    next(rows, None)
    results = []
    try:
        for row in rows:
            results.append(_result(row))
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise RunsFileError(f"{str(target)!r}, line {rows.line_num}: {error}") from None
    return results


def append(path: str | os.PathLike[str], result: Result) -> None:
    """Add a result to a file, which is made if it is not there; on the disk when this returns.

    A line that was torn off before gives way.

    Raises
    ------
    RunsFileError
        If the file is of another kind; it stays as it is.
    OSError
    """
    target = Path(path)
    with target.open("a+b") as file:
        file.seek(0)
        whole = _whole(file.read(), target)
        file.truncate(whole)
        file.write((b"" if whole else _HEADING) + _line(_row(result)))
        file.flush()
        os.fsync(file.fileno())


def _whole(content: bytes, path: Path) -> int:
    """Length of the lines that end; refuses what is not a file of runs."""
    whole = content.rfind(b"\n") + 1
    if content.startswith(_HEADING) or (not whole and _HEADING.startswith(content)):
        return whole
    raise RunsFileError(
        f"{str(path)!r} is not a file of runs: it does not begin with the columns "
        f"{', '.join(COLUMNS)}"
    )


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


_HEADING = _line(list(COLUMNS))


def _row(result: Result) -> list[str]:
    # JSON of a text has no line breaks, so a line of the file is a row.
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
