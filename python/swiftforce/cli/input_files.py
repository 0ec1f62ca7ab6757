"""Files that commands read: other formats than safetensors are refused with advice."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from swiftforce.errors import CheckpointError
from swiftforce.files import Checkpoint, open_regular


def open_checkpoint(paths: Sequence[Path]) -> Checkpoint:
    """The checkpoint in these files.

    Raises
    ------
    CheckpointError
        If a file is damaged, or of another format: the message says how to convert it.
    ImportError, OSError
    """
    for path in paths:
        check_format(path)
    return Checkpoint(paths)


def check_format(path: Path) -> None:
    """Refuse a file of torch or numpy.

    Raises
    ------
    CheckpointError
        The message says how to convert the file.
    """
    found = _format(path)
    if found is None:
        return
    source, target = repr(str(path)), repr(str(path.with_suffix(".safetensors")))
    kind, convert = {
        "torch": (
            "a file of torch.save",
            f"safetensors.torch.save_file(torch.load({source}, map_location='cpu'), {target})",
        ),
        "npz": (
            "an npz file of numpy",
            f"safetensors.numpy.save_file(dict(numpy.load({source})), {target})",
        ),
        "npy": (
            "an npy file of numpy",
            f"safetensors.numpy.save_file({{'weight': numpy.load({source})}}, {target})",
        ),
    }[found]
    raise CheckpointError(
        f"{path} is {kind}, not safetensors: convert its tensors in Python with {convert}"
    )


def _format(path: Path) -> str | None:
    """The format that the first bytes of a file show; None for any other."""
    if not path.is_file():  # which is refused where it is read
        return None
    with open_regular(path) as file:
        start = file.read(8)
    if start.startswith(b"\x93NUMPY"):
        return "npy"
    # Older versions of torch write pickles, newer ones zip archives with a pickle. The first two
    # bytes of a pickle alone may be the length of a safetensors header; the number that torch
    # writes first begins with the others.
    if start.startswith(b"\x80\x02\x8a\x0a"):
        return "torch"
    if start.startswith(b"PK\x03\x04"):
        return _format_in_zip(path)
    return None


def _format_in_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return None
    if any(name.endswith("data.pkl") for name in names):
        return "torch"
    return "npz" if names and all(name.endswith(".npy") for name in names) else None
