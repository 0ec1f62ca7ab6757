"""Who may read and write a file or folder: kept when another one replaces it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: The attributes in which Linux keeps the access list, and that for new files of a folder.
_ACCESS_LISTS = ("system.posix_acl_access", "system.posix_acl_default")
#: What systems say if something cannot be kept. Containers know no number of some owners: EINVAL.
_REFUSALS = (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


def keep_access(old: Path, new: Path) -> bool:
    """Give a file or folder the owner, group, mode and access lists of another.

    Only the superuser may give a file to another owner, and only members may give it to a group. If
    the group or an access list cannot be kept, the new group gets what all others have.

    Returns
    -------
    bool
        Whether all of it was kept.

    Raises
    ------
    OSError
    """
    status = old.stat()
    # Refused: the writer then owns the file, as it owns any other that it writes.
    with _refusals_allowed():
        os.chown(new, status.st_uid, -1)
    with _refusals_allowed():
        os.chown(new, -1, status.st_gid)
    found = new.stat()
    mode = stat.S_IMODE(status.st_mode)
    kept = found.st_gid == status.st_gid and _keep_access_lists(old, new)
    if not kept:
        _remove_access_lists(new)
        mode = (mode & ~stat.S_IRWXG) | (mode & (mode & stat.S_IRWXO) << 3)
    # Where all files of a mount have one mode, it cannot be set.
    if stat.S_IMODE(new.stat().st_mode) != mode:
        new.chmod(mode)
    return kept and found.st_uid == status.st_uid


@contextmanager
def _refusals_allowed() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not isinstance(error, PermissionError) and error.errno not in _REFUSALS:
            raise


def _keep_access_lists(old: Path, new: Path) -> bool:
    """Copy the access lists, or remove what the folder gave; False if that is refused."""
    if not hasattr(os, "getxattr"):
        return True
    _remove_access_lists(new)
    for name in _ACCESS_LISTS:
        try:
            value = os.getxattr(old, name)
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.ENOTSUP):
                raise
            continue
        try:
            os.setxattr(new, name, value)
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            return False
    return True


def _remove_access_lists(path: Path) -> None:
    if hasattr(os, "removexattr"):
        for name in _ACCESS_LISTS:
            with suppress(OSError):
                os.removexattr(path, name)
