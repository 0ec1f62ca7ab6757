"""The command ``apply``: weights with the removed ones at zero, in files like those they came in.

Bytes are copied from the mapped file to a new one, in pieces: nothing is loaded whole, and what no
mask covers (other tensors, the header, what it says besides) stays as it is, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import swiftforce
from swiftforce.adapters import listed
from swiftforce.cli.prune import add_weights
from swiftforce.errors import CheckpointError, UnsupportedTypeError, WeightsDifferError
from swiftforce.files import (
    PRUNABLE_DTYPES,
    Checkpoint,
    TensorInfo,
    atomic_write,
    check_output_path,
    is_same_file,
)
from swiftforce.inputs import MASKS, Array, Tensors
from swiftforce.show import WorkProgress

#: Types in which all bits zero are the number zero: what it is in integers, only their scales know.
_ZEROS = (*PRUNABLE_DTYPES, "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
#: Bytes that are copied at a time: an interrupt waits for no more.
_PIECE = 1 << 26

Masks = Mapping[str, Array]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "apply",
        help="write a checkpoint with the removed weights at zero",
        description="Write a checkpoint in which the weights that a file of masks removes are "
        "exactly zero, and all else is as it was, bit for bit. Files may be larger than memory; "
        "masks need a byte per weight. Files are written aside and then renamed, so there must be "
        "room for them even where they replace those that are read.",
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
        help="a file; for a checkpoint of several files or with an index a folder, which is made "
        "if need be and gets files of the same names. What is there is replaced; it may be what "
        "is read",
    )


def _apply(options: argparse.Namespace) -> None:
    checkpoint = Checkpoint(options.weights)
    targets = _targets(checkpoint, options.output, options.masks)
    pruning = swiftforce.load(options.masks)
    arrays = Tensors(pruning.masks, "masks", MASKS).arrays
    masks = {layer.name: mask for layer, mask in zip(pruning.layers, arrays, strict=True)}
    _check(masks, checkpoint, options.masks)
    work = WorkProgress(sum(file.stat().st_size for file in checkpoint.files), unit="B")
    with work, _folder(options.output, checkpoint), ExitStack() as asides:
        # All are complete before the first of them is renamed.
        for source, target in targets.items():
            aside = asides.enter_context(atomic_write(target))
            _write(source, aside, checkpoint, masks, work)
    print(
        f"{pruning.size - pruning.keep:,} of {pruning.size:,} weights in {len(masks)} tensors "
        f"set to zero\nweights: {options.output}"
    )


# ------------------------------------------------------------------------- before anything is done


def _targets(checkpoint: Checkpoint, output: Path, masks: Path) -> dict[Path, Path]:
    """Where each file goes.

    Raises
    ------
    CheckpointError
        If two would go to the same place, or one where the masks are.
    OSError
        If nothing can be written there.
    """
    sources = (*checkpoint.files, *checkpoint.indices)
    if len(sources) == 1:
        check_output_path(output)
        targets = {sources[0]: output}
    else:
        if not output.parent.is_dir() or (output.exists() and not output.is_dir()):
            raise NotADirectoryError(
                f"{str(output)!r} is not, and cannot become, the folder that {len(sources)} files "
                "need"
            )
        targets = {source: output / source.name for source in sources}
    by_target: dict[Path, Path] = {}
    for source, target in targets.items():
        if target in by_target:
            raise CheckpointError(f"{by_target[target]} and {source} would both become {target}")
        by_target[target] = source
        if target.is_dir():
            raise IsADirectoryError(f"{str(target)!r} is a folder")
        if is_same_file(target, [masks, *(other for other in sources if other != source)]):
            raise CheckpointError(f"{target} is to be read: write to another place")
    return targets


def _check(masks: Masks, checkpoint: Checkpoint, path: Path) -> None:
    """Refuse masks that do not fit the tensors.

    Raises
    ------
    WeightsDifferError
        If a tensor is missing or has another shape: the message says which.
    UnsupportedTypeError
        If a tensor is of a type that may have no zero.
    """
    tensors = checkpoint.tensors
    found = []
    if missing := [name for name in masks if name not in tensors]:
        found.append(f"{listed(missing)} missing")
    found += [
        f"{name!r} has shape {tensors[name].shape}, not {mask.shape}"
        for name, mask in masks.items()
        if name in tensors and tensors[name].shape != mask.shape
    ]
    if found:
        raise WeightsDifferError(f"{path} holds masks of other weights: {'; '.join(found)}")
    for name in masks:
        if tensors[name].dtype not in _ZEROS:
            raise UnsupportedTypeError(
                f"{name!r} is {tensors[name].dtype}, whose zero is not known; there are: "
                f"{', '.join(_ZEROS)}"
            )


# ------------------------------------------------------------------------- writing


@contextmanager
def _folder(output: Path, checkpoint: Checkpoint) -> Iterator[None]:
    """Make the folder that several files need; take it away if nothing comes of them."""
    if output.is_dir() or len(checkpoint.files) + len(checkpoint.indices) == 1:
        yield
        return
    output.mkdir()
    try:
        yield
    except BaseException:
        if not any(output.iterdir()):
            output.rmdir()
        raise


def _write(
    source: Path, aside: Path, checkpoint: Checkpoint, masks: Masks, work: WorkProgress
) -> None:
    """Write one file beside the place where it shall stand, and let it reach the disk."""
    with aside.open("wb") as file:
        # While nothing is in it yet: what only its owner may read stays so.
        shutil.copymode(source, aside)
        if source in checkpoint.indices:
            file.write(source.read_bytes())
        else:
            for piece in _pieces(source, checkpoint, masks):
                file.write(piece.data)
                work.advance(piece.nbytes)
        file.flush()
        os.fsync(file.fileno())


def _pieces(source: Path, checkpoint: Checkpoint, masks: Masks) -> Iterator[Array]:
    """The bytes of the new file, in order."""
    raw = checkpoint.raw(source)
    covered = [
        (checkpoint.tensors[name], mask)
        for name, mask in masks.items()
        if checkpoint.tensors[name].file == source
    ]
    done = 0
    for stored, mask in sorted(covered, key=lambda item: item[0].start):
        yield from _parts(raw[done : stored.start])
        yield from _masked(raw, stored, mask)
        done = stored.stop
    yield from _parts(raw[done:])


def _parts(raw: Array) -> Iterator[Array]:
    for start in range(0, raw.size, _PIECE):
        yield raw[start : start + _PIECE]


def _masked(raw: Array, stored: TensorInfo, mask: Array) -> Iterator[Array]:
    """The bytes of a tensor with those of removed weights zero."""
    kept = mask.ravel()
    if not kept.size:
        return
    tensor = raw[stored.start : stored.stop]
    width = tensor.size // kept.size
    step = _PIECE // width
    for start in range(0, kept.size, step):
        # A copy is aligned, wherever the tensor lies. Integers: zero is no product, and never -0.
        part = tensor[start * width : (start + step) * width].copy()
        part.view(f"u{width}")[~kept[start : start + step]] = 0
        yield part
