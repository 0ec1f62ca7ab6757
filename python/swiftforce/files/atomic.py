"""Files that are written as a whole or not at all, and errors that name the file."""

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

    The yielded path has the file name of `path` and is in a temporary folder beside it. A file that
    was at `path` stays until the block ends, and its permissions pass to the new file. A symbolic
    link is replaced; its target stays.

    Raises
    ------
    OSError
        If the file cannot be written, or `path` is something other than a file.
    """
    target = Path(path)
    check_output_path(target)
    with TemporaryDirectory(dir=target.parent, prefix=".swiftforce-") as folder:
        temporary = Path(folder, target.name)
        yield temporary
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)


def check_output_path(path: Path) -> None:
    """Refuse a path that cannot be written to, before the work whose output it is for.

    Raises
    ------
    OSError
        If its folder does not exist, or the path is a folder, a device or a pipe.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r} for {path.name!r}")
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise OSError(f"{str(path)!r} is not a regular file, and is not replaced by one")


def is_same_file(path: Path, files: Iterable[Path]) -> bool:
    """Whether a path is one of these files, also by another name or through a link."""
    return path.exists() and any(file.exists() and path.samefile(file) for file in files)


def file_error(path: Path, problem: str) -> DatasetError:
    """An error about a file of a data set, with its path."""
    return DatasetError(f"{str(path)!r}: {problem}")


def file_size(path: Path, advice: str) -> int:
    """The size of a regular file in bytes; anything else is an error that ends with `advice`."""
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
