"""The picture of the selection benchmark: time of a mask in scans, by number of weights."""

from __future__ import annotations

from pathlib import Path

from swiftforce.files.atomic import atomic_write

from benchmarks import ours, peers
from benchmarks.rows import Results

#: Label, colour and marker. The colours of Okabe and Ito suit colour-blind readers.
LINES = {
    ours.SNIP: ("snip", "#0072B2", "o"),
    ours.DRIFT: ("step of a search", "#009E73", "s"),
    peers.NUMPY: ("numpy partition", "#E69F00", "^"),
    peers.KTHVALUE: ("torch kthvalue", "#CC79A7", "D"),
    peers.TOPK: ("torch topk (FORCE's own code)", "#D55E00", "v"),
}


def draw(results: Results, path: Path) -> None:
    """Draw the time of each, divided by that of a scan, against the number of weights."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    rows = [row for row in results.rows("size") if row.dtype == "float32" and row.median]
    scan = {row.size: row.median for row in rows if row.what == ours.SCAN}
    for what, (label, colour, marker) in LINES.items():
        # Rows of swiftforce have the ratio to a scan; peers are compared with the scan beside snip.
        points = [
            (row.size, row.ratio if row.against == ours.SCAN else row.median / scan[row.size])
            for row in rows
            if row.what == what
        ]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, marker=marker, label=label)
    axes.axhline(1, color="black", linewidth=1)
    axes.annotate(
        "one scan of weights and gradients",
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
    axes.set_ylabel("time / time of a scan")
    axes.set_title("Time to find a mask that keeps 1 % of the weights")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=150)
