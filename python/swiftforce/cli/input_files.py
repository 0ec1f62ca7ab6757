"""Files that commands read: safetensors, and files of torch and numpy, which are converted."""

from __future__ import annotations

import weakref
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import gettempdir

from swiftforce.cli.conversions import to_safetensors
from swiftforce.errors import MaskFileError, PackedFileError
from swiftforce.files import Checkpoint, open_regular, temporary_folder


def open_checkpoint(paths: Sequence[Path]) -> Checkpoint:
    """The checkpoint in these files.

    Files of `torch.save`, npz and npy files are copied to safetensors files in a temporary folder,
    in the one that the variable TMPDIR names or in /tmp, which goes with the checkpoint.

    Raises
    ------
    CheckpointError
        If a file is damaged, or holds something else than tensors.
    ImportError, OSError
    """
    kinds = {path: _format(path) for path in paths}
    if not any(kinds.values()):
        return Checkpoint(paths)
    stack = ExitStack()
    origins: dict[Path, Path] = {}
    try:
        folder = stack.enter_context(temporary_folder(Path(gettempdir())))
        for number, (path, kind) in enumerate(kinds.items()):
            if kind:
                (place := folder / str(number)).mkdir()
                copy = place / f"{path.stem}.safetensors"
                to_safetensors(path, kind, copy)
                origins[copy] = path
        copies = {path: copy for copy, path in origins.items()}
        checkpoint = Checkpoint([copies.get(path, path) for path in paths], origins)
    except BaseException:
        stack.close()
        raise
    weakref.finalize(checkpoint, stack.close)
    return checkpoint


def check_masks(path: Path) -> None:
    """Refuse a file of torch or numpy where masks are asked for.

    Raises
    ------
    MaskFileError
    """
    if _format(path) is not None:
        raise MaskFileError(f"{path} is a file of torch or numpy, not of masks")


def check_packed(path: Path) -> None:
    """Refuse a file of torch or numpy where a packed model is asked for.

    Raises
    ------
    PackedFileError
    """
    if _format(path) is not None:
        raise PackedFileError(f"{path} is a file of torch or numpy, not a packed model")


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
