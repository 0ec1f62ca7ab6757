"""Files that are whole or not there."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from swiftforce.files.access import keep_access
from swiftforce.files.atomic import atomic_write, check_output_path, is_same_file
from swiftforce.files.temporary import PREFIX


def test_the_file_is_there_after_the_block_and_not_before(tmp_path: Path) -> None:
    target = tmp_path / "masks.bin"
    with atomic_write(target) as aside:
        aside.write_bytes(b"new")
        assert aside.name == "masks.bin"
        assert aside.parent.parent == tmp_path
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "masks.bin"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_write(target) as aside:
        aside.write_bytes(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"), atomic_write(tmp_path / "masks.bin"):
        raise RuntimeError("mine")
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "masks.bin"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_replaces_a_file_may_be_read_by_the_same(tmp_path: Path) -> None:
    for mode in (0o600, 0o640):
        target = tmp_path / "masks.bin"
        target.write_bytes(b"old")
        target.chmod(mode)
        with atomic_write(target) as aside:
            aside.write_bytes(b"new")
        assert target.stat().st_mode & 0o777 == mode


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with atomic_write(link) as aside:
        aside.write_bytes(b"new")
    assert real.read_bytes() == b"old"
    assert link.read_bytes() == b"new"
    assert not link.is_symlink()


@pytest.mark.parametrize("through_a_link", [False, True])
def test_what_is_no_file_is_not_replaced(through_a_link: bool, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    target = pipe
    if through_a_link:
        target = tmp_path / "link"
        target.symlink_to(pipe)
    with pytest.raises(OSError, match="is not a regular file"):
        check_output_path(target)
    with pytest.raises(OSError, match="is not a regular file"), atomic_write(target):
        raise AssertionError("nothing is written")
    assert pipe.is_fifo()


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    target = tmp_path / ("a" * 251 + ".bin")
    with atomic_write(target) as aside:
        aside.write_bytes(b"x")
    assert target.read_bytes() == b"x"


def test_paths_as_text(tmp_path: Path) -> None:
    with atomic_write(str(tmp_path / "plain")) as aside:
        aside.write_text("x")
    assert (tmp_path / "plain").read_text() == "x"


def test_places_for_files(tmp_path: Path) -> None:
    check_output_path(tmp_path / "new")
    (tmp_path / "old").write_text("x")
    check_output_path(tmp_path / "old")
    with pytest.raises(IsADirectoryError, match="is a folder; name a file"):
        check_output_path(tmp_path)
    for folder in ("none", "old"):
        with pytest.raises(FileNotFoundError, match=f"there is no folder '.*{folder}' for 'a'"):
            check_output_path(tmp_path / folder / "a")


def test_a_file_by_another_name(tmp_path: Path) -> None:
    first, second, link = (tmp_path / name for name in ("first", "second", "link"))
    first.write_text("x")
    second.write_text("x")
    link.symlink_to(first)
    assert is_same_file(link, [second, first])
    assert is_same_file(tmp_path / ".." / tmp_path.name / "first", [first])
    assert not is_same_file(second, [first, link, tmp_path / "none"])
    assert not is_same_file(tmp_path / "none", [tmp_path / "none"])


# ------------------------------------------------------------------------- who may read it


def test_the_group_stays(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only the superuser may give a file to any group")
    target = tmp_path / "masks.bin"
    target.write_bytes(b"old")
    os.chown(target, 4321, 1234)
    target.chmod(0o640)
    with atomic_write(target) as aside:
        aside.write_bytes(b"new")
    status = target.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (4321, 1234, 0o640)


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o640, 0o600), (0o664, 0o644), (0o777, 0o777), (0o604, 0o604)]
)
def test_a_group_that_cannot_be_kept_is_not_replaced_by_another(
    mode: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "masks.bin"
    target.write_bytes(b"old")
    target.chmod(mode)

    def refuse(*_: object) -> None:
        raise PermissionError

    status = os.stat_result((mode, 0, 0, 0, 4321, 1234, 0, 0, 0, 0))
    whole = Path.stat
    monkeypatch.setattr(os, "chown", refuse)
    monkeypatch.setattr(Path, "stat", lambda self, **o: status if self == target else whole(self))
    other = tmp_path / "other"
    other.write_bytes(b"new")
    keep_access(target, other)
    assert whole(other).st_mode & 0o777 == expected


@pytest.mark.parametrize(
    "code", [errno.EINVAL, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS]
)
def test_an_owner_that_the_system_refuses(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers know no number of some owners, and some file systems know no owners."""
    target = tmp_path / "masks.bin"
    target.write_bytes(b"old")
    target.chmod(0o640)

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "chown", refuse)
    with atomic_write(target) as aside:
        aside.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o640


