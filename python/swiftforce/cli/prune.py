"""The command ``prune``: find masks from files of weights and gradients."""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import swiftforce
from swiftforce.adapters import listed
from swiftforce.cli.arguments import count, one_shot, one_shot_methods, seed, sparsity
from swiftforce.cli.axes import add_axes, allocation_from, pattern_from
from swiftforce.cli.conversions import check_suffix
from swiftforce.cli.input_files import open_checkpoint
from swiftforce.errors import CheckpointError, MissingGradientsError, SwiftForceWarning, printable
from swiftforce.files import Checkpoint, check_output_path, is_same_file
from swiftforce.inputs import Array, method_info, method_name
from swiftforce.result import scope_of, warn_about_scope
from swiftforce.show import is_terminal, tables


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "prune",
        help="find masks for a checkpoint from its weights and gradients",
        description="Find masks for a checkpoint in one step. Weights and gradients of the loss "
        "come from safetensors files, which may be larger than memory, or from files of torch or "
        "numpy, and have the same names: "
        "tensors are copied to a temporary file, in the folder of the environment variable TMPDIR. "
        "Masks take a byte per weight. By default "
        "floating-point tensors with two or more dimensions are pruned, except embeddings, norms, "
        "biases, scales and routers, which are recognised by their names and shapes: `swiftforce "
        "inspect --weights` shows which. The table lists pruned tensors.",
        epilog="example: swiftforce prune --weights model.safetensors --gradients "
        "gradients.safetensors --sparsity 0.9 --output masks.safetensors",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(
        command=_prune, refuse=parser.error, gradients=(), method=None, keep=None, sparsity=None
    )
    parser.set_defaults(include=None, exclude=())
    add_weights(parser)
    parser.add_argument(
        "--gradients",
        type=Path,
        nargs="+",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="files of the gradients, in the same formats",
    )
    _add_amount(parser)
    parser.add_argument(
        "--method",
        type=one_shot,
        metavar="NAME",
        default=argparse.SUPPRESS,
        help=f"one of {', '.join(one_shot_methods())} (default: snip, which needs gradients)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="seed of the method random")
    add_patterns(parser)
    add_axes(parser)
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="file for the masks; it is replaced if it exists, but must not be one of the inputs",
    )


def add_patterns(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose tensors by patterns of their names."""
    for option, text in (
        ("--include", "prune only tensors whose names match one of these patterns"),
        ("--exclude", "do not prune tensors whose names match one of these patterns"),
    ):
        parser.add_argument(
            option,
            nargs="+",
            metavar="GLOB",
            default=argparse.SUPPRESS,
            help=text,
        )


def add_weights(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the option that names a checkpoint."""
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        required=required,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="safetensors files of one checkpoint, or its *.safetensors.index.json; or a file of "
        "torch.save or numpy that holds tensors alone",
    )


def _add_amount(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--sparsity",
        type=sparsity,
        metavar="S",
        default=argparse.SUPPRESS,
        help="share of weights to remove, in [0, 1)",
    )
    group.add_argument(
        "--keep",
        type=count,
        metavar="K",
        default=argparse.SUPPRESS,
        help="number of weights to keep, instead of --sparsity",
    )


def _prune(options: argparse.Namespace) -> None:
    method = _method(options)
    allocation, pattern = allocation_from(options), pattern_from(options)
    amount = options.sparsity is not None or options.keep is not None
    if not amount and (allocation is None or allocation.is_plain):
        options.refuse("one of the arguments --sparsity --keep is required")
    weights = open_checkpoint(options.weights)
    gradients = open_checkpoint(options.gradients) if options.gradients else None
    _check_files(options.output, weights, gradients)
    decisions = weights.decisions(options.include, options.exclude)
    scope = scope_of(decisions)
    names = [one.name for one in decisions if one.chosen]
    arrays = weights.arrays(names)
    grads = _gradients(names, gradients) if gradients is not None else None
    with warnings.catch_warnings():
        if is_terminal(sys.stdout):
            # The table has the same texts.
            warnings.simplefilter("ignore", SwiftForceWarning)
        pruning = swiftforce.prune(
            arrays,
            grads,
            method=method_name(method),
            sparsity=options.sparsity,
            keep=options.keep,
            allocation=allocation,
            pattern=pattern,
            seed=options.seed,
            progress=False,
        )
        warn_about_scope(scope, stacklevel=1)
    pruning = replace(pruning, scope=scope)
    pruning.save(options.output)
    tables.print_result(pruning)
    left_out = len(weights.tensors) - len(names)
    if left_out:
        print(f"left out: {left_out} of {len(weights.tensors)} tensors")
    print(f"masks: {printable(str(options.output))}")


def _method(options: argparse.Namespace) -> str:
    """The method. If it does not fit the other options, argparse prints the error and exits."""
    method: str = options.method or "snip"
    without = [name for name in one_shot_methods() if not method_info(name)["needs_gradients"]]
    if not options.gradients and method not in without:
        options.refuse(
            f"{method} needs --gradients; without gradients use --method {' or '.join(without)}"
        )
    if options.gradients and method in without:
        options.refuse(f"{method} does not use gradients: leave out --gradients, or --method")
    return method


def _check_files(output: Path, weights: Checkpoint, gradients: Checkpoint | None) -> None:
    """Refuse an output that is an input, and one file for two inputs, before any work."""
    check_output_path(output)
    for file in gradients.sources if gradients else ():
        if is_same_file(file, weights.sources):
            raise CheckpointError(f"{file} is given for both weights and gradients: give two files")
    for one in (weights, gradients):
        if one is not None and is_same_file(output, one.sources):
            raise CheckpointError(f"{output} is an input: write the masks to another path")
    check_suffix(output, own=True)


def _gradients(names: list[str], gradients: Checkpoint) -> dict[str, Array]:
    missing = [name for name in names if name not in gradients.tensors]
    if missing:
        raise MissingGradientsError(f"{gradients} has no gradients of {listed(missing)}")
    return gradients.arrays(names)
