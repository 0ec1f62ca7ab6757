"""Tables of text: printed by rich on a terminal if it is installed, else plain."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from typing import Any

from swiftforce.errors import printable
from swiftforce.show.environment import is_terminal

Row = Sequence[str]

__all__ = ["html", "plain", "print_result", "printable", "rendered", "show"]


def plain(rows: Sequence[Row], *, left: int = 1) -> str:
    """Rows as aligned columns, whose cells are made `printable`.

    Parameters
    ----------
    rows : sequence of sequence of str
        The first is the heading.
    left : int
        The number of columns that are aligned to the left; the rest are aligned to the right.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if position < left else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def html(rows: Sequence[Row], *, left: int = 1) -> str:
    """Rows as a table of HTML with inline styles: notebooks remove style sheets.

    Parameters
    ----------
    rows : sequence of sequence of str
        The first is the heading.
    left : int
        The number of columns that are aligned to the left; the rest are aligned to the right.
    """
    lines = []
    for number, row in enumerate(rows):
        tag = "td" if number else "th"
        cells = "".join(
            f'<{tag} style="padding:1px 10px 1px 0;border:none;white-space:nowrap;'
            f'text-align:{"left" if position < left else "right"}">{cell}</{tag}>'
            for position, cell in enumerate(escape(printable(cell)) for cell in row)
        )
        lines.append(f'<tr style="background:none">{cells}</tr>')
    style = "border:none;border-collapse:collapse;margin:0;font-size:0.92em;color:inherit"
    return (
        '<div style="max-height:32em;overflow:auto;margin:0.6em 0">'
        f'<table style="{style}">{"".join(lines)}</table></div>'
    )


def _console(**options: Any) -> Any:  # noqa: ANN401 - a class of rich
    """A console of rich; None if rich is not installed."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(**options)


def show(title: str, rows: Sequence[Row], *, left: int = 1) -> None:
    """Print a table to standard output, with a title above."""
    console = _console() if is_terminal(sys.stdout) else None
    if console is None:
        print(f"{title}\n\n{plain(rows, left=left)}")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(title)))
    for position, heading in enumerate(rows[0]):
        table.add_column(Text(heading), justify="left" if position < left else "right")
    for row in rows[1:]:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)


def print_result(value: Any) -> None:  # noqa: ANN401 - with a plain form and one for rich
    """Print a value: in colours on a terminal if rich is installed, else plain."""
    console = _console() if is_terminal(sys.stdout) else None
    if console is None:
        print(format(value))
    else:
        console.print(value)


def rendered(value: Any) -> str:  # noqa: ANN401 - with a plain form and one for rich
    """A value as rich prints it on this terminal, without colours; plain if it is not installed."""
    console = _console(color_system=None)
    if console is None:
        return format(value)
    with console.capture() as captured:
        console.print(value)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