def test_other_errors_of_the_owner_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "masks.bin"
    target.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "chown", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), atomic_write(target) as aside:
        aside.write_bytes(b"new")
    assert target.read_bytes() == b"old"


#: An access list of version 2: the owner, user 4321 who may read, the group, the mask, others.
ACCESS_LIST = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, allowed, who)
    for tag, allowed, who in (
        (1, 6, 2**32 - 1),
        (2, 4, 4321),
        (4, 4, 2**32 - 1),
        (16, 4, 2**32 - 1),
        (32, 0, 2**32 - 1),
    )
)


def test_the_access_list_stays(tmp_path: Path) -> None:
    target = tmp_path / "masks.bin"
    target.write_bytes(b"old")
    try:
        os.setxattr(target, "system.posix_acl_access", ACCESS_LIST)
    except (AttributeError, OSError):
        pytest.skip("a file system without access lists")
    with atomic_write(target) as aside:
        aside.write_bytes(b"new")
    assert os.getxattr(target, "system.posix_acl_access") == ACCESS_LIST
    assert target.read_bytes() == b"new"


def test_an_access_list_that_is_refused_gives_the_group_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bits of the group are then those of the list, which the group alone may not have."""
    target = tmp_path / "masks.bin"
    target.write_bytes(b"old")
    try:
        os.setxattr(target, "system.posix_acl_access", ACCESS_LIST)
    except (AttributeError, OSError):
        pytest.skip("a file system without access lists")

    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "setxattr", refuse)
    with atomic_write(target) as aside:
        aside.write_bytes(b"new")
    assert target.stat().st_mode & 0o777 == 0o600


# ------------------------------------------------------------------------- the disk


def test_content_and_name_reach_the_disk_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        done.append(f"flush {Path(f'/proc/self/fd/{descriptor}').resolve().name}")
        sync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        done.append(f"rename {self.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    with atomic_write(tmp_path / "masks.bin") as aside:
        aside.write_bytes(b"new")
    assert done == ["flush masks.bin", "rename masks.bin", f"flush {tmp_path.name}"]


def test_a_folder_in_which_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The superuser may write everywhere, so the answer is simulated."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match=f"nothing can be written in .*{tmp_path.name}"):
        check_output_path(tmp_path / "masks.bin")


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_is_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="is not a path"), atomic_write(tmp_path / name):
        raise AssertionError("nothing is written")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------- killed writers

KILLED = """
import os, sys
from swiftforce.files import atomic_write
with atomic_write(sys.argv[1]) as aside:
    aside.write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""


def test_what_killed_writers_left_is_deleted_by_the_next(tmp_path: Path) -> None:
    target = tmp_path / "masks.bin"
    target.write_bytes(b"old")
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
        assert target.read_bytes() == b"old"
        assert len(list(tmp_path.iterdir())) == 2
    with atomic_write(tmp_path / "other.bin") as aside:
        aside.write_bytes(b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks.bin", "other.bin"]


def test_what_living_writers_use_stays(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "first") as first:
        first.write_bytes(b"1")
        with atomic_write(tmp_path / "second") as second:
            second.write_bytes(b"2")
        assert first.read_bytes() == b"1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


def test_many_writers_at_once(tmp_path: Path) -> None:
    """None takes the folder of another for one of a killed writer."""

    def write(number: int) -> None:
        for _ in range(20):
            with atomic_write(tmp_path / f"{number}") as aside:
                aside.write_bytes(bytes([number]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        f"{number}": bytes([number]) for number in range(8)
    }


def test_what_is_no_folder_of_a_writer_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to("elsewhere")
    (tmp_path / f"{PREFIX}file").write_text("stays")
    with atomic_write(tmp_path / "a") as aside:
        aside.write_bytes(b"x")
    assert len(list(tmp_path.iterdir())) == 4
