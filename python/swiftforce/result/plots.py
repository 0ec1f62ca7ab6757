"""The figure of one result: the density of each layer, and what each step did."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from importlib import import_module
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from swiftforce.result.records import PruningRecord
from swiftforce.result.summary import DensityScale, headline, percent, saliency_name
from swiftforce.show import plots, tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: The most layers that are named below their bars, and the most characters of a name.
_NAMES, _LETTERS = 32, 24

_KEPT, _REMOVED, _WARNING = "#3a86c8", "#8c8c8c", "#d64545"


class NotebookFigure(Figure):
    """A figure that a notebook shows once in a cell, whether or not pyplot was imported."""

    #: The cell that showed it last, and the image.
    _shown: tuple[int, bytes] | None = None

    def show_in_notebook(self) -> None:
        """Show the figure, unless this cell has shown it as it is now."""
        ipython, display = map(import_module, ("IPython", "IPython.display"))
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=110)
        shown = ipython.get_ipython().execution_count, content.getvalue()
        if shown != self._shown:
            self._shown = shown
            display.display(display.Image(shown[1]))

    def _ipython_display_(self) -> None:
        """What IPython calls for the last value of a cell, and for ``display``."""
        self.show_in_notebook()


def figure_of(pruning: PruningRecord[Any]) -> NotebookFigure:
    """Draw the density of each layer and, if there were several steps, what each of them did."""
    several = pruning.steps > 1
    figure = NotebookFigure(figsize=(9.5, 6.4 if several else 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(headline(pruning), fontsize="medium").set_parse_math(False)
    if not several:
        _densities(figure.add_subplot(), pruning)
        return figure
    panels = figure.subplot_mosaic(
        [["densities", "densities"], ["saliency", "churn"]], height_ratios=(1.3, 1)
    )
    _densities(panels["densities"], pruning)
    _saliency(panels["saliency"], pruning)
    _churn(panels["churn"], pruning)
    return figure


def _densities(axes: Axes, pruning: PruningRecord[Any]) -> None:
    """A bar for each layer, and a mark for each that keeps no weight."""
    scale, layers = DensityScale(pruning), pruning.layers
    low = scale.ticks[0]
    axes.set_yscale("log")
    axes.set_ylim(low, 1.15)
    axes.set_yticks(scale.ticks, [percent(tick) for tick in scale.ticks])
    axes.minorticks_off()
    kept = [layer.kept / layer.size if layer.kept else math.nan for layer in layers]
    axes.bar(range(len(layers)), kept, color=plots.style(pruning.method).color or _KEPT)
    axes.axhline(
        pruning.density,
        color=rcParams["text.color"],
        linestyle="--",
        linewidth=1,
        label=f"all: {percent(pruning.density)}",
    )
    if empty := [place for place, layer in enumerate(layers) if layer.collapsed]:
        axes.plot(
            empty,
            [0.03] * len(empty),
            transform=axes.get_xaxis_transform(),
            color=_WARNING,
            marker="x",
            markersize=max(2, min(6, 400 / len(layers))),
            linestyle="",
            label=f"nothing is left: {len(empty)}",
        )
    every = math.ceil(len(layers) / _NAMES)
    places = range(0, len(layers), every)
    names = distinct([tables.printable(layer.name) for layer in layers])[::every]
    crowded = sum(map(len, names)) > 90
    axes.set_xticks(places, names, rotation=90 if crowded else 0, fontsize="x-small")
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
    axes.set_xlim(-0.6, len(layers) - 0.4)
    axes.set_ylabel("density")
    axes.legend(loc="upper right", fontsize="small", ncols=2)


def _saliency(axes: Axes, pruning: PruningRecord[Any]) -> None:
    """The sum of the kept scores after each step, with marks where positions chose some."""
    steps = [step.step for step in pruning.history]
    values = [step.saliency for step in pruning.history]
    axes.plot(steps, values, color=plots.style(pruning.method).color or _KEPT)
    if degenerate := [step for step in pruning.history if step.degenerate]:
        axes.plot(
            [step.step for step in degenerate],
            [step.saliency for step in degenerate],
            color=_WARNING,
            marker="x",
            linestyle="",
            label="positions chose some weights",
        )
        axes.legend(fontsize="small")
    axes.set_ylim(bottom=0)
    axes.set_title(f"{saliency_name(pruning)}: sum of the kept scores", fontsize="medium")
    _steps(axes)


def _churn(axes: Axes, pruning: PruningRecord[Any]) -> None:
    """Weights removed and brought back by each step."""
    steps = [step.step for step in pruning.history]
    axes.plot(steps, [step.removed for step in pruning.history], color=_REMOVED, label="removed")
    axes.plot(
        steps[1:],
        [step.revived for step in pruning.history[1:]],
        color=plots.style(pruning.method).color or _KEPT,
        label="brought back",
    )
    # This scale can show zeros.
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    axes.set_title("weights removed and brought back", fontsize="medium")
    axes.legend(fontsize="small")
    _steps(axes)


def _steps(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("step of the search")
    axes.grid(alpha=0.3)


def distinct(names: Sequence[str]) -> list[str]:
    """Names without the parts that all begin or end with, and without the middle of long ones.

    Examples
    --------
    >>> from swiftforce.result.plots import distinct
    >>> distinct(["net.layers.0.fc.weight", "net.layers.1.fc.weight", "net.head.weight"])
    ['layers.0.fc', 'layers.1.fc', 'head']
    """
    parts = [re.split(r"(?<=[./])", name) for name in names]
    # At least one part of each name stays.
    most = min(map(len, parts)) - 1
    first = _shared(parts, most)
    last = _shared([each[::-1] for each in parts], most - first)
    shown = ["".join(each[first : len(each) - last]).rstrip("./") for each in parts]
    half = _LETTERS // 2
    return [name if len(name) <= _LETTERS else f"{name[:half]}…{name[-half:]}" for name in shown]


def _shared(parts: Sequence[Sequence[str]], most: int) -> int:
    """How many of the first parts are the same in all names, `most` at the most."""
    alike = (len(set(place)) == 1 for place in islice(zip(*parts, strict=False), most))
    return sum(takewhile(bool, alike))
