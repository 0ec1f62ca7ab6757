"""Figures: the colour and marker of each method, lines with bands, and files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from swiftforce.files import atomic_write


@dataclass(frozen=True)
class Style:
    """How figures show a method."""

    label: str
    color: str | tuple[float, ...] | None = None
    marker: str = "o"
    line: str = "-"


#: Colours that colour-blind readers can tell apart, by Okabe and Ito.
STYLES: dict[str, Style] = {
    "dense": Style("dense", "black", ""),
    "force": Style("FORCE", "#0072B2", "o"),
    "force_nested": Style("FORCE, nested", "#56B4E9", "h"),
    "iterative_snip": Style("Iterative SNIP", "#E69F00", "s"),
    "snip": Style("SNIP", "#D55E00", "^"),
    "grasp_it": Style("GraSP-It", "#CC79A7", "P"),
    "synflow": Style("SynFlow", "#882255", "<"),
    "magnitude": Style("magnitude", "#009E73", "D"),
    "random": Style("random", "#999933", "v"),
    "uniform_random": Style("random, uniform per layer", "#777777", "X"),
    "erk_random": Style("random, ERK", "#F0E442", "*"),
}


def style(method: str) -> Style:
    """The style of a method.

    Words after its name, such as settings, are kept in the label; its line is dashed if its masks
    are shuffled, and dotted with other words. A method that is not in `STYLES` has the next free
    colour.
    """
    name, _, words = method.partition(" ")
    own = STYLES.get(name)
    if own is None:
        return Style(method)
    line = {"": "-", "shuffled": "--"}.get(words, ":")
    return replace(own, label=f"{own.label} {words}".strip(), line=line)


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def check_figure_path(path: str | os.PathLike[str]) -> None:
    """Refuse a path that a figure cannot be written to, before the work whose output it is for.

    Raises
    ------
    OSError
        If its folder does not exist, or its suffix is not that of a format for figures.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(target.parent)!r} for the picture")
    known = FigureCanvasBase.get_supported_filetypes()
    if target.suffix[1:].lower() not in known:
        raise OSError(
            f"{target.name!r} has no suffix of a picture format: use one of {', '.join(known)}"
        )


def band(
    axes: Any,  # noqa: ANN401 - of matplotlib, which has no types
    values: Mapping[Any, Sequence[float]],
    look: Style,
) -> None:
    """A line through the means, and a band between the extremes; a bar at a single position."""
    places = list(values)
    (line,) = axes.plot(
        places,
        [mean(each) for each in values.values()],
        color=look.color,
        marker=look.marker,
        markersize=5,
        linestyle=look.line,
        label=look.label,
    )
    low, high = [min(each) for each in values.values()], [max(each) for each in values.values()]
    if len(places) == 1:
        axes.vlines(places, low, high, color=line.get_color())
    axes.fill_between(places, low, high, color=line.get_color(), alpha=0.15, linewidth=0)


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value."""
    return sum(values) / len(values)


def new_figure(width: float, height: float) -> Any:  # noqa: ANN401 - of matplotlib
    """A figure of a size in inches, which pyplot does not keep."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: str | os.PathLike[str]) -> None:  # noqa: ANN401 - of matplotlib
    """Write a figure, as a whole or not at all."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=150)
