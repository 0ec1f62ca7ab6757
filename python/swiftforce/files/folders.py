"""Several files that appear in a folder together, or not at all.

A folder is made anew beside the old one: with the new files, and with links to all that stays. One
system call exchanges the two, so that no reader finds files of both, whenever the process ends.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from swiftforce.files.access import keep_access
from swiftforce.files.atomic import flush
from swiftforce.files.temporary import PREFIX, delete_abandoned, temporary_folder

#: The most files that are linked. A larger folder is hardly one of a checkpoint.
_MOST = 10_000


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to write files to, which are in `path` if the block ends without an error.

    Other files of `path` stay, and files of the same names are replaced: see `atomic_write` for who
    may read them. If `path` is a link to a folder, the files appear in that folder.

    Where two folders cannot be exchanged, the files are renamed one after the other. JSON files,
    such as the index of a checkpoint, are then deleted first and renamed last, so that an index
    never names files of which some are old. That is so for the current folder, which a shell would
    lose; for a mount, or a folder in one that cannot be written to; for a folder whose owner or
    group the new one would not have, or in which another writer is at work; for more than 10,000
    files; and on file systems that cannot link or exchange, such as NFS.

    An exchanged folder has another inode: another process whose current folder it was has lost it.

    Raises
    ------
    OSError
        If the files cannot be written.
    """
    target = Path(os.path.realpath(path))
    with _new_folder(target) as (new, exchanged):
        yield new
        names = sorted(file.name for file in new.iterdir())
        for name in names:
            if (target / name).exists():
                keep_access(target / name, new / name)
            flush(new / name)
        flush(new)
        if not target.exists():
            new.rename(target)
        elif not (exchanged and _replace_folder(target, new, names)):
            _rename_each(new, target, names)
        flush(target)
        flush(target.parent)


@contextmanager
def _new_folder(target: Path) -> Iterator[tuple[Path, bool]]:
    """A folder to write to, and whether it may become the target.

    Its group and access list are those of the target, so that new files get them.
    """
    if _may_be_exchanged(target):
        with temporary_folder(target.parent) as aside:
            new = aside / target.name
            new.mkdir()
            if not target.exists() or keep_access(target, new):
                yield new, True
                return
    with temporary_folder(target) as aside:
        new = aside / target.name
        new.mkdir()
        yield new, False


def _may_be_exchanged(target: Path) -> bool:
    """Whether a folder may become another one of the same name."""
    if not target.exists():
        return True
    here = Path(os.path.realpath(os.curdir))
    return (
        target not in (here, *here.parents)
        and not target.is_mount()
        and os.access(target.parent, os.W_OK | os.X_OK)
    )


def _replace_folder(target: Path, new: Path, names: Sequence[str]) -> bool:
    """Put a new folder in the place of the old one; False if that cannot be done."""
    try:
        if not _link_others(target, new, names):
            return False
        linked = _entries(new, names)
    except OSError:  # the error of shutil is one, too
        return False
    if not _exchange(target, new):
        return False
    _catch_up(new, target, linked, names)
    return True


def _link_others(target: Path, new: Path, names: Sequence[str]) -> bool:
    """Link all that stays to the new folder; False if it would not be the same there.

    Raises
    ------
    OSError
        If something cannot be linked.
    """
    count = 0
    for folder, folders, files in os.walk(target):
        delete_abandoned(Path(folder))
        count += len(files)
        # A writer that is at work would not find its temporary folder.
        if count > _MOST or any(Path(folder, name).exists() for name in _temporary(folders)):
            return False

    def left_out(folder: str, entries: list[str]) -> set[str]:
        return _temporary(entries) | (set(names) if Path(folder) == target else set())

    shutil.copytree(
        target, new, symlinks=True, ignore=left_out, copy_function=os.link, dirs_exist_ok=True
    )
    for folder, _, _ in os.walk(new):
        if not keep_access(target / Path(folder).relative_to(new), Path(folder)):
            return False
        flush(Path(folder))
    return True


def _temporary(names: Sequence[str]) -> set[str]:
    return {name for name in names if name.startswith(PREFIX)}


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders at once; False if the system cannot do that."""
    import ctypes  # here, because few programs write folders

    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
    with suppress(AttributeError):  # of a C library without the function
        if sys.platform == "darwin":
            return bool(library.renamex_np(*names, 2) == 0)  # RENAME_SWAP
        return bool(library.renameat2(here, names[0], here, names[1], exchange) == 0)
    return False


def _entries(top: Path, names: Sequence[str]) -> dict[str, int]:
    """The inode of all in a folder, 0 for folders, by path; without the files of these names."""
    found: dict[str, int] = {}
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = str(Path(folder, name).relative_to(top))
            inode = _inode(top / path)
            if path not in names and inode is not None:
                found[path] = inode
    return found


def _inode(path: Path) -> int | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return 0 if stat.S_ISDIR(status.st_mode) else status.st_ino


def _catch_up(old: Path, target: Path, linked: Mapping[str, int], names: Sequence[str]) -> None:
    """Repeat what others did in the old folder between the links and the exchange.

    What they did in the new folder since then is newer, and stays.
    """
    found = _entries(old, names)
    for path, inode in reversed(list(linked.items())):  # what is in a folder before the folder
        gone = path not in found or (found[path] == 0) != (inode == 0)
        if gone and _inode(target / path) == inode:
            with suppress(OSError):  # a folder with newer files stays
                (target / path).unlink() if inode else (target / path).rmdir()
    for path, inode in found.items():
        # A new folder is moved with all that is in it.
        changed = linked.get(path) != inode and _inode(old / path) is not None
        if changed and _inode(target / path) in (None, linked.get(path)):
            with suppress(OSError):
                (old / path).rename(target / path)


def _rename_each(new: Path, target: Path, names: Sequence[str]) -> None:
    last = [name for name in names if name.endswith(".json")]
    for name in last:
        (target / name).unlink(missing_ok=True)
    flush(target)
    for name in [*(name for name in names if name not in last), *last]:
        if name in last:
            flush(target)
        (new / name).replace(target / name)
