"""Pictures, by matplotlib: how all of them look, and accuracies.

What searches did is drawn in search_plots.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swiftforce.files import atomic_write

#: The method whose values are a level line: it is the same network at every sparsity.
_LEVEL = "dense"


@dataclass(frozen=True)
class Style:
    """How every picture shows a method."""

    label: str
    color: str | tuple[float, ...] | None = None
    marker: str = "o"


#: Colours that also the colour-blind tell apart, after Okabe and Ito.
STYLES: dict[str, Style] = {
    _LEVEL: Style("dense", "black", ""),
    "force": Style("FORCE", "#0072B2", "o"),
    "iterative_snip": Style("Iterative SNIP", "#E69F00", "s"),
    "snip": Style("SNIP", "#D55E00", "^"),
    "grasp_it": Style("GraSP-It", "#CC79A7", "P"),
    "magnitude": Style("magnitude", "#009E73", "D"),
    "random": Style("random", "#56B4E9", "v"),
    "uniform_random": Style("random, uniform per layer", "#777777", "X"),
}

#: Values of each seed by sparsity.
Spread = Mapping[float, Sequence[float]]


def style(method: str) -> Style:
    """How to show a method; those not in `STYLES` go by their name and the next free colour."""
    return STYLES.get(method, Style(method))


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def check_target(path: str | os.PathLike[str]) -> None:
    """Refuse a place that no picture can be written to, before hours of work end there.

    Raises
    ------
    OSError
        If its folder is not there, or its suffix names no format of pictures.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(target.parent)!r} for the picture")
    known = FigureCanvasBase.get_supported_filetypes()
    if target.suffix[1:].lower() not in known:
        raise OSError(f"{target.name!r} names no format of pictures: use one of {', '.join(known)}")


def accuracy_against_sparsity(
    accuracy: Mapping[str, Spread],
    path: str | os.PathLike[str],
    *,
    title: str,
    chance: float | None = None,
) -> None:
    """Draw a line through the means of each method and a band from its least to its most.

    Parameters
    ----------
    accuracy : mapping of str to mapping of float to sequence of float
        Accuracies in [0, 1] of one or more seeds, by method and sparsity. The method ``dense`` is
        a level line and band, made of all of its values.
    path : path
        Where the picture goes; its suffix names the format.
    title : str
    chance : float, optional
        Accuracy of a guess, a dotted line.
    """
    figure = new_figure(9, 4.8)
    axes = figure.add_subplot()
    shares = {share for method, spread in accuracy.items() if method != _LEVEL for share in spread}
    ticks = sorted(shares or {share for spread in accuracy.values() for share in spread})
    margin = max(1.05, ((1 - ticks[0]) / (1 - ticks[-1])) ** 0.05)
    axes.set_xscale("log")
    axes.set_xlim((1 - ticks[0]) * margin, (1 - ticks[-1]) / margin)
    axes.set_xticks([1 - share for share in ticks], [f"{100 * share:.4g}" for share in ticks])
    for method, spread in accuracy.items():
        shown = style(method)
        percent = {share: [100 * value for value in spread[share]] for share in sorted(spread)}
        if method == _LEVEL:
            every = [value for values in percent.values() for value in values]
            axes.axhspan(min(every), max(every), color=shown.color, alpha=0.12, linewidth=0)
            axes.axhline(
                mean(every), color=shown.color, linestyle="--", linewidth=1, label=shown.label
            )
        else:
            band(axes, {1 - share: values for share, values in percent.items()}, shown)
    if chance is not None:
        axes.axhline(100 * chance, color="black", linestyle=":", linewidth=1, label="chance")
    axes.minorticks_off()
    axes.set_xlabel("sparsity, % of weights removed before training")
    axes.set_ylabel("test accuracy, %")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    save(figure, path)


def band(
    axes: Any,  # noqa: ANN401 - of matplotlib, which has no types
    values: Mapping[Any, Sequence[float]],
    look: Style,
) -> None:
    """A line through the means, and a band, at a single place a bar, between the extremes."""
    places = list(values)
    (line,) = axes.plot(
        places,
        [mean(each) for each in values.values()],
        color=look.color,
        marker=look.marker,
        markersize=5,
        label=look.label,
    )
    low, high = [min(each) for each in values.values()], [max(each) for each in values.values()]
    if len(places) == 1:
        axes.vlines(places, low, high, color=line.get_color())
    axes.fill_between(places, low, high, color=line.get_color(), alpha=0.15, linewidth=0)


def mean(values: Sequence[float]) -> float:
    """Of at least one value."""
    return sum(values) / len(values)


def new_figure(width: float, height: float) -> Any:  # noqa: ANN401 - of matplotlib
    """A figure in inches, which no state of matplotlib knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: str | os.PathLike[str]) -> None:  # noqa: ANN401 - of matplotlib
    """Write a figure, whole or not at all."""
    with atomic_write(path) as aside:
        figure.savefig(aside, dpi=150)
