"""Files: written whole or not at all, and named in what is wrong with them."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from swiftforce.errors import DatasetError


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to, which becomes `path` if the block ends without an error.

    Its name is that of `path`. What was at `path` before stays until then, and who may read it may
    read what replaces it. A link is replaced, and what it leads to stays.

    Raises
    ------
    OSError
        If the file cannot be written, or what is at `path` is no file.
    """
    target = Path(path)
    check_output_path(target)
    with TemporaryDirectory(dir=target.parent, prefix=".swiftforce-") as folder:
        aside = Path(folder, target.name)
        yield aside
        if target.exists():
            shutil.copymode(target, aside)
        aside.replace(target)


def check_output_path(path: Path) -> None:
    """Refuse a path that no file can be written to, before work that ends there.

    Raises
    ------
    OSError
        If there is no folder to hold the file, or something that is no file stands in its place: a
        folder, a device, a pipe.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r} for {path.name!r}")
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise OSError(f"{str(path)!r} is not a regular file, and is not replaced by one")


def is_same_file(path: Path, files: Iterable[Path]) -> bool:
    """Whether a path leads to one of these files, by whatever name."""
    return path.exists() and any(file.exists() and path.samefile(file) for file in files)


def file_error(path: Path, problem: str) -> DatasetError:
    """The error that says what is wrong with a file of a data set."""
    return DatasetError(f"{str(path)!r}: {problem}")


def file_size(path: Path, advice: str) -> int:
    """Return the length of a regular file; anything else is an error that ends in `advice`."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise file_error(path, f"no such file; {advice}") from None
    except OSError as error:
        raise file_error(path, f"cannot be read: {error.strerror}") from None
    except ValueError as error:  # a null byte in the path
        raise file_error(path, f"not a path: {error}") from None
    if stat.S_ISDIR(status.st_mode):
        raise file_error(path, f"is a folder; {advice}")
    if not stat.S_ISREG(status.st_mode):
        raise file_error(path, "is not a regular file")
    return status.st_size
