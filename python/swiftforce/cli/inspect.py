"""The command ``inspect``: masks in a file, or which tensors of a checkpoint are pruned."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

import swiftforce
from swiftforce.cli.input_files import check_masks, open_checkpoint
from swiftforce.cli.prune import add_patterns, add_weights
from swiftforce.errors import MaskFileError, printable
from swiftforce.files import is_checkpoint, is_same_file
from swiftforce.result import Prunable, Pruning
from swiftforce.show import plots, tables


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "inspect",
        help="show how many weights a file of masks keeps in each layer",
        description="Show how many weights the masks in a file keep in each layer: as a table, as "
        "JSON with all details of the search, or as a picture. With --weights: show which tensors "
        "of a checkpoint are pruned, which are left out, and why.",
        epilog="example: swiftforce inspect masks.safetensors --plot masks.png",
    )
    parser.set_defaults(command=_inspect, refuse=parser.error, plot=None)
    parser.set_defaults(weights=None)
    parser.set_defaults(include=None, exclude=())
    parser.add_argument("masks", type=Path, nargs="?", help="a file of masks")
    add_weights(parser, required=False)
    add_patterns(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="draw layers and steps to this file; its suffix selects the format",
    )


def _inspect(options: argparse.Namespace) -> None:
    if (options.masks is None) == (options.weights is None):
        options.refuse("give either a file of masks or --weights")
    if options.weights is not None:
        _inspect_weights(options)
        return
    if options.include is not None or options.exclude:
        options.refuse("--include and --exclude are for --weights")
    if options.plot is not None:
        if not plots.can_plot():
            raise ImportError("pictures need matplotlib: pip install 'swiftforce[demo]'")
        plots.check_figure_path(options.plot)
        if is_same_file(options.plot, [options.masks]):
            raise MaskFileError(f"{options.plot} is the file of masks: draw to another path")
    check_masks(options.masks)
    pruning = _loaded(options.masks)
    if options.plot is not None:
        plots.save(pruning.plot(), options.plot)
    if options.json:
        print(pruning.to_json())
        return
    tables.print_result(pruning)
    if options.plot is not None:
        print(f"picture: {printable(str(options.plot))}")


def _loaded(path: Path) -> Pruning[Any]:
    """The content of a file of masks; for a checkpoint, the message says what shows it."""
    try:
        return swiftforce.load(path)
    except MaskFileError as error:
        if not is_checkpoint(path):
            raise
        raise MaskFileError(
            f"{error} (for a checkpoint: swiftforce inspect --weights {shlex.quote(str(path))})"
        ) from None


def _inspect_weights(options: argparse.Namespace) -> None:
    """Show which tensors of a checkpoint `prune` searches."""
    if options.plot is not None:
        options.refuse("--plot is for a file of masks")
    weights = open_checkpoint(options.weights)
    decisions = weights.decisions(options.include, options.exclude)
    if options.json:
        rows = [
            {"name": one.name, "shape": one.shape, "pruned": one.chosen, "why": one.why}
            for one in decisions
        ]
        print(json.dumps(rows, ensure_ascii=False))
        return
    print(repr(Prunable(weights.tensors, decisions)))
