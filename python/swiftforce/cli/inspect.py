"""The command ``inspect``: show the masks in a file."""

from __future__ import annotations

import argparse
from pathlib import Path

import swiftforce
from swiftforce.cli.input_files import check_format
from swiftforce.errors import MaskFileError, printable
from swiftforce.files import is_same_file
from swiftforce.show import plots, tables


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "inspect",
        help="show how many weights a file of masks keeps in each layer",
        description="Show how many weights the masks in a file keep in each layer: as a table, as "
        "JSON with all details of the search, or as a picture.",
        epilog="example: swiftforce inspect masks.safetensors --plot masks.png",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(command=_inspect, plot=None)
    parser.add_argument("masks", type=Path, help="a file of masks")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="draw layers and steps to this file; its suffix selects the format",
    )


def _inspect(options: argparse.Namespace) -> None:
    if options.plot is not None:
        if not plots.can_plot():
            raise ImportError("pictures need matplotlib: pip install 'swiftforce[demo]'")
        plots.check_figure_path(options.plot)
        if is_same_file(options.plot, [options.masks]):
            raise MaskFileError(f"{options.plot} is the file of masks: draw to another path")
    check_format(options.masks)
    pruning = swiftforce.load(options.masks)
    if options.plot is not None:
        plots.save(pruning.plot(), options.plot)
    if options.json:
        print(pruning.to_json())
        return
    tables.print_result(pruning)
    if options.plot is not None:
        print(f"picture: {printable(str(options.plot))}")
