"""The command ``apply``: write a checkpoint in which removed weights are zero.

Bytes are copied in pieces to new files, so no file is loaded as a whole. All bytes outside masked
tensors, headers included, are copied unchanged.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

import swiftforce
from swiftforce.cli.conversions import check_suffix, written_as
from swiftforce.cli.input_files import check_masks, open_checkpoint
from swiftforce.cli.prune import add_weights
from swiftforce.errors import CheckpointError, UnsupportedTypeError, printable
from swiftforce.files import (
    PRUNABLE_DTYPES,
    Checkpoint,
    StableFile,
    TensorInfo,
    atomic_folder,
    check_folder,
    check_output_path,
    is_same_file,
    open_regular,
)
from swiftforce.inputs import Array
from swiftforce.result import masks_by_name
from swiftforce.show import WorkProgress

#: Types in which zero bits are the number zero. For quantised integers that depends on their scale.
_ZEROS = (*PRUNABLE_DTYPES, "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
#: Bytes copied at a time. An interrupt takes effect between two pieces.
_PIECE = 1 << 22

Masks = Mapping[str, Array]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "apply",
        help="write a checkpoint with the removed weights set to zero",
        description="Write a checkpoint in which the weights that the masks remove are exactly "
        "zero. All other bytes are copied unchanged. Files may be larger than memory; masks take a "
        "byte per weight. New files replace old ones when all are complete: the disk needs space "
        "for both.",
        epilog="example: swiftforce apply masks.safetensors --weights model.safetensors "
        "--output sparse.safetensors",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(command=_apply)
    parser.add_argument("masks", type=Path, help="a file of masks")
    add_weights(parser)
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="PATH",
        default=argparse.SUPPRESS,
        help="output file; for a checkpoint of several files or with an index, output folder, "
        "which is created and gets files of the same names. Existing files are replaced, also the "
        "input itself",
    )


def _apply(options: argparse.Namespace) -> None:
    check_masks(options.masks)
    checkpoint = open_checkpoint(options.weights)
    targets = _targets(checkpoint, options.output, options.masks)
    pruning = swiftforce.load(options.masks)
    shapes = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    masks = masks_by_name(pruning, shapes, str(options.masks))
    _check_types(masks, checkpoint)
    work = WorkProgress(sum(file.stat().st_size for file in checkpoint.files), unit="B")
    with work:
        if len(targets) == 1:
            with written_as(options.output) as temporary:
                _write(checkpoint.files[0], temporary, checkpoint, masks, work)
        else:
            with atomic_folder(options.output) as folder:
                for source in targets:
                    _write(source, folder / source.name, checkpoint, masks, work)
    print(
        f"{pruning.size - pruning.keep:,} of {pruning.size:,} weights in {len(masks)} tensors "
        f"set to zero\nweights: {printable(str(options.output))}"
    )


# ------------------------------------------------------------------------- checks before any work


def _targets(checkpoint: Checkpoint, output: Path, masks: Path) -> dict[Path, Path]:
    """The output path of each input file.

    Raises
    ------
    CheckpointError
        If two files have the same output path, or an output path is an input of another file.
    OSError
        If an output path cannot be written.
    """
    sources = (*checkpoint.files, *checkpoint.indices)
    if len(sources) > 1 and checkpoint.sources != sources:
        raise CheckpointError(
            f"{checkpoint} are several files, not all of safetensors: give those of torch or numpy "
            "one at a time"
        )
    if len(sources) == 1:
        check_suffix(output)
        check_output_path(output)
        targets = {sources[0]: output}
    else:
        if not output.parent.is_dir() or (output.exists() and not output.is_dir()):
            raise NotADirectoryError(
                f"{str(output)!r} is not a folder and cannot be created as one: "
                f"{len(sources)} files need a folder"
            )
        check_folder(output if output.exists() else output.parent)
        targets = {source: output / source.name for source in sources}
    by_target: dict[Path, Path] = {}
    for source, target in targets.items():
        if target in by_target:
            raise CheckpointError(
                f"{by_target[target]} and {source} have the same output path {target}"
            )
        by_target[target] = source
        if target.is_dir():
            raise IsADirectoryError(f"{str(target)!r} is a folder: name a file")
        if is_same_file(target, [masks, *(other for other in sources if other != source)]):
            raise CheckpointError(f"{target} is an input: write to another path")
    return targets


def _check_types(masks: Masks, checkpoint: Checkpoint) -> None:
    """Refuse masks of tensors of a type whose zero is not known.

    Raises
    ------
    UnsupportedTypeError
    """
    for name in masks:
        dtype = checkpoint.tensors[name].dtype
        if dtype not in _ZEROS:
            raise UnsupportedTypeError(
                f"{name!r} has type {dtype}, whose zero is not known: convert it to "
                f"one of {', '.join(_ZEROS)}"
            )


# ------------------------------------------------------------------------- writing


def _write(
    source: Path, target: Path, checkpoint: Checkpoint, masks: Masks, work: WorkProgress
) -> None:
    """Write one file."""
    with target.open("wb") as file:
        # Before there is content, so that private files stay private.
        shutil.copymode(source, target)
        if source in checkpoint.indices:
            with open_regular(source) as index:
                file.write(index.read())
            return
        for piece in _pieces(source, checkpoint, masks):
            file.write(piece)
            work.advance(len(piece))


def _pieces(source: Path, checkpoint: Checkpoint, masks: Masks) -> Iterator[bytearray]:
    """The bytes of the new file, piece by piece."""
    masked_tensors = [
        (checkpoint.tensors[name], mask)
        for name, mask in masks.items()
        if checkpoint.tensors[name].file == source
    ]
    with checkpoint.open(source) as file:
        done = 0
        for stored, mask in sorted(masked_tensors, key=lambda item: item[0].start):
            yield from _split(file, done, stored.start)
            yield from _masked(file, stored, mask)
            done = stored.stop
        yield from _split(file, done, file.state.size)


def _split(file: StableFile, start: int, stop: int) -> Iterator[bytearray]:
    for begin in range(start, stop, _PIECE):
        yield file.read(begin, min(_PIECE, stop - begin))


def _masked(file: StableFile, stored: TensorInfo, mask: Array) -> Iterator[bytearray]:
    """The bytes of a tensor, with zeros for removed weights, piece by piece."""
    kept = mask.ravel()
    if not kept.size:
        return
    width = (stored.stop - stored.start) // kept.size
    step = _PIECE // width
    for begin in range(0, kept.size, step):
        kept_here = kept[begin : begin + step]
        part = file.read(stored.start + begin * width, kept_here.size * width)
        # As integers, so that -0.0 and NaN become +0.0, too.
        np.frombuffer(part, f"u{width}")[~kept_here] = 0
        yield part
