"""The command ``bench``: time the search for a mask on this machine."""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy

import swiftforce
from swiftforce.cli.arguments import count, sparsity
from swiftforce.experiments import bench
from swiftforce.files import PRUNABLE_DTYPES
from swiftforce.show import tables

#: Settings of a measurement that takes a second.
_QUICK = {"weights": 1_000_000, "repeats": 3}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    defaults = bench.Settings()
    parser = commands.add_parser(
        "bench",
        help="time the search for a mask on this machine",
        description="Time the search for a SNIP mask on this machine. It is compared with a scan, "
        "which reads weights and gradients once and is a lower bound, and with numpy.",
        epilog="example: swiftforce bench --weights 1000000 --sparsity 0.99",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(command=_bench)
    parser.add_argument(
        "--weights",
        type=count,
        default=defaults.weights,
        metavar="N",
        help=f"number of weights, in {bench.TENSORS} tensors; each float32 weight takes "
        f"{defaults.memory / defaults.weights:.0f} bytes of memory",
    )
    parser.add_argument(
        "--sparsity",
        type=sparsity,
        default=defaults.sparsity,
        metavar="S",
        help="share of weights to remove, in [0, 1)",
    )
    parser.add_argument(
        "--dtype",
        choices=tuple(PRUNABLE_DTYPES.values()),
        default=defaults.dtype,
        help="type of weights and gradients",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"use at most {_QUICK['weights']:,} weights and {_QUICK['repeats']} runs",
    )


def _bench(options: argparse.Namespace) -> None:
    settings = bench.Settings(options.weights, options.sparsity, options.dtype)
    if options.quick:
        settings = replace(
            settings,
            weights=min(settings.weights, _QUICK["weights"]),
            repeats=_QUICK["repeats"],
        )
    print(
        f"{settings.weights:,} {settings.dtype} weights and gradients in {bench.TENSORS} tensors: "
        f"{settings.memory / 1e9:.2f} GB of memory",
        flush=True,
    )
    seconds = bench.run(settings)
    print()
    title = f"Mask of sparsity {settings.sparsity:g}: median time of {settings.repeats} runs"
    tables.show(title, bench.rows(seconds))
    threads = swiftforce.get_num_threads()
    print(
        f"\nswiftforce {swiftforce.__version__}, CPU level {swiftforce.cpu_levels()[0]}, "
        f"{threads} thread{'s' if threads > 1 else ''}, numpy {numpy.__version__}"
    )
