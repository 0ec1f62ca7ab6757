"""Temporary folders beside the files that are written in them, and what killed writers left.

A writer holds a lock on its folder. The system releases it when the process ends, however it ends,
so a folder that can be locked has no writer any more, and the next writer deletes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: How the names begin. Version 0.2 and older had no locks, and other names.
PREFIX = ".swiftforce-write-"


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder in another one, which is deleted when the block ends.

    Those of writers that were killed are deleted, too.

    Raises
    ------
    OSError
        If nothing can be created there.
    """
    delete_abandoned(parent)
    folder, lock = _locked_folder(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock."""
    while True:
        try:
            folder = Path(tempfile.mkdtemp(dir=parent, prefix=PREFIX))
        except OSError as error:
            raise type(error)(error.errno, error.strerror, str(parent)) from None
        lock = _open_folder(folder)
        if lock is None:  # another writer took it for abandoned before it was locked
            continue
        # Some file systems have no locks: then nobody locks it, and nobody deletes it.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)


def _open_folder(folder: Path) -> int | None:
    """A descriptor of a folder; None if it is none, or is gone."""
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None


def delete_abandoned(parent: Path) -> None:
    """Delete the folders that no process has locked; leave those that cannot be deleted."""
    with suppress(OSError), os.scandir(parent) as entries:
        for name in [entry.name for entry in entries if entry.name.startswith(PREFIX)]:
            lock = _open_folder(parent / name)
            if lock is None:
                continue
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(parent / name, ignore_errors=True)
            os.close(lock)
