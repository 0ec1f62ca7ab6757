"""The commands that compare methods on Fashion-MNIST: ``demo`` and ``figure``."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

from swiftforce.cli.arguments import (
    SHORT,
    compared_method,
    count,
    network,
    positive,
    results_file,
    sparsity,
)
from swiftforce.datasets import fashion_mnist
from swiftforce.errors import RunsFileError, printable
from swiftforce.experiments import (
    DENSE,
    NETWORKS,
    Result,
    compared_methods,
    demo,
    figure,
    figure_report,
    results_csv,
)
from swiftforce.experiments import plots as experiment_plots
from swiftforce.inputs import check_seed
from swiftforce.show import plots, tables

_NO_PICTURES = "no picture: matplotlib is not installed (pip install 'swiftforce[demo]')"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    _add_demo(commands)
    _add_figure(commands)


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    defaults = demo.Settings()
    parser = commands.add_parser(
        "demo",
        help="compare methods on a small network and Fashion-MNIST",
        description="Prune a network before training, train it on Fashion-MNIST, and compare the "
        "methods in a table and a picture.",
        epilog="example: swiftforce demo --sparsity 0.9 0.99 --methods dense force snip",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_comparison(parser, defaults)
    parser.add_argument(
        "--seed", type=int, default=defaults.seed, help="seed of weights, batches and random masks"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("demo.png"), help="file for the picture"
    )
    parser.set_defaults(command=_demo)


def _add_figure(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    defaults = figure.Settings()
    parser = commands.add_parser(
        "figure",
        help="compare the methods over sparsities and seeds on Fashion-MNIST; takes hours",
        description="Prune before training, train and test, for every method, sparsity and seed. "
        "The result of each run is appended to a file, so that the same command continues after "
        "an interruption. At the end a table is printed, and pictures are drawn beside the file.",
        epilog="example: swiftforce figure --network resnet20 --epochs 4 --hours 8",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(command=_figure, draw_only=False)
    _add_comparison(parser, defaults)
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=list(defaults.seeds),
        metavar="N",
        help="seeds of weights, batches and random masks",
    )
    parser.add_argument(
        "--batch-size", type=count, default=defaults.batch_size, help="images per batch"
    )
    parser.add_argument(
        "--learning-rate",
        type=positive,
        default=defaults.learning_rate,
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
    parser: argparse.ArgumentParser, defaults: demo.Settings | figure.Settings
) -> None:
    """The options of all commands that compare methods."""
    # A default of None would be shown in the help.
    parser.set_defaults(samples=None, data=None)
    parser.add_argument(
        "--network",
        type=network,
        default=defaults.network,
        metavar="NAME",
        help=f"one of {', '.join(NETWORKS)}; "
        f"{', '.join(f'{family} means {name}' for family, name in SHORT.items())}",
    )
    parser.add_argument(
        "--sparsity",
        type=sparsity,
        nargs="+",
        default=list(defaults.sparsities),
        metavar="S",
        help="shares of weights to remove, each in [0, 1)",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        type=compared_method,
        default=list(defaults.methods),
        metavar="M",
        help=f"one or more of {', '.join(compared_methods())}",
    )
    parser.add_argument(
        "--steps", type=count, default=defaults.steps, help="steps of a progressive search"
    )
    parser.add_argument(
        "--epochs",
        type=count,
        default=defaults.epochs,
        help="passes over the training images",
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


def _demo(options: argparse.Namespace) -> None:
    settings = demo.Settings(
        network=options.network,
        sparsities=tuple(sorted(set(options.sparsity))),
        methods=tuple(dict.fromkeys(options.methods)),
        steps=options.steps,
        epochs=options.epochs,
        seed=options.seed,
    )
    check_seed(settings.seed)
    if plots.can_plot():
        plots.check_figure_path(options.output)
    data = fashion_mnist(options.data)
    if options.samples is not None:
        data = data.subset(train=options.samples)
    print(
        f"{NETWORKS[settings.network].label} on Fashion-MNIST: "
        f"{len(data.train_x):,} training images, "
        f"{len(data.test_x):,} test images, {settings.steps} steps, "
        f"{settings.epochs} epoch{'s' if settings.epochs > 1 else ''}, "
        f"seed {settings.seed}",
        flush=True,
    )
    outcome = demo.run(data, settings)
    print()
    tables.show("Test accuracy in % by share of weights removed", demo.rows(outcome, settings))
    if DENSE in settings.methods:
        print()
        title = "Training, times as fast as the dense network"
        tables.show(title, demo.speed_rows(outcome, settings))
    for note in outcome.notes:
        print(f"\nnote: {note}")
    print(f"\n{outcome.seconds:.0f} seconds")
    _draw(outcome, settings, options.output)


def _draw(outcome: demo.Outcome, settings: demo.Settings, path: Path) -> None:
    if not plots.can_plot():
        print(_NO_PICTURES)
        return
    accuracy = {
        method: {sparsity: [outcome.accuracy[method, sparsity]] for sparsity in settings.sparsities}
        for method in settings.methods
    }
    experiment_plots.accuracy_against_sparsity(
        accuracy,
        path,
        title=f"{NETWORKS[settings.network].label} on Fashion-MNIST, pruned before training",
    )
    print(f"picture: {printable(str(path))}")


def _figure(options: argparse.Namespace) -> None:
    settings = figure.Settings(
        network=options.network,
        methods=tuple(dict.fromkeys(options.methods)),
        sparsities=tuple(dict.fromkeys(options.sparsity)),
        seeds=tuple(dict.fromkeys(map(check_seed, options.seeds))),
        steps=options.steps,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        samples=options.samples or figure.Settings.samples,
    )
    stored = results_csv.read(options.results)
    if options.draw_only:
        if options.samples is None:
            settings = figure.with_most_images(settings, stored)
    else:
        settings = _run_figure(options, settings)
        stored = results_csv.read(options.results)
    results = figure.matching_results(settings, stored)
    if options.draw_only and not results:
        raise RunsFileError(f"{str(options.results)!r} has no run with these settings")
    if results:
        _show_figure(results, settings, options.results)
    total = len(figure.all_runs(settings))
    if len(results) < total:
        print(
            f"{total - len(results)} of {total} runs are missing: "
            "run the same command again to continue"
        )


def _show_figure(results: list[Result], settings: figure.Settings, path: Path) -> None:
    print()
    tables.show(
        "Test accuracy in % by share of weights removed: mean (range over the seeds)",
        figure_report.rows(results, settings),
    )
    for result in results:
        if result.diverged:
            print(f"\nnote: training diverged: seed {result.run.seed}, {result.run.name}")
    print()
    if not plots.can_plot():
        print(_NO_PICTURES)
        return
    for picture in figure_report.draw(results, settings, path):
        print(f"picture: {printable(str(picture))}")


def _run_figure(options: argparse.Namespace, settings: figure.Settings) -> figure.Settings:
    """Do the missing runs; return the settings with the number of training images."""
    if not options.results.parent.is_dir():
        folder = str(options.results.parent)
        raise FileNotFoundError(f"there is no folder {folder!r} for the results")
    data = fashion_mnist(options.data)
    if options.samples is not None:
        data = data.subset(train=options.samples)
    settings = replace(settings, samples=len(data.train_x))
    print(
        f"{NETWORKS[settings.network].label} on Fashion-MNIST: {settings.samples:,} training "
        f"images, {len(data.test_x):,} test images; results: {printable(str(options.results))}",
        flush=True,
    )
    figure.do_missing_runs(data, settings, options.results, seconds=3600 * options.hours)
    return settings
