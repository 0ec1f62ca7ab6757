"""A result in words: as plain text, and as rich prints it. The card of notebooks says the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from swiftforce.inputs import method_info, methods
from swiftforce.show import tables

if TYPE_CHECKING:
    from swiftforce.report import Layer, Pruning

#: What weights are scored by, for who does not know the names.
_SCORES = {
    "connection_sensitivity": "|weight x gradient|",
    "squared_gradient": "squared gradients",
    "magnitude": "|weight|",
    "random": "random scores",
}

#: Characters that a bar takes on a terminal, and without which there is none.
_BAR, _LEAST_BAR = 40, 16

HEADING = ("layer", "shape", "weights", "kept", "density")


def plain_text(pruning: Pruning) -> str:
    """Headline, table of the layers, what the search did, warnings."""
    rows = [HEADING, *(row_of(layer) for layer in pruning.layers), total(pruning)]
    warnings = [f"warning: {tables.printable(text)}" for text in pruning.warnings]
    return "\n".join([headline(pruning), tables.plain(rows, left=2), *course(pruning), *warnings])


def headline(pruning: Pruning) -> str:
    """What was found, in one line."""
    return (
        f"{pruning.method}: {pruning.keep:,} of {pruning.size:,} weights kept "
        f"(sparsity {shown(pruning.sparsity)}), {pruning.steps} step{'s' * (pruning.steps > 1)}"
    )


def course(pruning: Pruning) -> list[str]:
    """What the search did on the way, and the share of all scores that it kept."""
    told = []
    if pruning.steps > 1:
        first, last = pruning.history[0], pruning.history[-1]
        told.append(
            f"on the way: {removed(pruning):,} removed, {revived(pruning):,} brought back; "
            f"saliency {first.saliency:.4g} -> {last.saliency:.4g}"
        )
    return [*told, *share_of_scores(pruning)]


def removed(pruning: Pruning) -> int:
    """How often a weight was removed, in all steps together."""
    return sum(step.removed for step in pruning.history)


def revived(pruning: Pruning) -> int:
    """How often a weight was brought back, in all steps together."""
    return sum(step.revived for step in pruning.history)


def share_of_scores(pruning: Pruning) -> list[str]:
    """How much of the sum of all scores the kept weights have, where that means something."""
    last = pruning.history[-1]
    # Other scores, those of GraSP, may be below zero.
    if pruning.method not in methods() or not 0 < last.total_saliency < math.inf:
        return []
    score = _SCORES[method_info(pruning.method)["saliency"]]
    # Two sums of many scores, each rounded: what is less than that from all is all.
    share = percent(min(1.0, round(last.saliency / last.total_saliency, 9)))
    when = " in the last step" if pruning.steps > 1 else ""
    return [f"kept weights have {share} of the sum of all {score}{when}"]


def row_of(layer: Layer) -> tuple[str, ...]:
    """A layer under `HEADING`."""
    return (
        tables.printable(layer.name),
        str(layer.shape),
        *_numbers(layer.size, layer.kept, layer.density),
    )


def total(pruning: Pruning) -> tuple[str, ...]:
    """The sum of all layers under `HEADING`."""
    return ("all", "", *_numbers(pruning.size, pruning.keep, pruning.density))


def _numbers(size: int, kept: int, density: float) -> tuple[str, ...]:
    return f"{size:,}", f"{kept:,}", shown(density)


def shown(share: float, *, whole: int = 1, digits: int = 4) -> str:
    """A share to so many digits, or to as many as tell it from the whole."""
    for more in range(digits, 18):
        text = f"{whole * share:.{more}g}"
        if float(text) != whole:
            return text
    return str(whole)


def percent(share: float) -> str:
    """A share in percent, to three digits or as many as tell it from all."""
    return f"{shown(share, whole=100, digits=3)} %"


class Scale:
    """A logarithmic scale for densities, from a power of ten below the least of them to 1.

    Densities of a sparse network are orders of magnitude apart, and those far below the others are
    the ones to see.

    Attributes
    ----------
    decades : int
        How many powers of ten it spans.
    """

    def __init__(self, pruning: Pruning) -> None:
        densities = [layer.density for layer in pruning.layers if layer.kept]
        least = min(pruning.density, *densities)
        self.decades = math.floor(-math.log10(least)) + 1

    def place(self, density: float) -> float:
        """Where a density is, from 0 to 1; 0 where nothing is left."""
        return 1 + math.log10(density) / self.decades if density else 0.0

    @property
    def ticks(self) -> list[float]:
        """The powers of ten, from its beginning to 1."""
        return [10.0**power for power in range(-self.decades, 1)]


def rich_parts(pruning: Pruning, width: int) -> Iterator[Any]:
    """What rich prints, one below the other, in so many columns of characters."""
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
    # Bars have what names and numbers leave.
    taken = sum(2 + max(map(len, column)) for column in zip(HEADING, foot, *rows, strict=True))
    room = min(_BAR, width - taken)
    scale = Scale(pruning)
    if room >= _LEAST_BAR:
        table.add_column(f"{percent(scale.ticks[0])} to 100 %, log", width=room, no_wrap=True)
    for layer, row in zip(pruning.layers, rows, strict=True):
        place = scale.place(layer.density) if layer.size else 0
        bar = Text("nothing is left") if layer.collapsed else Bar(1, 0, place, color="cyan")
        cells = [*map(Text, row), bar][: len(table.columns)]
        table.add_row(*cells, style="bold red" if layer.collapsed else None)
    yield table
    for text in course(pruning):
        yield Text(text)
    for text in pruning.warnings:
        yield Text(f"warning: {tables.printable(text)}", style="bold yellow")
