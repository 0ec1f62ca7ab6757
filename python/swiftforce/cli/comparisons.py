"""The commands that compare methods on Fashion-MNIST: ``demo`` and ``figure``."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from swiftforce.cli.arguments import (
    SHORT,
    compared_method,
    count,
    network,
    positive,
    results_file,
    sparsity,
    whole,
)
from swiftforce.comparison import DENSE, Comparison, Trial, compare, trial_of
from swiftforce.datasets import Dataset, fashion_mnist
from swiftforce.errors import RunsFileError, printable
from swiftforce.experiments import NETWORKS, Settings, compared_methods, demo, figure, perform
from swiftforce.inputs import case_names, check_seed
from swiftforce.show import plots, tables

_NO_PICTURES = "no picture: matplotlib is not installed (pip install 'swiftforce[demo]')"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    _add_demo(commands)
    _add_figure(commands)


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "demo",
        help="compare methods on a small network and Fashion-MNIST",
        description="Prune a network before training, train it on Fashion-MNIST, and compare the "
        "methods in a table and a picture.",
        epilog="example: swiftforce demo --sparsity 0.9 0.99 --methods dense force snip",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_comparison(parser, demo.METHODS, demo.SPARSITIES, epochs=1)
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of weights, batches and random masks"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("demo.png"), help="file for the picture"
    )
    parser.set_defaults(
        command=_demo, batch_size=Settings.batch_size, learning_rate=Settings.learning_rate
    )


def _add_figure(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "figure",
        help="compare the methods over sparsities and seeds on Fashion-MNIST; takes hours",
        description="Prune before training, train and test, for every method, sparsity and seed. "
        "The result of each run is appended to a file, so that the same command continues after "
        "an interruption. At the end a table is printed, and pictures are drawn beside the file.",
        epilog="example: swiftforce figure --network resnet20 --epochs 4 --hours 8 "
        "--methods dense force 'force momentum=0.5' 'force shuffled'",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(command=_figure, draw_only=False)
    _add_comparison(parser, figure.METHODS, figure.SPARSITIES, epochs=Settings.epochs)
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=list(figure.SEEDS),
        metavar="N",
        help="seeds of weights, batches and random masks",
    )
    parser.add_argument(
        "--batch-size", type=count, default=Settings.batch_size, help="images per batch"
    )
    parser.add_argument(
        "--learning-rate",
        type=positive,
        default=Settings.learning_rate,
        help="initial learning rate",
    )
    parser.add_argument(
        "--hours",
        type=positive,
        default=math.inf,
        help="start no run after this many hours",
    )
    parser.add_argument(
        "--results",
        type=results_file,
        default=Path("figure.csv"),
        metavar="CSV",
        help="file of results; it is continued if it exists",
    )
    parser.add_argument(
        "--draw-only",
        action="store_true",
        default=argparse.SUPPRESS,
        help="do no runs: make table and pictures of the results in the file",
    )


def _add_comparison(
    parser: argparse.ArgumentParser,
    compared: tuple[str, ...],
    sparsities: tuple[float, ...],
    *,
    epochs: int,
) -> None:
    """The options of all commands that compare methods."""
    # A default of None would be shown in the help.
    parser.set_defaults(samples=Settings.samples, data=None)
    parser.add_argument(
        "--network",
        type=network,
        default=Settings.network,
        metavar="NAME",
        help=f"one of {', '.join(NETWORKS)}; "
        f"{', '.join(f'{family} means {name}' for family, name in SHORT.items())}",
    )
    parser.add_argument(
        "--sparsity",
        type=sparsity,
        nargs="+",
        default=list(sparsities),
        metavar="S",
        help="shares of weights to remove, each in [0, 1)",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        type=compared_method,
        default=list(compared),
        metavar="M",
        help=f"one or more of {', '.join(compared_methods())}; in quotes also with settings of a "
        "damped search, or shuffled: 'force momentum=0.5', 'snip shuffled'",
    )
    parser.add_argument(
        "--loss",
        choices=case_names("loss"),
        default=Settings.loss,
        help="loss that scores weights; training is by the cross entropy",
    )
    parser.add_argument(
        "--steps",
        type=count,
        default=Settings.steps,
        help="steps of a progressive search; synflow always takes 100",
    )
    parser.add_argument(
        "--epochs",
        type=whole,
        default=epochs,
        help="passes over the training images; 0: masks are found and measured alone",
    )
    parser.add_argument(
        "--samples",
        type=count,
        default=argparse.SUPPRESS,
        help="use only this many training images (default: all)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=argparse.SUPPRESS,
        help="folder with the Fashion-MNIST files (default: SWIFTFORCE_DATA, then the system)",
    )


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(**{name: getattr(options, name) for name in asdict(Settings())})


def _data(options: argparse.Namespace) -> Dataset:
    data = fashion_mnist(options.data)
    return data.subset(train=options.samples) if options.samples else data


def _demo(options: argparse.Namespace) -> None:
    settings = _settings(options)
    check_seed(options.seed)
    if plots.can_plot():
        plots.check_figure_path(options.output)
    data = _data(options)
    start = time.perf_counter()
    print(
        f"{NETWORKS[settings.network].label} on Fashion-MNIST: "
        f"{len(data.train_x):,} training images, "
        f"{len(data.test_x):,} test images, {settings.steps} steps, "
        f"{settings.epochs} epoch{'s' if settings.epochs > 1 else ''}, "
        f"seed {options.seed}",
        flush=True,
    )
    results = compare(
        partial(perform, data=data, settings=settings),
        methods=options.methods,
        sparsities=sorted(options.sparsity),
        seeds=[options.seed],
    )
    print()
    title, measure, scale = _shown(settings)
    tables.show(title, results.table(measure, scale=scale, decimals=2).rows)
    if DENSE in options.methods and settings.epochs:
        print()
        title = "Training, times as fast as the dense network"
        tables.show(title, demo.speeds(results).rows)
    for note in results.warnings:
        print(f"\nnote: {note}")
    print(f"\n{time.perf_counter() - start:.0f} seconds")
    if not plots.can_plot():
        print(_NO_PICTURES)
    elif settings.epochs:
        label = NETWORKS[settings.network].label
        title = f"{label} on Fashion-MNIST, pruned before training"
        plots.save(results.plot(title=title), options.output)
        print(f"picture: {printable(str(options.output))}")


def _shown(settings: Settings) -> tuple[str, str, float]:
    """Title, measure and scale of the table."""
    if settings.epochs:
        return "Test accuracy in % by share of weights removed", "accuracy", 100.0
    return "Objective S(c) by share of weights removed", "objective", 1.0


def _figure(options: argparse.Namespace) -> None:
    settings = _settings(options)
    run: Callable[[Trial], Mapping[str, Any]]
    seeds = [check_seed(seed) for seed in options.seeds]
    if options.draw_only:
        # No trial begins, so that no images are needed.
        run, seconds = _not_called, 0.0
    else:
        data, seconds = _data(options), 3600 * options.hours
        run = partial(perform, data=data, settings=settings)
        print(
            f"{NETWORKS[settings.network].label} on Fashion-MNIST: {len(data.train_x):,} training "
            f"images, {len(data.test_x):,} test images; results: {printable(str(options.results))}",
            flush=True,
        )
    results = compare(
        run,
        methods=options.methods,
        sparsities=options.sparsity,
        seeds=seeds,
        path=options.results,
        settings=asdict(settings),
        seconds=seconds,
    )
    if options.draw_only and not results.rows:
        raise RunsFileError(f"{str(options.results)!r} has no run with these settings")
    if results.rows:
        _show_figure(results, settings, options.results)
    total = len(results.trials)
    if not results.is_complete:
        print(
            f"{total - len(results.rows)} of {total} runs are missing: "
            "run the same command again to continue"
        )


def _not_called(trial: Trial) -> Mapping[str, Any]:
    raise AssertionError(trial)


def _show_figure(results: Comparison, settings: Settings, path: Path) -> None:
    print()
    title, measure, scale = _shown(settings)
    tables.show(
        f"{title}: mean (range over the seeds)",
        results.table(measure, scale=scale, decimals=2, spread="range").rows,
    )
    for row in results.rows:
        if row["diverged"]:
            print(f"\nnote: training diverged: {trial_of(row)}")
    print()
    if not plots.can_plot():
        print(_NO_PICTURES)
        return
    for picture in figure.draw(results, settings, path):
        print(f"picture: {printable(str(picture))}")
