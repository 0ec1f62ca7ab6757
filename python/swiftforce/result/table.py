"""The table of a result: as plain text, and as rich prints it with bars and colours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from swiftforce.result import trust
from swiftforce.result.layers import Layer
from swiftforce.result.records import PruningRecord
from swiftforce.result.summary import DensityScale, headline, percent, rounded, search_summary
from swiftforce.show import tables

#: The most and the least characters of a bar on a terminal; with less room there is no bar.
_BAR, _LEAST_BAR = 40, 16

HEADING = ("layer", "shape", "weights", "kept", "density")


def plain_text(pruning: PruningRecord[Any]) -> str:
    """Headline, table of the layers, what the search did, warnings."""
    rows = [HEADING, *(row_of(layer) for layer in pruning.layers), total(pruning)]
    warnings = [f"warning: {tables.printable(text)}" for text in trust.texts(pruning)]
    return "\n".join(
        [headline(pruning), tables.plain(rows, left=2), *search_summary(pruning), *warnings]
    )


def rich_parts(pruning: PruningRecord[Any], width: int) -> Iterator[Any]:
    """What rich prints, one below the other, in `width` characters."""
    from rich.bar import Bar
    from rich.table import Table
    from rich.text import Text

    yield Text(headline(pruning), style="bold")
    rows = [row_of(layer) for layer in pruning.layers]
    foot = total(pruning)
    table = Table(box=None, pad_edge=False, show_footer=True, header_style="bold")
    table.add_column(HEADING[0], foot[0], overflow="fold", footer_style="bold")
    table.add_column(HEADING[1], foot[1], no_wrap=True)
    for name, text in zip(HEADING[2:], foot[2:], strict=True):
        table.add_column(name, text, justify="right", no_wrap=True, footer_style="bold")
    # Bars have the width that names and numbers leave.
    taken = sum(2 + max(map(len, column)) for column in zip(HEADING, foot, *rows, strict=True))
    bar_width = min(_BAR, width - taken)
    scale = DensityScale(pruning)
    if bar_width >= _LEAST_BAR:
        table.add_column(f"{percent(scale.ticks[0])} to 100 %, log", width=bar_width, no_wrap=True)
    for layer, row in zip(pruning.layers, rows, strict=True):
        place = scale.place(layer.density) if layer.size else 0
        bar = Text("nothing is left") if layer.collapsed else Bar(1, 0, place, color="cyan")
        cells = [*map(Text, row), bar][: len(table.columns)]
        table.add_row(*cells, style="bold red" if layer.collapsed else None)
    yield table
    for text in search_summary(pruning):
        yield Text(text)
    for text in trust.texts(pruning):
        yield Text(f"warning: {tables.printable(text)}", style="bold yellow")


def row_of(layer: Layer) -> tuple[str, ...]:
    """A layer under `HEADING`."""
    return (
        tables.printable(layer.name),
        str(layer.shape),
        *_numbers(layer.size, layer.kept, layer.density),
    )


def total(pruning: PruningRecord[Any]) -> tuple[str, ...]:
    """The sum of all layers under `HEADING`."""
    return ("all", "", *_numbers(pruning.size, pruning.keep, pruning.density))


def _numbers(size: int, kept: int, density: float) -> tuple[str, ...]:
    return f"{size:,}", f"{kept:,}", rounded(density)
