"""The table and the pictures of the figure, made from its results."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from swiftforce.experiments import plots
from swiftforce.experiments.architectures import NETWORKS
from swiftforce.experiments.figure import Settings, all_runs
from swiftforce.experiments.runs import DENSE, Result

#: Accuracy of guessing: Fashion-MNIST has ten classes of equal size.
CHANCE = 0.1


def rows(results: Sequence[Result], settings: Settings) -> list[list[str]]:
    """The rows of the table: mean, least and greatest test accuracy in percent.

    There is a row for each method and a column for each sparsity. If results of some seeds are
    missing, the cell says how many it has.
    """
    shares = sorted(settings.sparsities)
    return [
        ["method", *(f"{100 * share:.4g} %" for share in shares)],
        *(
            [method, *(_cell(results, method, share, len(settings.seeds)) for share in shares)]
            for method in settings.methods
        ),
    ]


def _cell(results: Sequence[Result], method: str, sparsity: float, seeds: int) -> str:
    percent = [
        100 * result.accuracy
        for result in results
        if result.run.method == method and (method == DENSE or result.run.sparsity == sparsity)
    ]
    if not percent:
        return "-"
    text = f"{sum(percent) / len(percent):.2f}"
    if len(percent) > 1:
        text += f" ({min(percent):.2f} .. {max(percent):.2f})"
    return text if len(percent) == seeds else f"{text} [{len(percent)}/{seeds} seeds]"


def picture_paths(path: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
    """Paths of the pictures: beside the file of results."""
    target = Path(path)
    accuracy, layers, churn = (
        target.with_name(f"{target.stem}{end}.png") for end in ("", "_layers", "_churn")
    )
    return accuracy, layers, churn


def draw(results: Sequence[Result], settings: Settings, path: str | os.PathLike[str]) -> list[Path]:
    """Draw the pictures that there are results for, and return their paths.

    Parameters
    ----------
    results : sequence of Result
        At least one, all of runs with the settings.
    settings : Settings
    path : path
        The file of results.
    """
    total = len(all_runs(settings))
    note = "" if len(results) == total else f"\nunfinished: {len(results)} of {total} runs"
    accuracy, layers, churn = picture_paths(path)
    _draw_accuracy(results, settings, accuracy, note)
    drawn = [accuracy]
    if any(result.run.method != DENSE for result in results):
        _draw_layers(results, settings, layers, note)
        drawn.append(layers)
    if any(result.run.method == "force" for result in results):
        _draw_churn(results, settings, churn, note)
        drawn.append(churn)
    return drawn


def _draw_accuracy(results: Sequence[Result], settings: Settings, path: Path, note: str) -> None:
    label = NETWORKS[settings.network].label
    plots.accuracy_against_sparsity(
        {
            method: _accuracy_by_sparsity(results, method)
            for method in _methods_with_results(results, settings)
        },
        path,
        title=f"{label} on Fashion-MNIST, pruned before training\n{_subtitle(settings)}{note}",
        chance=CHANCE,
    )


def _draw_layers(results: Sequence[Result], settings: Settings, path: Path, note: str) -> None:
    densities = {
        sparsity: {
            method: [result.density for result in selected]
            for method in _methods_with_results(results, settings)
            if method != DENSE and (selected := _select(results, method, sparsity))
        }
        for sparsity in sorted(settings.sparsities)
    }
    plots.layer_densities(
        {sparsity: methods for sparsity, methods in densities.items() if methods},
        path,
        title=f"{NETWORKS[settings.network].label}: share of weights kept in each layer{note}",
    )


def _draw_churn(results: Sequence[Result], settings: Settings, path: Path, note: str) -> None:
    by_sparsity = {
        sparsity: selected
        for sparsity in sorted(settings.sparsities)
        if (selected := _select(results, "force", sparsity))
    }
    plots.churn(
        {sparsity: [each.removed for each in found] for sparsity, found in by_sparsity.items()},
        {sparsity: [each.revived for each in found] for sparsity, found in by_sparsity.items()},
        path,
        title=f"{NETWORKS[settings.network].label}: weights that FORCE removes and revives{note}",
    )


def _subtitle(settings: Settings) -> str:
    seeds = len(settings.seeds)
    spread = f"mean and range of {seeds} seeds" if seeds > 1 else "one seed"
    epochs = f"{settings.epochs} epoch{'s' if settings.epochs > 1 else ''}"
    return f"{settings.samples:,} images, {epochs}; {spread}"


def _methods_with_results(results: Sequence[Result], settings: Settings) -> list[str]:
    methods = {result.run.method for result in results}
    return [method for method in settings.methods if method in methods]


def _select(results: Sequence[Result], method: str, sparsity: float) -> list[Result]:
    return [
        result
        for result in results
        if (result.run.method, result.run.sparsity) == (method, sparsity)
    ]


def _accuracy_by_sparsity(results: Sequence[Result], method: str) -> dict[float, list[float]]:
    accuracy: dict[float, list[float]] = {}
    for result in results:
        if result.run.method == method:
            accuracy.setdefault(result.run.sparsity, []).append(result.accuracy)
    return accuracy
