"""The command ``prune``: masks from files of weights and gradients."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import swiftforce
from swiftforce.adapters import listed
from swiftforce.cli.arguments import count, one_shot, one_shot_methods, seed, sparsity
from swiftforce.errors import CheckpointError, MissingGradientsError, SwiftForceWarning
from swiftforce.files import Checkpoint, check_place, is_one_of
from swiftforce.inputs import Array, method_info, method_name
from swiftforce.show import tables


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "prune",
        help="find the mask of a checkpoint from its weights and gradients",
        description="Find the mask of a checkpoint, in one step, from safetensors files of its "
        "weights and of the gradients of the loss by the same names. Files are read where they "
        "lie, so they may be larger than memory; the mask needs a byte per weight. "
        "By default floating-point tensors of two or more dimensions are pruned, except those that "
        "are by their names embeddings, norms, biases or scales; the table says which.",
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
        help="files of the gradients, likewise",
    )
    _add_how_many(parser)
    parser.add_argument(
        "--method",
        type=one_shot,
        metavar="NAME",
        default=argparse.SUPPRESS,
        help=f"of {', '.join(one_shot_methods())} (default: snip, which needs gradients)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the method random")
    for option, which in (("--include", "to prune instead"), ("--exclude", "not to prune")):
        parser.add_argument(
            option,
            nargs="+",
            metavar="GLOB",
            default=argparse.SUPPRESS,
            help=f"tensors {which}, by patterns of their names",
        )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="where the masks go; what is there is replaced, but none of the files above",
    )


def add_weights(parser: argparse.ArgumentParser) -> None:
    """The option that names a checkpoint."""
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="safetensors files of one checkpoint, or the *.safetensors.index.json that names them",
    )


def _add_how_many(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group(required=True)
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
        help="or number of weights to keep",
    )


def _prune(options: argparse.Namespace) -> None:
    method = _method(options)
    weights = Checkpoint(options.weights)
    gradients = Checkpoint(options.gradients) if options.gradients else None
    _check_files(options.output, weights, gradients)
    names = weights.prunable(options.include, options.exclude)
    arrays = {name: weights.array(name) for name in names}
    grads = _gradients(names, gradients) if gradients is not None else None
    with warnings.catch_warnings():
        if tables.is_terminal():
            # The table tells of them, on the same screen.
            warnings.simplefilter("ignore", SwiftForceWarning)
        pruning = swiftforce.prune(
            arrays,
            grads,
            method=method_name(method),
            sparsity=options.sparsity,
            keep=options.keep,
            seed=options.seed,
        )
    pruning.save(options.output)
    tables.print_result(pruning)
    left_out = len(weights.tensors) - len(names)
    if left_out:
        print(f"left out: {left_out} of {len(weights.tensors)} tensors")
    print(f"masks: {options.output}")


def _method(options: argparse.Namespace) -> str:
    """The method that fits what was given; a wrong command is refused as argparse does."""
    method: str = options.method or "snip"
    without = [name for name in one_shot_methods() if not method_info(name)["needs_gradients"]]
    if not options.gradients and method not in without:
        options.refuse(
            f"{method} needs --gradients; without them there are: --method {' or '.join(without)}"
        )
    if options.gradients and method in without:
        options.refuse(f"{method} reads no gradients: leave out --gradients, or --method")
    return method


def _check_files(output: Path, weights: Checkpoint, gradients: Checkpoint | None) -> None:
    """Refuse files that stand in each other's place, before any work."""
    check_place(output)
    for file in gradients.files if gradients else ():
        if is_one_of(file, weights.files):
            raise CheckpointError(f"{file} cannot hold both weights and gradients")
    for one in (weights, gradients):
        if one is not None and is_one_of(output, (*one.files, *one.indices)):
            raise CheckpointError(f"{output} is to be read: write the masks elsewhere")


def _gradients(names: list[str], gradients: Checkpoint) -> dict[str, Array]:
    missing = [name for name in names if name not in gradients.tensors]
    if missing:
        raise MissingGradientsError(f"{gradients} has no gradients of {listed(missing)}")
    return {name: gradients.array(name) for name in names}
