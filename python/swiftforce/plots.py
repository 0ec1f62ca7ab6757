"""Pictures, by matplotlib."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swiftforce.files import written_aside

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
    figure = _figure(7.5, 4.8)
    axes = figure.add_subplot()
    for method, spread in accuracy.items():
        shown = style(method)
        percent = {share: [100 * value for value in spread[share]] for share in sorted(spread)}
        if method == _LEVEL:
            every = [value for values in percent.values() for value in values]
            axes.axhspan(min(every), max(every), color=shown.color, alpha=0.12, linewidth=0)
            axes.axhline(
                _mean(every), color=shown.color, linestyle="--", linewidth=1, label=shown.label
            )
        else:
            _band(axes, {1 - share: values for share, values in percent.items()}, shown)
    if chance is not None:
        axes.axhline(100 * chance, color="black", linestyle=":", linewidth=1, label="chance")
    shares = {share for method, spread in accuracy.items() if method != _LEVEL for share in spread}
    ticks = sorted(shares or {share for spread in accuracy.values() for share in spread})
    axes.set_xscale("log")
    axes.set_xticks([1 - share for share in ticks], [f"{100 * share:.4g}" for share in ticks])
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.set_xlabel("sparsity, % of weights removed before training")
    axes.set_ylabel("test accuracy, %")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    _save(figure, path)


def layer_densities(
    densities: Mapping[float, Mapping[str, Sequence[Mapping[str, float]]]],
    path: str | os.PathLike[str],
    *,
    title: str,
) -> None:
    """Draw the share of weights that each layer keeps: a panel per sparsity, a line per method.

    A line runs through the means over the seeds. A layer that is empty with some seed is a marker
    in the grey strip below.

    Parameters
    ----------
    densities : mapping of float to mapping of str to sequence of mapping of str to float
        Densities in [0, 1] by layer, of one or more seeds, by sparsity and method.
    path : path
        Where the picture goes; its suffix names the format.
    title : str
    """
    columns = 1 if len(densities) == 1 else 2
    rows = math.ceil(len(densities) / columns)
    figure = _figure(max(5.5 * columns, 7.5), 3.4 * rows + 1)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    shown: dict[str, Any] = {}
    for panel, (sparsity, methods) in zip(panels, densities.items(), strict=False):
        _layer_panel(panel, methods, shown)
        panel.set_title(f"{100 * sparsity:.4g} % removed", fontsize="medium")
    for spare in list(panels)[len(densities) :]:
        spare.set_visible(False)
    figure.legend(
        list(shown.values()),
        [style(method).label for method in shown],
        loc="outside lower center",
        ncols=min(len(shown), 6),
        fontsize="small",
    )
    figure.suptitle(title)
    _save(figure, path)


def _layer_panel(
    axes: Any,  # noqa: ANN401 - of matplotlib, which has no types
    methods: Mapping[str, Sequence[Mapping[str, float]]],
    shown: dict[str, Any],
) -> None:
    layers = [name.removesuffix(".weight") for name in next(iter(methods.values()))[0]]
    every = [
        share for seeds in methods.values() for seed in seeds for share in seed.values() if share
    ]
    collapsed = any(0 in seed.values() for seeds in methods.values() for seed in seeds)
    axes.set_yscale("log")
    # Part of the height that the strip of empty layers takes.
    strip = 0.06 * (len(methods) + 1) if collapsed else 0.0
    low = min(every, default=1.0) / 1.5
    axes.set_ylim(low * (low / 1.5) ** (strip / (1 - strip)), 1.5)
    if collapsed:
        axes.axhspan(0, strip, transform=axes.transAxes, color="black", alpha=0.07, linewidth=0)
        axes.text(0.01, strip, "empty", transform=axes.transAxes, va="bottom", fontsize="x-small")
    for row, (method, seeds) in enumerate(methods.items(), start=1):
        look = style(method)
        means = [_mean(list(shares)) for shares in zip(*(s.values() for s in seeds), strict=True)]
        (line,) = axes.plot(
            range(len(layers)),
            [mean or math.nan for mean in means],
            color=look.color,
            marker=look.marker,
            markersize=4,
            linewidth=1.2,
        )
        shown.setdefault(method, line)
        empty = [i for i, name in enumerate(seeds[0]) if any(seed[name] == 0 for seed in seeds)]
        axes.plot(
            empty,
            [0.06 * (len(methods) + 1 - row)] * len(empty),
            transform=axes.get_xaxis_transform(),
            color=line.get_color(),
            marker=look.marker,
            markersize=4,
            linestyle="",
        )
    axes.set_xticks(range(len(layers)), layers, rotation=90 if len(layers) > 8 else 0)
    axes.tick_params(axis="x", labelsize="x-small")
    axes.set_xlabel("layer")
    axes.set_ylabel("density")
    axes.grid(alpha=0.3)


def churn(
    removed: Mapping[float, Sequence[Sequence[int]]],
    revived: Mapping[float, Sequence[Sequence[int]]],
    path: str | os.PathLike[str],
    *,
    title: str,
) -> None:
    """Draw how many weights each step removes and how many it brings back.

    Parameters
    ----------
    removed, revived : mapping of float to sequence of sequence of int
        Numbers of weights per step, of one or more seeds, by sparsity. Lines are the means, bands
        reach from the least to the most.
    path : path
        Where the picture goes; its suffix names the format.
    title : str
    """
    from matplotlib import colormaps

    figure = _figure(9.5, 4.2)
    panels = figure.subplots(1, 2, sharey=True)
    shades = colormaps["viridis"]
    order = sorted({*removed, *revived})
    for axes, name, values in zip(panels, ("removed", "revived"), (removed, revived), strict=True):
        for position, sparsity in enumerate(order):
            shade = shades(0.9 * position / max(1, len(order) - 1))
            steps = dict(enumerate(zip(*values[sparsity], strict=True), start=1))
            look = Style(f"{100 * sparsity:.4g} %", shade, "" if len(steps) > 1 else "o")
            _band(axes, steps, look)
        # Zeros have a place, too.
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step of the search")
        axes.set_title(name, fontsize="medium")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("weights")
    panels[1].legend(title="sparsity at the end", fontsize="small", title_fontsize="small")
    figure.suptitle(title)
    _save(figure, path)


def _band(
    axes: Any,  # noqa: ANN401 - of matplotlib, which has no types
    values: Mapping[Any, Sequence[float]],
    look: Style,
) -> None:
    """A line through the means, and a band between the extremes."""
    places = list(values)
    (line,) = axes.plot(
        places,
        [_mean(each) for each in values.values()],
        color=look.color,
        marker=look.marker,
        markersize=5,
        label=look.label,
    )
    extremes: tuple[Callable[[Sequence[float]], float], ...] = (min, max)
    low, high = ([extreme(each) for each in values.values()] for extreme in extremes)
    axes.fill_between(places, low, high, color=line.get_color(), alpha=0.15, linewidth=0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _figure(width: float, height: float) -> Any:  # noqa: ANN401 - of matplotlib
    """A figure in inches, which no state of matplotlib knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: str | os.PathLike[str]) -> None:  # noqa: ANN401 - of matplotlib
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=150)
