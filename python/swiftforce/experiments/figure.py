"""The figure: the methods compared on Fashion-MNIST over sparsities and seeds.

Here are the defaults and the pictures. A single trial is in `runs`, the loop over all of them and
the file of results in `swiftforce.comparison`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swiftforce.comparison import DENSE, Comparison
from swiftforce.errors import RunsFileError
from swiftforce.experiments import plots as search_plots
from swiftforce.experiments.architectures import NETWORKS
from swiftforce.experiments.runs import Settings
from swiftforce.experiments.variants import SYNFLOW, UNIFORM_RANDOM
from swiftforce.show import plots

#: What the figure compares by default.
METHODS = (
    DENSE,
    "force_nested",
    "force",
    "iterative_snip",
    SYNFLOW,
    "snip",
    "magnitude",
    UNIFORM_RANDOM,
)
SPARSITIES = (0.99, 0.995, 0.98, 0.95, 0.9)
SEEDS = (0, 1, 2)

#: Accuracy of guessing: Fashion-MNIST has ten classes of equal size.
CHANCE = 0.1


def picture_paths(path: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
    """Paths of the pictures: beside the file of results."""
    target = Path(path)
    accuracy, layers, churn = (
        target.with_name(f"{target.stem}{end}.png") for end in ("", "_layers", "_churn")
    )
    return accuracy, layers, churn


def draw(results: Comparison, settings: Settings, path: str | os.PathLike[str]) -> list[Path]:
    """Draw the pictures that there are results for, and return their paths.

    Parameters
    ----------
    results : Comparison
        With at least one row.
    settings : Settings
    path : path
        The file of results.

    Raises
    ------
    RunsFileError
        If a row of the file is damaged.
    """
    done, total = len(results.rows), len(results.trials)
    note = "" if done == total else f"\nunfinished: {done} of {total} runs"
    label = NETWORKS[settings.network].label
    accuracy, layers, churn = picture_paths(path)
    drawn = []
    if settings.epochs:
        title = f"{label} on Fashion-MNIST, pruned before training\n{_subtitle(results, settings)}"
        plots.save(results.plot("accuracy", title=title + note, chance=CHANCE), accuracy)
        drawn.append(accuracy)
    if densities := _densities(results):
        title = f"{label}: share of weights kept in each layer{note}"
        search_plots.layer_densities(densities, layers, title=title)
        drawn.append(layers)
    removed, revived = (_by_sparsity(results, "force", name) for name in ("removed", "revived"))
    if removed and revived:
        title = f"{label}: weights that FORCE removes and revives{note}"
        search_plots.churn(removed, revived, churn, title=title)
        drawn.append(churn)
    return drawn


def _subtitle(results: Comparison, settings: Settings) -> str:
    seeds = len(results.seeds)
    spread = f"mean and range of {seeds} seeds" if seeds > 1 else "one seed"
    epochs = f"{settings.epochs} epoch{'s' if settings.epochs > 1 else ''}"
    images = f"{settings.samples:,} images, " if settings.samples else ""
    return f"{images}{epochs}, scored by {settings.loss}; {spread}"


def _densities(results: Comparison) -> dict[float, dict[str, list[Mapping[str, float]]]]:
    """Densities of the layers, of one or more seeds, by sparsity and method."""
    found: dict[float, dict[str, list[Mapping[str, float]]]] = {}
    for method in results.methods:
        if method != DENSE:
            for sparsity, densities in _by_sparsity(results, method, "density").items():
                found.setdefault(sparsity, {})[method] = densities
    return dict(sorted(found.items()))


def _by_sparsity(results: Comparison, method: str, name: str) -> dict[float, list[Any]]:
    """Lists or mappings of one or more seeds, by sparsity in ascending order; None is left out."""
    found: dict[float, list[Any]] = {}
    for row in results.rows:
        if row["method"] == method and row[name] is not None:
            if not isinstance(row[name], (list, dict)):
                raise RunsFileError(f"the {name} of {method} with seed {row['seed']} is damaged")
            found.setdefault(row["sparsity"], []).append(row[name])
    return dict(sorted(found.items()))
