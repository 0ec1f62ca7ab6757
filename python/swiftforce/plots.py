"""Pictures, by matplotlib."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from swiftforce.files import written_aside


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
    accuracy: Mapping[str, Sequence[float]],
    sparsities: Sequence[float],
    path: str | os.PathLike[str],
    *,
    title: str,
) -> None:
    """Draw a line per method, and a level line for the one called ``dense``.

    Parameters
    ----------
    accuracy : mapping of str to sequence of float
        Accuracies in [0, 1] by method, one per sparsity.
    sparsities : sequence of float
        In [0, 1); drawn evenly spaced in the logarithm of what is kept.
    path : path
        Where the picture goes; its suffix names the format.
    title : str
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    density = [1 - sparsity for sparsity in sparsities]
    for method, values in accuracy.items():
        percent = [100 * value for value in values]
        if method == "dense":
            axes.axhline(percent[0], color="black", linestyle="--", linewidth=1, label=method)
        else:
            axes.plot(density, percent, marker="o", label=method)
    axes.set_xscale("log")
    axes.invert_xaxis()
    axes.set_xticks(density, [f"{100 * sparsity:.4g}" for sparsity in sparsities])
    axes.minorticks_off()
    axes.set_xlabel("sparsity, % of weights removed before training")
    axes.set_ylabel("test accuracy, %")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=150)
