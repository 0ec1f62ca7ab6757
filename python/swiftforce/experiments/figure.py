"""The figure: the methods compared on Fashion-MNIST over sparsities and seeds.

Here are the settings, the list of runs, and the loop that does the missing ones. The table and
pictures are in `figure_report`, a single run is in `runs`, the file of results in `results_csv`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from swiftforce.datasets import Dataset
from swiftforce.experiments import results_csv
from swiftforce.experiments.runs import DENSE, UNIFORM_RANDOM, Result, Run, perform
from swiftforce.inputs import method_info
from swiftforce.search import DEFAULT_STEPS
from swiftforce.show import WorkProgress


@dataclass(frozen=True)
class Settings:
    """Settings of the figure.

    Attributes
    ----------
    network : str
        One of `swiftforce.experiments.architectures.NETWORKS`.
    methods : tuple of str
        Names of `swiftforce.experiments.runs.compared_methods`.
    sparsities : tuple of float
        Shares of weights to remove, each in [0, 1), in the order of the runs: the most telling
        ones first, so that an unfinished figure is useful.
    seeds : tuple of int
    steps : int
        Batches of a search; see `swiftforce.experiments.runs.Run`.
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


def all_runs(settings: Settings) -> list[Run]:
    """The runs in order: seed by seed, the dense network first, then by sparsity.

    Settings without effect have a fixed value: the dense network has a sparsity of 0, and methods
    without gradients have 0 steps.
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


def matching_results(settings: Settings, results: Sequence[Result]) -> list[Result]:
    """The results of runs with these settings, in the order of `all_runs`."""
    by_run = {result.run: result for result in results}
    return [by_run[run] for run in all_runs(settings) if run in by_run]


def with_most_images(settings: Settings, results: Sequence[Result]) -> Settings:
    """The settings with the largest number of training images that has results.

    Unchanged if there are no results of these settings.
    """
    runs = set(all_runs(settings))
    samples = [
        result.run.samples
        for result in results
        if replace(result.run, samples=settings.samples) in runs
    ]
    return replace(settings, samples=max(samples, default=settings.samples))


def do_missing_runs(
    data: Dataset,
    settings: Settings,
    path: str | os.PathLike[str],
    *,
    seconds: float = float("inf"),
) -> None:
    """Do the runs that a file has no results of, and append each result as the run ends.

    Prints one line for each run: its accuracy, and an estimate of the time left.

    Parameters
    ----------
    data : Dataset
        With `settings.samples` training images.
    path : path
        The file of results; it is created if it does not exist.
    seconds : float
        No run starts after this many seconds.

    Raises
    ------
    RunsFileError, OSError, SwiftForceError
    """
    start = time.monotonic()
    runs = all_runs(settings)
    done = matching_results(settings, results_csv.read(path))
    finished = {result.run for result in done}
    missing = [run for run in runs if run not in finished]
    with WorkProgress(len(missing) * settings.epochs) as work:
        for run in missing:
            if time.monotonic() - start >= seconds:
                return
            work.begin(f"seed {run.seed}: {run.name}")
            result = perform(run, data, on_epoch=work.advance)
            results_csv.append(path, result)
            done.append(result)
            work.say(_summary_line(result, done, len(runs)))


def _summary_line(result: Result, done: Sequence[Result], total: int) -> str:
    seconds = [each.search_seconds + each.train_seconds for each in done]
    parts = [
        f"seed {result.run.seed}: {result.run.name}: {100 * result.accuracy:.2f} %",
        *(["training diverged"] if result.diverged else []),
        *([f"empty: {', '.join(result.empty_layers)}"] if result.empty_layers else []),
        f"{len(done)} of {total} runs",
    ]
    if len(done) < total:
        parts.append(f"about {duration(sum(seconds) / len(seconds) * (total - len(done)))} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time in words.

    Examples
    --------
    >>> [duration(seconds) for seconds in (7.6, 200, 9000)]
    ['8 s', '3 min', '2 h 30 min']
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
