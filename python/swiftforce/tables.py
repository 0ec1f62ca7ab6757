"""Tables of text: through rich on a terminal where it is installed, else plain."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

Row = Sequence[str]


def plain(rows: Sequence[Row], *, left: int = 1) -> str:
    """Rows as aligned columns.

    Parameters
    ----------
    rows : sequence of sequence of str
        The first is the heading.
    left : int
        So many columns are aligned to the left, the rest to the right.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if position < left else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def show(title: str, rows: Sequence[Row], *, left: int = 1) -> None:
    """Print a table to standard output, with a title above."""
    if sys.stdout.isatty():
        try:
            from rich.console import Console
            from rich.table import Table
        except ImportError:
            pass
        else:
            table = Table(title=title)
            for position, heading in enumerate(rows[0]):
                table.add_column(heading, justify="left" if position < left else "right")
            for row in rows[1:]:
                table.add_row(*row)
            Console().print(table)
            return
    print(f"{title}\n\n{plain(rows, left=left)}")


def styled(value: Any) -> str:  # noqa: ANN401 - whatever has a plain form and one for rich
    """What rich shows of a value on this terminal; its plain form where rich is not installed."""
    try:
        from rich.console import Console
    except ImportError:
        return format(value)
    console = Console()
    with console.capture() as captured:
        console.print(value)
    return captured.get().rstrip("\n")
