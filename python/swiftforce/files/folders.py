"""Several files that appear in a folder together, or not at all.

A folder is made anew beside the old one: with the new files, and with links to all that stays. One
system call exchanges the two, so that no reader finds files of both, whenever the process ends.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from swiftforce.files.access import keep_access
from swiftforce.files.atomic import flush
from swiftforce.files.temporary import PREFIX, temporary_folder

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
    lose; for a mount, or a folder in one that cannot be written to; for more than 10,000 files; and
    on file systems that cannot link or exchange, such as NFS.

    Raises
    ------
    OSError
        If the files cannot be written.
    """
    target = Path(os.path.realpath(path))
    exchanged = _may_be_exchanged(target)
    with temporary_folder(target.parent if exchanged else target) as aside:
        new = aside / target.name
        new.mkdir()
        yield new
        names = sorted(file.name for file in new.iterdir())
        for name in names:
            if (target / name).exists():
                keep_access(target / name, new / name)
            flush(new / name)
        flush(new)
        if not target.exists():
            new.rename(target)
        elif not (exchanged and _link_others(target, new, names) and _exchange(target, new)):
            _rename_each(new, target, names)
        else:
            _rescue(new, target, names)
        flush(target)
        flush(target.parent)


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


def _link_others(target: Path, new: Path, names: Sequence[str]) -> bool:
    """Link all that stays to the new folder; False if that cannot be done."""
    if sum(len(files) for _, _, files in os.walk(target)) > _MOST:
        return False

    def left_out(folder: str, entries: list[str]) -> set[str]:
        abandoned = {entry for entry in entries if entry.startswith(PREFIX)}
        return abandoned | (set(names) if Path(folder) == target else set())

    try:
        shutil.copytree(
            target, new, symlinks=True, ignore=left_out, copy_function=os.link, dirs_exist_ok=True
        )
        for folder, _, _ in os.walk(new):
            keep_access(target / Path(folder).relative_to(new), Path(folder))
            flush(Path(folder))
    except OSError:  # the error of shutil is one, too
        return False
    return True


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


def _rescue(old: Path, target: Path, names: Sequence[str]) -> None:
    """Move what others have created in the old folder after it was linked."""
    for folder, _, files in os.walk(old):
        place = target / Path(folder).relative_to(old)
        for file in files:
            if not os.path.lexists(place / file) and file not in names:
                with suppress(OSError):
                    place.mkdir(parents=True, exist_ok=True)
                    Path(folder, file).rename(place / file)


def _rename_each(new: Path, target: Path, names: Sequence[str]) -> None:
    last = [name for name in names if name.endswith(".json")]
    for name in last:
        (target / name).unlink(missing_ok=True)
    flush(target)
    for name in [*(name for name in names if name not in last), *last]:
        if name in last:
            flush(target)
        (new / name).replace(target / name)
