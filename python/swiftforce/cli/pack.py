"""The commands ``pack`` and ``unpack``: a checkpoint without its zeros, and back, bit for bit."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import swiftforce
from swiftforce.cli.conversions import as_private_as, check_suffix, written_as
from swiftforce.cli.input_files import check_masks, check_packed, open_checkpoint
from swiftforce.cli.prune import add_weights
from swiftforce.errors import CheckpointError, UnsupportedTypeError, printable
from swiftforce.files import (
    Checkpoint,
    PackedTensor,
    TensorInfo,
    bits_of,
    check_output_path,
    check_shape,
    header_of,
    is_same_file,
    read_packed,
    write_packed,
)
from swiftforce.inputs import Array
from swiftforce.result import masks_by_name


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    parser = commands.add_parser(
        "pack",
        help="write a sparse checkpoint without its zeros",
        description="Write a packed model: of each sparse tensor the values that are not zero, and "
        "their positions, a byte or so each. Other tensors are stored as they are. `swiftforce "
        "unpack` gives all tensors back, bit for bit, in one file. Memory must hold the packed "
        "model twice, and the largest tensor.",
        epilog="example: swiftforce pack --weights sparse.safetensors --output packed.safetensors",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(command=_pack, masks=None)
    add_weights(parser)
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="a file of masks: what they keep is stored also where it is zero, so that the masks "
        "come back, too. Weights that they remove must be zero: see `swiftforce apply`",
    )
    _add_output(parser, "file for the packed model")
    parser = commands.add_parser(
        "unpack",
        help="write the checkpoint that was packed",
        description="Write all tensors of a packed model, zeros included: to a safetensors file, "
        "or to one of torch or numpy if the name ends in .pt, .pth, .bin, .ckpt or .npz.",
        epilog="example: swiftforce unpack packed.safetensors --output sparse.safetensors",
    )
    parser.set_defaults(command=_unpack)
    parser.add_argument("packed", type=Path, help="a packed model")
    _add_output(parser, "file for the checkpoint")


def _add_output(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help=f"{text}; it is replaced if it exists, but must not be one of the inputs",
    )


def _pack(options: argparse.Namespace) -> None:
    checkpoint = open_checkpoint(options.weights)
    inputs = [*checkpoint.sources, *filter(None, [options.masks])]
    check_output(options.output, inputs)
    check_suffix(options.output, own=True)
    masks = {} if options.masks is None else masks_of_checkpoint(options.masks, checkpoint)
    # In the order of the files, in which they are read fastest and come back.
    order = sorted(
        checkpoint.tensors.items(),
        key=lambda item: (checkpoint.files.index(item[1].file), item[1].start),
    )
    tensors = [_packed(checkpoint, name, info, masks.get(name)) for name, info in order]
    with as_private_as(checkpoint.sources):
        write_packed(options.output, tensors, checkpoint.metadata)
    before = sum(file.stat().st_size for file in checkpoint.sources)
    after = options.output.stat().st_size
    sparse = sum(not tensor.is_whole for tensor in tensors)
    print(
        f"{sparse} of {len(tensors)} tensors packed; {after:,} bytes, "
        f"{after / before:.2%} of {before:,}\npacked: {printable(str(options.output))}"
    )


def _unpack(options: argparse.Namespace) -> None:
    check_packed(options.packed)
    check_output(options.output, [options.packed])
    tensors, metadata = read_packed(options.packed)
    # Each tensor begins at a multiple of its elements' size, as readers that map files need.
    tensors.sort(key=lambda tensor: -bits_of(tensor.dtype))
    infos = {tensor.name: (tensor.dtype, tensor.shape) for tensor in tensors}
    with (
        as_private_as([options.packed]),
        written_as(options.output) as plain,
        plain.open("wb") as file,
    ):
        file.write(header_of(infos, metadata))
        for tensor in tensors:
            file.write(tensor.unpacked().data)
    print(f"{len(tensors)} tensors\nweights: {printable(str(options.output))}")


def check_output(output: Path, inputs: list[Path]) -> None:
    """Refuse an output that is one of the inputs.

    Raises
    ------
    CheckpointError, OSError
    """
    check_output_path(output)
    if is_same_file(output, inputs):
        raise CheckpointError(f"{output} is an input: write to another path")


def masks_of_checkpoint(path: Path, checkpoint: Checkpoint) -> dict[str, Array]:
    """The masks of a file, by the names of the tensors.

    Raises
    ------
    WeightsDifferError
        If a tensor is missing, or has another shape.
    """
    check_masks(path)
    shapes = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    return masks_by_name(swiftforce.load(path), shapes, str(path))


def _packed(
    checkpoint: Checkpoint, name: str, info: TensorInfo, mask: Array | None
) -> PackedTensor:
    """One tensor of a checkpoint.

    Raises
    ------
    CheckpointError
        If no array can have its shape, or its file was changed meanwhile.
    RemovedWeightsError
        If a weight that the mask removes is not +0.
    UnsupportedTypeError
        If it has a mask, and elements of less than a byte.
    OSError
    """
    with checkpoint.open(info.file) as file:
        content = np.frombuffer(file.read(info.start, info.stop - info.start), np.uint8)
    check_shape(name, info, content.dtype)
    bits = bits_of(info.dtype)
    if bits >= 8:
        elements = content.view(f"u{bits // 8}").reshape(info.shape)
        return PackedTensor.of(name, info.dtype, elements, mask)
    if mask is not None:
        raise UnsupportedTypeError(f"{name!r} is {info.dtype}, which is packed without a mask")
    return PackedTensor(name, info.dtype, info.shape, content)
