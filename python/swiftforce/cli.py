"""The command line: ``python -m swiftforce`` or ``swiftforce``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import swiftforce
from swiftforce import demo, plots, tables
from swiftforce.datasets import fashion_mnist
from swiftforce.errors import SwiftForceError
from swiftforce.schedule import check_seed, check_sparsity


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns
    -------
    int
        Exit status: 0 done, 1 refused with one line on standard error, 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except (SwiftForceError, OSError) as error:
        print(f"swiftforce: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("swiftforce: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="swiftforce", description="Find sparse networks before training."
    )
    parser.add_argument("--version", action="version", version=swiftforce.__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_demo(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    defaults = demo.Settings()
    parser = commands.add_parser(
        "demo",
        help="prune and train LeNet-300-100 on Fashion-MNIST, compare methods",
        description="Find masks on LeNet-300-100 before training, train it sparse on "
        "Fashion-MNIST, and compare the methods: a table and a picture.",
        epilog="example: swiftforce demo --sparsity 0.9 0.99 --methods dense force snip",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--sparsity",
        type=_sparsity,
        nargs="+",
        default=list(defaults.sparsities),
        metavar="S",
        help="shares of weights to remove, each in [0, 1)",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=(demo.DENSE, *swiftforce.methods()),
        default=list(defaults.methods),
        metavar="M",
        help=f"of {demo.DENSE}, {', '.join(swiftforce.methods())}",
    )
    parser.add_argument(
        "--steps", type=_count, default=defaults.steps, help="steps of a progressive search"
    )
    parser.add_argument(
        "--epochs", type=_count, default=defaults.epochs, help="passes over the training images"
    )
    parser.add_argument(
        "--seed", type=int, default=defaults.seed, help="selects all that is random"
    )
    parser.add_argument(
        "--samples", type=_count, help="use only so many training images (default: all)"
    )
    parser.add_argument(
        "--data", type=Path, help="folder with the Fashion-MNIST files (default: the system's)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("demo.png"), help="where the picture goes"
    )
    parser.set_defaults(command=_demo)


def _sparsity(text: str) -> float:
    try:
        return check_sparsity(float(text))
    except (SwiftForceError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text}")
    return count


def _demo(options: argparse.Namespace) -> None:
    settings = demo.Settings(
        sparsities=tuple(sorted(set(options.sparsity))),
        methods=tuple(dict.fromkeys(options.methods)),
        steps=options.steps,
        epochs=options.epochs,
        seed=options.seed,
    )
    check_seed(settings.seed)
    if plots.can_plot():
        plots.check_target(options.output)
    data = fashion_mnist(options.data)
    if options.samples is not None:
        data = data.subset(train=options.samples)
    print(
        f"LeNet-300-100 on Fashion-MNIST: {len(data.train_x):,} training images, "
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
        print("no picture: matplotlib is not installed (pip install 'swiftforce[demo]')")
        return
    accuracy = {
        method: [outcome.accuracy[method, sparsity] for sparsity in settings.sparsities]
        for method in settings.methods
    }
    plots.accuracy_against_sparsity(
        accuracy,
        settings.sparsities,
        path,
        title="LeNet-300-100 on Fashion-MNIST, pruned before training",
    )
    print(f"picture: {path}")
