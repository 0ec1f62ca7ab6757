"""The command ``export``: the sparse weights of a checkpoint in compressed rows, for scipy."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from swiftforce.cli.conversions import array_of, as_private_as
from swiftforce.cli.input_files import open_checkpoint
from swiftforce.cli.pack import check_output, masks_of_checkpoint
from swiftforce.cli.prune import add_weights
from swiftforce.errors import CheckpointError, printable
from swiftforce.files import atomic_write, csr_arrays, write_npz
from swiftforce.inputs import Array


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "export",
        help="write the sparse weights of a checkpoint in compressed rows (CSR), for scipy",
        description="Write the tensors of a checkpoint as a file of numpy, sparse ones in "
        "compressed rows: of w there are w.data, w.indices, w.indptr, as in "
        "scipy.sparse.csr_matrix, and w.shape. Rows are the first axis of the shape, and columns "
        "the others together. Formats that need the model's code, such as ONNX, are written by "
        "swiftforce.torch.export in Python. Memory must hold the largest tensor.",
        epilog="example: swiftforce export --weights model.safetensors --masks masks.safetensors "
        "--output model.npz",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(command=_export, masks=None)
    add_weights(parser)
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="a file of masks: the tensors that have one are written in rows, without what it "
        "removes. By default those with two or more axes whose rows take fewer bytes, without "
        "what is zero",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="file to write, whose name ends in .npz; it is replaced if it exists, but must not "
        "be one of the inputs",
    )


def _export(options: argparse.Namespace) -> None:
    if options.output.suffix.lower() != ".npz":
        advice = "write it by swiftforce.torch.export in Python, which has the model"
        if options.output.suffix.lower() not in (".onnx", ".pt2"):
            advice = "name it .npz"
        raise CheckpointError(f"{options.output} would be no file of compressed rows: {advice}")
    checkpoint = open_checkpoint(options.weights)
    check_output(options.output, [*checkpoint.sources, *filter(None, [options.masks])])
    masks = {} if options.masks is None else masks_of_checkpoint(options.masks, checkpoint)
    sparse: list[str] = []

    def arrays() -> Iterator[tuple[str, Array]]:
        for name in checkpoint.tensors:
            elements = array_of(checkpoint, name)
            mask = masks.get(name) if options.masks is not None else _where_sparse(elements)
            if mask is None:
                yield name, elements
            else:
                sparse.append(name)
                yield from csr_arrays(name, elements, mask)

    with as_private_as(checkpoint.sources), atomic_write(options.output) as temporary:
        write_npz(temporary, arrays())
    before = sum(file.stat().st_size for file in checkpoint.sources)
    after = options.output.stat().st_size
    print(
        f"{len(sparse)} of {len(checkpoint.tensors)} tensors in compressed rows; {after:,} bytes, "
        f"{after / before:.2%} of {before:,}\nexported: {printable(str(options.output))}"
    )


def _where_sparse(elements: Array) -> Array | None:
    """Where a tensor is not zero, if its rows take fewer bytes than all of it."""
    if elements.ndim < 2:
        return None
    mask: Array = elements != 0
    indices = 4 * (np.count_nonzero(mask) + elements.shape[0] + 1)
    in_rows = np.count_nonzero(mask) * elements.itemsize + indices
    return mask if in_rows < elements.nbytes else None
