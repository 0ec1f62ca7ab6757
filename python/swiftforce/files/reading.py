"""Files that are read: regular ones only, and never mapped while others may write to them.

A file that becomes shorter while it is mapped ends the process with a bus error. So bytes are
copied by reads, which can fail, and a file that is changed meanwhile is an error.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Self

from swiftforce.errors import SwiftForceError


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file for reading; anything else is refused at once.

    Opening a pipe would wait for a writer, and devices may never end.

    Raises
    ------
    OSError
        If there is no file, it cannot be read, or it is a folder, pipe, socket or device.
    """
    try:
        _check_regular(path, Path(path).stat().st_mode)
        # Another file may have the name by now: opening a pipe that way does not wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except ValueError as error:  # a null byte, or a character that the file system lacks
        raise OSError(errno.EINVAL, f"is not a path: {error}", str(path)) from None
    try:
        _check_regular(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(path: str | os.PathLike[str], mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is not a regular file", str(path))


@dataclass(frozen=True)
class FileState:
    """Which file a path named, and its content as far as the file system tells.

    Attributes
    ----------
    device, inode, size, modified : int
    """

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, file: BufferedReader) -> Self:
        """The state of an open file."""
        status = os.fstat(file.fileno())
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class StableFile:
    """A regular file that is read in pieces and must stay as it is.

    Attributes
    ----------
    path : Path
    state : FileState
    """

    def __init__(self, path: Path, file: BufferedReader, error: type[SwiftForceError]) -> None:
        self.path = path
        self.state = FileState.of(file)
        self._file = file
        self._error = error

    def read(self, start: int, size: int) -> bytearray:
        """The bytes from `start` on.

        Raises
        ------
        SwiftForceError
            The class of errors that `stable_file` was given, if the file has become shorter.
        OSError
        """
        data = bytearray(size)
        self.read_into(start, memoryview(data))
        return data

    def read_into(self, start: int, target: memoryview) -> None:
        """Fill a buffer with the bytes from `start` on; the errors are those of `read`."""
        done = 0
        while done < len(target):
            count = os.preadv(self._file.fileno(), [target[done:]], start + done)
            if not count:
                raise self._error(f"{self.path} became shorter while it was read")
            done += count


@contextmanager
def stable_file(
    path: Path, error: type[SwiftForceError], expected: FileState | None = None
) -> Iterator[StableFile]:
    """Open a file that must stay as it is until the block ends.

    Parameters
    ----------
    path : Path
    error : type
        The class of errors about files that change.
    expected : FileState, optional
        The state in which the file was before.

    Raises
    ------
    SwiftForceError
        `error`, if the file is another, or was written to.
    OSError
        If it cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        found = StableFile(path, file, error)
        if expected not in (None, found.state):
            raise error(f"{path} was changed while it was in use")
        yield found
        if FileState.of(file) != found.state:
            raise error(f"{path} was changed while it was read")
