"""Rows of a comparison in a CSV file: one line per trial, appended as the trial ends.

A cell holds a number, a text, or anything else as JSON. A text that would be read as something else
is written as JSON, too, so that all values come back as they were.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from swiftforce.errors import RunsFileError
from swiftforce.files import check_folder, open_regular

#: A line of the file: values by column.
Row = Mapping[str, Any]

#: The columns that a trial is known by, and the types of their values.
TRIAL: dict[str, tuple[type, ...]] = {"method": (str,), "sparsity": (float, int), "seed": (int,)}
#: Those that follow the measures.
_NOTES: dict[str, tuple[type, ...]] = {"warnings": (list,), "seconds": (float, int)}


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a file, in order; an empty list if there is no such file.

    A last line without a line break is ignored: writing it was interrupted.

    Raises
    ------
    RunsFileError
        If the file does not hold a comparison, or a complete line cannot be read.
    OSError
    """
    target = Path(path)
    try:
        with open_regular(target) as file:
            content = file.read()
    except FileNotFoundError:
        return []
    return _rows(content, target)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a file that rows cannot be added to, before there is one.

    Raises
    ------
    OSError
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(target.parent)!r} for the results")
    if target.exists():
        with target.open("ab"):
            pass
    else:
        check_folder(target.parent)


def append(path: str | os.PathLike[str], row: Row) -> None:
    """Append a row to a file, which is created if it does not exist, and flush it to disk.

    An incomplete last line is overwritten. Programs that append to the same file wait for each
    other.

    Raises
    ------
    RunsFileError
        If the file does not hold a comparison, or has other columns; it is not changed.
    OSError
    """
    target = Path(path)
    with target.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        content = file.read()
        columns = _columns(content, target)
        if columns and set(columns) != set(row):
            raise RunsFileError(
                f"{str(target)!r} has the columns {', '.join(columns)}, and the new row has "
                f"{', '.join(row)}: give another path"
            )
        file.truncate(_complete_length(content))
        heading = b"" if columns else _line(row)
        file.write(heading + _line(_cell(row[name]) for name in columns or row))
        file.flush()
        os.fsync(file.fileno())


def text_of(rows: Sequence[Row]) -> bytes:
    """The content of a file of one or more rows, which have the same columns in the same order."""
    lines = [_line(map(_cell, row.values())) for row in rows]
    return b"".join([_line(rows[0]), *lines])


def is_same(first: Any, second: Any) -> bool:  # noqa: ANN401 - of any type
    """Whether two values of a cell are the same: NaN is NaN, and True is not 1."""
    return json.dumps(first) == json.dumps(second) or (
        first == second and isinstance(first, bool) is isinstance(second, bool)
    )


def plain_value(value: Any) -> Any:  # noqa: ANN401 - of any type
    """A value as it comes back from a file: numbers of numpy and torch are Python's.

    Raises
    ------
    TypeError, ValueError
        If it has no form in JSON.
    """
    return json.loads(json.dumps(value, default=_python_value))


def _python_value(value: Any) -> Any:  # noqa: ANN401 - of any type
    """The value of a scalar or an array as Python's numbers."""
    convert = getattr(value, "tolist", None)
    if convert is None:
        raise TypeError(f"a value of type {type(value).__name__}")
    return convert()


def _cell(value: Any) -> str:  # noqa: ANN401 - of any type
    if isinstance(value, str) and value.isprintable() and _value(value) == value:
        return value
    # JSON escapes line breaks, so each row is one line of the file.
    return json.dumps(value)


def _value(cell: str) -> Any:  # noqa: ANN401 - of any type
    if not cell:  # what other programs write for a null
        return None
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _line(cells: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _complete_length(content: bytes) -> int:
    """Length of the complete lines."""
    return content.rfind(b"\n") + 1


def _columns(content: bytes, path: Path) -> list[str]:
    """The names of the columns; none if the file is empty."""
    # A program for tables may have put a mark of the encoding before it.
    heading = content[: content.find(b"\n") + 1].decode("utf-8-sig", errors="replace")
    columns = next(csv.reader([heading]), [])
    if content and not set(TRIAL) <= set(columns):
        reason = f"it has no columns {', '.join(TRIAL)}; give another path"
        if ";" in heading:
            reason = "its cells are separated by semicolons; save it with commas"
        raise RunsFileError(f"{str(path)!r} is not a file of runs: {reason}")
    if len(set(columns)) < len(columns):
        raise RunsFileError(f"{str(path)!r} has two columns of one name: {', '.join(columns)}")
    return columns


def _rows(content: bytes, path: Path) -> list[dict[str, Any]]:
    columns = _columns(content, path)
    text = content[: _complete_length(content)].decode(errors="replace")
    lines = csv.reader(io.StringIO(text, newline=""))
    # A cell of what each of many steps did is long. The limit is one of the whole process.
    limit = csv.field_size_limit(max(len(text), 1))
    try:
        next(lines, None)
        rows = [_row(columns, cells) for cells in lines if cells]
    except (ValueError, csv.Error) as error:
        raise RunsFileError(f"{str(path)!r}, line {lines.line_num}: {error}") from None
    finally:
        csv.field_size_limit(limit)
    return rows


def _row(columns: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) != len(columns):
        raise ValueError(f"{len(cells)} cells where there are {len(columns)} columns")
    row = dict(zip(columns, map(_value, cells), strict=True))
    for name, types in {**TRIAL, **_NOTES}.items():
        if name in row and type(row[name]) not in types:
            raise ValueError(f"{name} is {row[name]!r}")
    return row
