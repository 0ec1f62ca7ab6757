"""The commands that compare methods on Fashion-MNIST: ``demo`` and ``figure``."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

from swiftforce.cli.arguments import SHORT, count, network, positive, results_file, sparsity
from swiftforce.datasets import fashion_mnist
from swiftforce.errors import RunsFileError
from swiftforce.experiments import NETWORKS, Result, compared_methods, demo, figure, results_csv
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
        help="prune and train a small network on Fashion-MNIST, compare methods",
        description="Find masks on a network before training, train it sparse on "
        "Fashion-MNIST, and compare the methods: a table and a picture.",
        epilog="example: swiftforce demo --sparsity 0.9 0.99 --methods dense force snip",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_comparison(parser, defaults)
    parser.add_argument(
        "--seed", type=int, default=defaults.seed, help="selects all that is random"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("demo.png"), help="where the picture goes"
    )
    parser.set_defaults(command=_demo)


def _add_figure(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    defaults = figure.Settings()
    parser = commands.add_parser(
        "figure",
        help="compare the methods over sparsities and seeds on Fashion-MNIST; takes hours",
        description="Find masks before training, train with them and test, for every method, "
        "sparsity and seed. Each run is added to a file of results as it ends: the same command "
        "goes on where it was stopped. Then a table, and pictures beside the file.",
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
        help="each selects all that is random in its runs",
    )
    parser.add_argument(
        "--batch-size", type=count, default=defaults.batch_size, help="images per batch"
    )
    parser.add_argument(
        "--learning-rate",
        type=positive,
        default=defaults.learning_rate,
        help="at the start",
    )
    parser.add_argument(
        "--hours",
        type=positive,
        default=math.inf,
        help="begin no run after so many hours",
    )
    parser.add_argument(
        "--results",
        type=results_file,
        default=Path("figure.csv"),
        metavar="CSV",
        help="file of results, to go on with or to make",
    )
    parser.add_argument(
        "--draw-only",
        action="store_true",
        default=argparse.SUPPRESS,
        help="do no runs: table and pictures of what is there",
    )


def _add_comparison(
    parser: argparse.ArgumentParser, defaults: demo.Settings | figure.Settings
) -> None:
    """The options of all commands that compare methods."""
    # Defaults that say nothing are kept out of the help.
    parser.set_defaults(samples=None, data=None)
    parser.add_argument(
        "--network",
        type=network,
        default=defaults.network,
        metavar="NAME",
        help=f"of {', '.join(NETWORKS)}; "
        f"{', '.join(f'{family} is {name}' for family, name in SHORT.items())}",
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
        choices=compared_methods(),
        default=list(defaults.methods),
        metavar="M",
        help=f"of {', '.join(compared_methods())}",
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
        help="use only so many training images (default: all)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=argparse.SUPPRESS,
        help="folder with the Fashion-MNIST files (default: the system's)",
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
    print(f"picture: {path}")


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
    there = results_csv.read(options.results)
    if options.draw_only:
        if options.samples is None:
            settings = figure.most_samples(settings, there)
    else:
        settings = _run_figure(options, settings)
        there = results_csv.read(options.results)
    results = figure.wanted(settings, there)
    if options.draw_only and not results:
        raise RunsFileError(f"{str(options.results)!r} has no run with these settings")
    if results:
        _show_figure(results, settings, options.results)
    left = len(figure.planned(settings)) - len(results)
    if left:
        print(f"{left} of {left + len(results)} runs are left; the same command goes on")


def _show_figure(results: list[Result], settings: figure.Settings, path: Path) -> None:
    print()
    tables.show(
        "Test accuracy in % by share of weights removed: mean (least .. most of the seeds)",
        figure.rows(results, settings),
    )
    for result in results:
        if result.diverged:
            print(f"\nnote: training diverged: seed {result.run.seed}, {result.run.name}")
    print()
    if not plots.can_plot():
        print(_NO_PICTURES)
        return
    for picture in figure.draw(results, settings, path):
        print(f"picture: {picture}")


def _run_figure(options: argparse.Namespace, settings: figure.Settings) -> figure.Settings:
    """Do the runs that are left; the settings with the number of images that there are."""
    if not options.results.parent.is_dir():
        folder = str(options.results.parent)
        raise FileNotFoundError(f"there is no folder {folder!r} for the results")
    data = fashion_mnist(options.data)
    if options.samples is not None:
        data = data.subset(train=options.samples)
    settings = replace(settings, samples=len(data.train_x))
    print(
        f"{NETWORKS[settings.network].label} on Fashion-MNIST: {settings.samples:,} training "
        f"images, {len(data.test_x):,} test images; results: {options.results}",
        flush=True,
    )
    figure.go_on(data, settings, options.results, seconds=3600 * options.hours)
    return settings
