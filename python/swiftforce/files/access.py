"""Who may read and write a file: kept when another file replaces it."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

#: The attribute in which Linux keeps the access list of a file.
_ACCESS_LIST = "system.posix_acl_access"
_GROUP_BITS = stat.S_IRWXG


def keep_access(old: Path, new: Path) -> None:
    """Give a file the owner, group, mode and access list of another.

    Only the superuser may give a file to another owner, and only members may give it to a group. If
    the group cannot be kept, it is not the new group's turn: its members get what all others have.

    Raises
    ------
    OSError
    """
    status = old.stat()
    # Refused: the writer then owns the file, as it owns any other that it writes.
    with suppress(PermissionError):
        os.chown(new, status.st_uid, -1)
    with suppress(PermissionError):
        os.chown(new, -1, status.st_gid)
    mode = stat.S_IMODE(status.st_mode)
    if new.stat().st_gid != status.st_gid:
        for_others = (mode & stat.S_IRWXO) << 3
        new.chmod((mode & ~_GROUP_BITS) | (mode & for_others))
        return
    new.chmod(mode)
    _keep_access_list(old, new)


def _keep_access_list(old: Path, new: Path) -> None:
    """Copy the access list; without one, remove what the folder gave to the new file."""
    if not hasattr(os, "getxattr"):
        return
    try:
        os.setxattr(new, _ACCESS_LIST, os.getxattr(old, _ACCESS_LIST))
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
        with suppress(OSError):
            os.removexattr(new, _ACCESS_LIST)
