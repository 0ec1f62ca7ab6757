"""The picture of the table: what masks cost, in readings of the numbers, by size of the network."""

from __future__ import annotations

from pathlib import Path

from swiftforce.files.atomic import atomic_write

from benchmarks import ours, peers
from benchmarks.rows import Results

#: The colours of Okabe and Ito, which all eyes tell apart, and a marker for each as well.
LINES = {
    ours.SNIP: ("snip", "#0072B2", "o"),
    ours.DRIFT: ("step of a search", "#009E73", "s"),
    peers.NUMPY: ("numpy partition", "#E69F00", "^"),
    peers.KTHVALUE: ("torch kthvalue", "#CC79A7", "D"),
    peers.TOPK: ("torch topk (FORCE's own code)", "#D55E00", "v"),
}


def draw(results: Results, path: Path) -> None:
    """Draw times over that of one reading against the number of weights, both logarithmic."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    rows = [row for row in results.rows("size") if row.dtype == "float32" and row.median]
    reading = {row.size: row.median for row in rows if row.what == ours.READ}
    for what, (label, colour, marker) in LINES.items():
        # Ours stand against the reading timed beside them, peers against the one beside snip.
        points = [
            (row.size, row.ratio if row.against == ours.READ else row.median / reading[row.size])
            for row in rows
            if row.what == what
        ]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, marker=marker, label=label)
    axes.axhline(1, color="black", linewidth=1)
    axes.annotate(
        "weights and gradients read once",
        (0.99, 1),
        xycoords=("axes fraction", "data"),
        xytext=(0, -4),
        textcoords="offset points",
        ha="right",
        va="top",
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.6)
    axes.set_xlabel("weights, float32")
    axes.set_ylabel("time, in readings of weights and gradients")
    axes.set_title("What it costs to find the mask of 1 % of the weights")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    with atomic_write(path) as aside:
        figure.savefig(aside, dpi=150)
