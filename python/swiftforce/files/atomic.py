"""Files that are written as a whole or not at all, also if the process or the machine stops."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from swiftforce.files.access import keep_access
from swiftforce.files.temporary import temporary_folder


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path to write to, which becomes `path` if the block ends without an error.

    The yielded path has the file name of `path` and is in a temporary folder beside it. A file that
    was at `path` stays until the block ends, and its permissions, group and access list pass to the
    new file. A symbolic link is replaced; its target stays. The new file has reached the disk
    before it gets its name, and its name before this returns.

    Raises
    ------
    OSError
        If the file cannot be written, or `path` is something other than a file.
    """
    target = Path(path)
    check_output_path(target)
    with temporary_folder(target.parent) as folder:
        temporary = folder / target.name
        yield temporary
        if target.exists():
            keep_access(target, temporary)
        flush(temporary)
        temporary.replace(target)
        flush(target.parent)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems do not flush folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def check_output_path(path: Path) -> None:
    """Refuse a path that cannot be written to, before the work whose output it is for.

    Raises
    ------
    OSError
        If its folder does not exist or cannot be written to, or the path is a folder, a device or a
        pipe.
    """
    if not is_encodable(path):
        raise OSError(errno.EINVAL, "is not a path", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r} for {path.name!r}")
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise OSError(f"{str(path)!r} is not a regular file, and is not replaced by one")
    check_folder(path.parent)


def is_encodable(path: Path) -> bool:
    """Whether a text can be a path."""
    try:
        return b"\0" not in os.fsencode(path)
    except ValueError:  # half of a surrogate pair
        return False


def check_folder(folder: Path) -> None:
    """Refuse a folder in which nothing can be created."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"nothing can be written in the folder {str(folder)!r}")


def is_same_file(path: Path, files: Iterable[Path]) -> bool:
    """Whether a path is one of these files, also by another name or through a link."""
    return path.exists() and any(file.exists() and path.samefile(file) for file in files)
