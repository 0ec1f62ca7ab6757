"""Pictures of results: densities of layers, weights removed and revived by each step."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from swiftforce.show import plots


def layer_densities(
    densities: Mapping[float, Mapping[str, Sequence[Mapping[str, float]]]],
    path: str | os.PathLike[str],
    *,
    title: str,
) -> None:
    """Draw the density of each layer: a panel per sparsity, a line per method.

    Lines are means over the seeds. A layer that keeps no weight with some seed has a marker in the
    grey strip at the bottom.

    Parameters
    ----------
    densities : mapping of float to mapping of str to sequence of mapping of str to float
        Densities in [0, 1] by layer, of one or more seeds, by sparsity and method.
    path : path
        Its suffix names the format.
    title : str
    """
    columns = 1 if len(densities) == 1 else 2
    rows = math.ceil(len(densities) / columns)
    figure = plots.new_figure(max(5.5 * columns, 7.5), 3.4 * rows + 1)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    shown: dict[str, Any] = {}
    for panel, (sparsity, methods) in zip(panels, densities.items(), strict=False):
        _layer_panel(panel, methods, shown)
        panel.set_title(f"{100 * sparsity:.4g} % removed", fontsize="medium")
    for unused in panels[len(densities) :]:
        unused.set_visible(False)
    figure.legend(
        list(shown.values()),
        [plots.style(method).label for method in shown],
        loc="outside lower center",
        ncols=min(len(shown), 6),
        fontsize="small",
    )
    figure.suptitle(title)
    plots.save(figure, path)


def _layer_panel(
    axes: Any,  # noqa: ANN401 - of matplotlib, which has no types
    methods: Mapping[str, Sequence[Mapping[str, float]]],
    shown: dict[str, Any],
) -> None:
    layers = [name.removesuffix(".weight") for name in next(iter(methods.values()))[0]]
    means = {
        method: [
            plots.mean(shares) for shares in zip(*(seed.values() for seed in seeds), strict=True)
        ]
        for method, seeds in methods.items()
    }
    collapsed = any(0 in seed.values() for seeds in methods.values() for seed in seeds)
    axes.set_yscale("log")
    low = min((share for line in means.values() for share in line if share), default=1.0) / 1.5
    # Share of the height that the strip of empty layers takes.
    strip = 0.06 * (len(methods) + 1) if collapsed else 0.0
    bottom = low * (low / 1.5) ** (strip / (1 - strip))
    axes.set_ylim(bottom, 1.5)
    axes.set_yticks([10.0**power for power in range(math.ceil(math.log10(low)), 1)])
    axes.minorticks_off()
    if collapsed:
        axes.axhspan(bottom, low, color="black", alpha=0.1, linewidth=0)
        axes.text(
            *(0.005, strip / 2, "empty"),
            transform=axes.transAxes,
            rotation=90,
            verticalalignment="center",
            fontsize="x-small",
        )
    for row, (method, seeds) in enumerate(methods.items(), start=1):
        style = plots.style(method)
        (line,) = axes.plot(
            range(len(layers)),
            [share or math.nan for share in means[method]],
            color=style.color,
            marker=style.marker,
            markersize=4,
            linestyle=style.line,
            linewidth=1.2,
        )
        shown.setdefault(method, line)
        empty = [i for i, name in enumerate(seeds[0]) if any(seed[name] == 0 for seed in seeds)]
        axes.plot(
            empty,
            [0.06 * (len(methods) + 1 - row)] * len(empty),
            transform=axes.get_xaxis_transform(),
            color=line.get_color(),
            marker=style.marker,
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
    """Draw the churn of a search: how many weights each step removes and revives.

    Parameters
    ----------
    removed, revived : mapping of float to sequence of sequence of int
        Numbers of weights per step, of one or more seeds, by sparsity. Lines are means, bands go
        from least to greatest. Revived weights are drawn from the second step on, since the first
        can revive none.
    path : path
        Its suffix names the format.
    title : str
    """
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    figure = plots.new_figure(9.5, 4.2)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    colormap = colormaps["viridis"]
    order = sorted({*removed, *revived})
    shown = []
    for axes, name, values in zip(panels, ("removed", "revived"), (removed, revived), strict=True):
        first = 1 if name == "removed" else 2
        for position, sparsity in enumerate(order):
            color = colormap(0.9 * position / max(1, len(order) - 1))
            counts = list(zip(*values[sparsity], strict=True))[first - 1 :]
            style = plots.Style(f"{100 * sparsity:.4g} %", color, "" if len(counts) > 1 else "o")
            plots.band(axes, dict(enumerate(counts, start=first)), style)
            shown += [count for step in counts for count in step]
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("step of the search")
        axes.set_title(name, fontsize="medium")
        axes.grid(alpha=0.3)
    # Both panels share this axis. A symmetric logarithm also shows zeros.
    panels[0].set_yscale("symlog", linthresh=1)
    panels[0].set_ylim(bottom=min(shown) / 1.5)
    panels[0].set_ylabel("weights")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside right upper",
        title="removed\nat the end",
        fontsize="small",
        title_fontsize="small",
    )
    figure.suptitle(title)
    plots.save(figure, path)
