"""The picture of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from swiftforce.comparison.trials import DENSE
from swiftforce.show import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Values of the seeds, by sparsity.
Spread = Mapping[float, Sequence[float]]


def against_sparsity(
    measured: Mapping[str, Spread],
    *,
    title: str,
    label: str = "accuracy",
    chance: float | None = None,
) -> Figure:
    """A line for each method through the means, and a band from least to greatest.

    Parameters
    ----------
    measured : mapping of str to mapping of float to sequence of float
        Values of one or more seeds, by method and sparsity. The method ``dense`` is
        drawn as a horizontal line and band from all of its values.
    title : str
    label : str
        What was measured.
    chance : float, optional
        Value of guessing, drawn as a dotted line.
    """
    figure: Figure = plots.new_figure(9, 4.8)
    axes = figure.add_subplot()
    shares = {share for method, spread in measured.items() if method != DENSE for share in spread}
    ticks = sorted(shares or {share for spread in measured.values() for share in spread})
    margin = max(1.05, ((1 - ticks[0]) / (1 - ticks[-1])) ** 0.05)
    axes.set_xscale("log")
    axes.set_xlim((1 - ticks[0]) * margin, (1 - ticks[-1]) / margin)
    axes.set_xticks([1 - share for share in ticks], [f"{100 * share:.4g}" for share in ticks])
    for method, spread in measured.items():
        shown = plots.style(method)
        ordered = {share: spread[share] for share in sorted(spread)}
        if method == DENSE:
            every = [value for values in ordered.values() for value in values]
            axes.axhspan(min(every), max(every), color=shown.color, alpha=0.12, linewidth=0)
            axes.axhline(
                plots.mean(every), color=shown.color, linestyle="--", linewidth=1, label=shown.label
            )
        else:
            plots.band(axes, {1 - share: values for share, values in ordered.items()}, shown)
    if chance is not None:
        axes.axhline(chance, color="black", linestyle=":", linewidth=1, label="chance")
    axes.minorticks_off()
    axes.set_xlabel("sparsity, % of weights removed before training")
    axes.set_ylabel(label)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    return figure
