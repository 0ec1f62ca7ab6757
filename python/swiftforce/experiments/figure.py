"""The figure: the methods compared on Fashion-MNIST over sparsities and seeds.

Which runs there are, in which order, doing those that are left, and the tables and pictures of
what is there. A run is in runs.py, the file of results in results_csv.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from swiftforce.datasets import Dataset
from swiftforce.experiments import plots, results_csv
from swiftforce.experiments.architectures import NETWORKS
from swiftforce.experiments.runs import DENSE, UNIFORM_RANDOM, Result, Run, perform
from swiftforce.inputs import method_info
from swiftforce.search import DEFAULT_STEPS
from swiftforce.show import WorkProgress

#: Accuracy of a guess: Fashion-MNIST has ten classes of as many images each.
CHANCE = 0.1


@dataclass(frozen=True)
class Settings:
    """What the figure is made of.

    Attributes
    ----------
    network : str
        One of `swiftforce.experiments.architectures.NETWORKS`.
    methods : tuple of str
        Names of `swiftforce.experiments.runs.compared_methods`.
    sparsities : tuple of float
        Shares of weights to remove, each in [0, 1), in the order in which they are run: those that
        tell most first, so that a figure that was stopped shows something.
    seeds : tuple of int
    steps : int
        Batches whose gradients a search sees; see `swiftforce.experiments.runs.Run`.
    epochs, batch_size, learning_rate : int, int, float
    samples : int
        Number of training images.
    """

    network: str = "small_vgg"
    methods: tuple[str, ...] = (
        DENSE,
        "force",
        "iterative_snip",
        "snip",
        "magnitude",
        UNIFORM_RANDOM,
    )
    sparsities: tuple[float, ...] = (0.99, 0.995, 0.98, 0.95, 0.9)
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = DEFAULT_STEPS
    epochs: int = 6
    batch_size: int = 128
    learning_rate: float = 0.1
    samples: int = 60_000


def planned(settings: Settings) -> list[Run]:
    """The runs in their order: seed by seed, the dense network first, then by sparsity.

    Where a setting changes nothing it is the same for all: the dense network has a sparsity of 0,
    and whatever sees no gradients has 0 steps.
    """
    return [
        Run(
            network=settings.network,
            method=method,
            sparsity=sparsity,
            seed=seed,
            steps=settings.steps if _needs_gradients(method) else 0,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            samples=settings.samples,
        )
        for seed in settings.seeds
        for method, sparsity in _combinations(settings)
    ]


def _combinations(settings: Settings) -> Iterator[tuple[str, float]]:
    if DENSE in settings.methods:
        yield DENSE, 0.0
    for sparsity in settings.sparsities:
        yield from ((method, sparsity) for method in settings.methods if method != DENSE)


def _needs_gradients(method: str) -> bool:
    return method not in (DENSE, UNIFORM_RANDOM) and method_info(method)["needs_gradients"]


def wanted(settings: Settings, results: Sequence[Result]) -> list[Result]:
    """Those results that are of the settings, in the order of `planned`."""
    known = {result.run: result for result in results}
    return [known[run] for run in planned(settings) if run in known]


def most_samples(settings: Settings, results: Sequence[Result]) -> Settings:
    """The settings with the largest number of training images that they have results of.

    Unchanged where there are none.
    """
    kinds = set(planned(settings))
    found = [
        result.run.samples
        for result in results
        if replace(result.run, samples=settings.samples) in kinds
    ]
    return replace(settings, samples=max(found, default=settings.samples))


def go_on(
    data: Dataset,
    settings: Settings,
    path: str | os.PathLike[str],
    *,
    seconds: float = float("inf"),
) -> None:
    """Do the runs that a file has no results of, and add each to it as it ends.

    Prints a line with each run's accuracy and an estimate of the time that is left.

    Parameters
    ----------
    data : Dataset
        With `settings.samples` training images.
    path : path
        The file of results; made if it is not there.
    seconds : float
        No run begins after so many seconds.

    Raises
    ------
    RunsFileError, OSError, SwiftForceError
    """
    start = time.monotonic()
    plan = planned(settings)
    done = wanted(settings, results_csv.read(path))
    there = {result.run for result in done}
    left = [run for run in plan if run not in there]
    with WorkProgress(len(left) * settings.epochs) as work:
        for run in left:
            if time.monotonic() - start >= seconds:
                return
            work.begin(f"seed {run.seed}: {run.name}")
            result = perform(run, data, on_epoch=work.advance)
            results_csv.append(path, result)
            done.append(result)
            work.say(_line(result, done, len(plan)))


def _line(result: Result, done: Sequence[Result], total: int) -> str:
    took = [each.search_seconds + each.train_seconds for each in done]
    parts = [
        f"seed {result.run.seed}: {result.run.name}: {100 * result.accuracy:.2f} %",
        *(["training diverged"] if result.diverged else []),
        *([f"empty: {', '.join(result.empty_layers)}"] if result.empty_layers else []),
        f"{len(done)} of {total} runs",
    ]
    if len(done) < total:
        parts.append(f"about {duration(sum(took) / len(took) * (total - len(done)))} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time as people say it.

    Examples
    --------
    >>> [duration(seconds) for seconds in (7.6, 200, 9000)]
    ['8 s', '3 min', '2 h 30 min']
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def rows(results: Sequence[Result], settings: Settings) -> list[list[str]]:
    """The table: mean and extremes of the test accuracies in percent, by method and sparsity.

    A cell says how many of the seeds it is made of where some are missing.
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


