"""The picture of one result: the density of each layer, and the course of its search."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from swiftforce.result.records import PruningRecord
from swiftforce.result.summary import DensityScale, headline, percent
from swiftforce.show import plots, tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: With more layers than that, not each has its name below.
_NAMES = 32
#: Of a long name, so many characters are shown.
_LETTERS = 24

_KEPT, _REMOVED, _WARNING = "#3a86c8", "#8c8c8c", "#d64545"


class Picture(Figure):
    """A figure that a notebook shows, also where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=110)
        return content.getvalue()


def figure_of(pruning: PruningRecord[Any]) -> Figure:
    """Draw the density of each layer and, of a search of several steps, its course."""
    course = pruning.steps > 1
    figure = Picture(figsize=(9.5, 6.4 if course else 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(headline(pruning), fontsize="medium")
    if not course:
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
    """A bar per layer, and a mark for each that nothing is left of."""
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
    """The sum of the kept scores after each step; where positions chose some, it is marked."""
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
    axes.set_title("saliency: sum of the kept scores", fontsize="medium")
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
    # Zeros have a place, too.
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
    """Names without the parts that all begin and end with; without the middle where still long.

    Examples
    --------
    >>> from swiftforce.result.plots import distinct
    >>> distinct(["net.layers.0.fc.weight", "net.layers.1.fc.weight", "net.head.weight"])
    ['layers.0.fc', 'layers.1.fc', 'head']
    """
    parts = [re.split(r"(?<=[./])", name) for name in names]
    # One part of each name stays.
    most = min(map(len, parts)) - 1
    first = _shared(parts, most)
    last = _shared([each[::-1] for each in parts], most - first)
    shown = ["".join(each[first : len(each) - last]).rstrip("./") for each in parts]
    half = _LETTERS // 2
    return [name if len(name) <= _LETTERS else f"{name[:half]}…{name[-half:]}" for name in shown]


def _shared(parts: Sequence[Sequence[str]], most: int) -> int:
    """How many parts, at most so many, are the same at the beginning of all."""
    alike = (len(set(place)) == 1 for place in islice(zip(*parts, strict=False), most))
    return sum(takewhile(bool, alike))