def pictures(path: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
    """Where the pictures of a file of results go: beside it."""
    target = Path(path)
    accuracy, layers, churn = (
        target.with_name(f"{target.stem}{end}.png") for end in ("", "_layers", "_churn")
    )
    return accuracy, layers, churn


def draw(results: Sequence[Result], settings: Settings, path: str | os.PathLike[str]) -> list[Path]:
    """Draw the pictures that there are results for, and return where they are.

    Parameters
    ----------
    results : sequence of Result
        At least one, all of the settings.
    settings : Settings
    path : path
        The file of results.
    """
    accuracy, layers, churn = pictures(path)
    label = NETWORKS[settings.network].label
    plan = planned(settings)
    note = "" if len(results) == len(plan) else f"\nunfinished: {len(results)} of {len(plan)} runs"
    plots.accuracy_against_sparsity(
        {method: _by_sparsity(results, method) for method in _there(results, settings)},
        accuracy,
        title=f"{label} on Fashion-MNIST, pruned before training\n{_made_of(settings)}{note}",
        chance=CHANCE,
    )
    drawn = [accuracy]
    densities = {
        sparsity: {
            method: [result.density for result in found]
            for method in _there(results, settings)
            if method != DENSE and (found := _of(results, method, sparsity))
        }
        for sparsity in sorted(settings.sparsities)
    }
    if any(densities.values()):
        plots.layer_densities(
            {sparsity: methods for sparsity, methods in densities.items() if methods},
            layers,
            title=f"{label}: what is left of each layer{note}",
        )
        drawn.append(layers)
    forces = {
        sparsity: found
        for sparsity in sorted(settings.sparsities)
        if (found := _of(results, "force", sparsity))
    }
    if forces:
        plots.churn(
            {sparsity: [each.removed for each in found] for sparsity, found in forces.items()},
            {sparsity: [each.revived for each in found] for sparsity, found in forces.items()},
            churn,
            title=f"{label}: weights that FORCE removes and brings back{note}",
        )
        drawn.append(churn)
    return drawn


def _made_of(settings: Settings) -> str:
    seeds = len(settings.seeds)
    spread = f"mean, and least to most, of {seeds} seeds" if seeds > 1 else "one seed"
    epochs = f"{settings.epochs} epoch{'s' if settings.epochs > 1 else ''}"
    return f"{settings.samples:,} images, {epochs}; {spread}"


def _there(results: Sequence[Result], settings: Settings) -> list[str]:
    found = {result.run.method for result in results}
    return [method for method in settings.methods if method in found]


def _of(results: Sequence[Result], method: str, sparsity: float) -> list[Result]:
    return [
        result
        for result in results
        if (result.run.method, result.run.sparsity) == (method, sparsity)
    ]


def _by_sparsity(results: Sequence[Result], method: str) -> dict[float, list[float]]:
    found: dict[float, list[float]] = {}
    for result in results:
        if result.run.method == method:
            found.setdefault(result.run.sparsity, []).append(result.accuracy)
    return found
