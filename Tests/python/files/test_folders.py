"""Files of a folder that appear together or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from swiftforce.files import atomic_folder, atomic_write, folders
from swiftforce.files.temporary import PREFIX

NAMES = ("a.bin", "b.bin", "index.json")


def write(folder: Path, content: str) -> None:
    for name in NAMES:
        (folder / name).write_text(content)


def contents(folder: Path) -> dict[str, str]:
    """All files but those in the temporary folder of a writer."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and PREFIX not in str(path)
    }


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder with old files, and with others in it."""
    folder = tmp_path / "out"
    folder.mkdir()
    write(folder, "old")
    (folder / "notes.txt").write_text("stays")
    (folder / "inner/deep").mkdir(parents=True)
    (folder / "inner/deep/more.txt").write_text("stays")
    (folder / "link").symlink_to("notes.txt")
    return folder


def expected(content: str) -> dict[str, str]:
    others = dict.fromkeys(("notes.txt", "inner/deep/more.txt", "link"), "stays")
    return dict.fromkeys(NAMES, content) | others


def no_exchange(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(folders, "_exchange", lambda *_: False)


def no_links(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no links")

    monkeypatch.setattr(os, "link", refuse)


def many_files(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(folders, "_MOST", 4)


def current(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.chdir(folder / "inner")


def mounted(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda self: self == folder)


WAYS = [None, no_exchange, no_links, many_files, current, mounted]
Way = Callable[[pytest.MonkeyPatch, Path], None] | None


@pytest.mark.parametrize("way", WAYS)
def test_files_are_replaced_and_others_stay(
    way: Way, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inode = old.stat().st_ino
    if way is not None:
        way(monkeypatch, old)
    with atomic_folder(old) as folder:
        write(folder, "new")
        assert contents(old) == expected("old")
    assert contents(old) == expected("new")
    assert (old / "link").readlink() == Path("notes.txt")
    assert [path.name for path in old.parent.iterdir()] == ["out"]
    # The folder itself is another one where it can be.
    assert (old.stat().st_ino == inode) is (way is not None)


@pytest.mark.parametrize("way", WAYS)
def test_an_error_changes_nothing(way: Way, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if way is not None:
        way(monkeypatch, old)
    with pytest.raises(KeyboardInterrupt), atomic_folder(old) as folder:
        write(folder, "new")
        raise KeyboardInterrupt
    assert contents(old) == expected("old")
    assert [path.name for path in old.parent.iterdir()] == ["out"]


def test_a_new_folder(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out") as folder:
        write(folder, "new")
        assert not (tmp_path / "out").exists()
    assert contents(tmp_path / "out") == dict.fromkeys(NAMES, "new")
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "more") as folder:
        write(folder, "new")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_to_a_folder_stays(old: Path) -> None:
    link = old.with_name("link")
    link.symlink_to("out")
    with atomic_folder(link) as folder:
        write(folder, "new")
    assert link.is_symlink()
    assert contents(old) == expected("new")


def test_who_may_read_files_and_folder_stays(old: Path) -> None:
    old.chmod(0o750)
    (old / "inner").chmod(0o700)
    (old / "a.bin").chmod(0o600)
    with atomic_folder(old) as folder:
        write(folder, "new")
    modes = [path.stat().st_mode & 0o777 for path in (old, old / "inner", old / "a.bin")]
    assert modes == [0o750, 0o700, 0o600]


def create(folder: Path) -> None:
    (folder / "late.txt").write_text("late")
    (folder / "inner/a.bin").write_text("late")
    (folder / "fresh/deep").mkdir(parents=True)
    (folder / "fresh/deep/b.bin").write_text("late")
    (folder / "empty").mkdir()
    (folder / "to_file").symlink_to("late.txt")
    (folder / "to_folder").symlink_to("fresh")


def replace(folder: Path) -> None:
    for name in ("notes.txt", "inner/deep/more.txt"):
        (folder / "aside").write_text("replaced")
        (folder / "aside").replace(folder / name)
    (folder / "link").unlink()
    (folder / "link").symlink_to("a.bin")


def delete(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "inner/deep/more.txt").unlink()
    (folder / "inner/deep").rmdir()


def change_kinds(folder: Path) -> None:
    (folder / "notes.txt").unlink()
    (folder / "notes.txt").mkdir()
    (folder / "notes.txt/one").write_text("late")
    (folder / "inner").rename(folder / "other")
    (folder / "inner").write_text("late")


def tree(folder: Path) -> dict[str, str]:
    """All that others put into the folder: the targets of links, and the content of files."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_text()
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
        if path.parent != folder or path.name not in NAMES
    }


@pytest.mark.parametrize("change", [create, replace, delete, change_kinds])
def test_what_others_do_meanwhile_is_not_undone(
    change: Callable[[Path], None], old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = old.with_name("same")
    shutil.copytree(old, same, symlinks=True)
    change(same)
    exchange = folders._exchange

    def late(target: Path, new: Path) -> bool:
        change(target)
        return exchange(target, new)

    monkeypatch.setattr(folders, "_exchange", late)
    inode = old.stat().st_ino
    with atomic_folder(old) as folder:
        write(folder, "new")
    assert old.stat().st_ino != inode
    assert tree(old) == tree(same)
    assert {name: (old / name).read_text() for name in NAMES} == dict.fromkeys(NAMES, "new")


def test_what_others_do_after_the_exchange_is_newer(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = folders._exchange

    def both(target: Path, new: Path) -> bool:
        (target / "notes.txt").unlink()
        (target / "log.txt").write_text("before")
        done = exchange(target, new)
        for name in ("notes.txt", "log.txt"):
            (target / "aside").write_text("after")
            (target / "aside").replace(target / name)
        return done

    monkeypatch.setattr(folders, "_exchange", both)
    with atomic_folder(old) as folder:
        write(folder, "new")
    # The link names the notes.
    after = dict.fromkeys(("notes.txt", "log.txt", "link"), "after")
    assert contents(old) == expected("new") | after


def test_a_writer_at_work_keeps_its_folder(old: Path) -> None:
    for place in (old, old / "inner"):
        inode = old.stat().st_ino
        with atomic_write(place / "masks.bin") as aside:
            with atomic_folder(old) as folder:
                write(folder, "new")
            aside.write_text("new")
        assert old.stat().st_ino == inode
        (place / "masks.bin").unlink()
    assert contents(old) == expected("new")


# ------------------------------------------------------------------------- who may read it


@pytest.mark.parametrize("whose", [".", "inner"])
def test_a_folder_whose_group_cannot_be_kept_is_not_exchanged(
    whose: str, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid():
        pytest.skip("only the superuser may give a folder to any group")
    os.chown(old / whose, 4321, 1234)
    (old / whose).chmod(0o770)
    before = (old / whose).stat()

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)
    with atomic_folder(old) as folder:
        write(folder, "new")
    after = (old / whose).stat()
    for field in ("st_ino", "st_uid", "st_gid", "st_mode"):
        assert getattr(after, field) == getattr(before, field)
    assert contents(old) == expected("new")


def test_new_files_get_the_group_that_the_folder_gives(old: Path) -> None:
    if os.geteuid():
        pytest.skip("only the superuser may give a folder to any group")
    os.chown(old, 4321, 1234)
    old.chmod(0o2770)
    (old / "a.bin").unlink()
    with atomic_folder(old) as folder:
        write(folder, "new")
    assert (old / "a.bin").stat().st_gid == 1234
    status = old.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (4321, 1234, 0o2770)


# ------------------------------------------------------------------------- killed writers


#: For each line of its input: a process that is killed at that event of its writing, or ends.
KILLED = """
import os, sys
from pathlib import Path
from swiftforce.files import atomic_folder, folders

if sys.argv[2] == "each":
    folders._exchange = lambda *_: False

def write(count):
    def counted(event, arguments):
        nonlocal count
        if event in ("os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "open"):
            count -= 1
            if not count:
                os.kill(os.getpid(), 9)

    with atomic_folder(Path(sys.argv[1])) as folder:
        for name in ("a.bin", "b.bin", "index.json"):
            (folder / name).write_text("new")
        sys.addaudithook(counted)

for line in sys.stdin:
    child = os.fork()
    if not child:
        write(int(line))
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["exchange", "each"])
def test_writers_that_are_killed_at_every_moment(way: str, old: Path) -> None:
    """Old or new files, never both; an index never stands beside files of which some are old."""
    seen = set()
    command = [sys.executable, "-c", KILLED, str(old), way]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        for count in range(1, 200):
            print(count, file=process.stdin, flush=True)
            status = int(process.stdout.readline())
            found = contents(old)
            seen.add(tuple(found.get(name) for name in NAMES))
            others = {name: text for name, text in found.items() if name not in NAMES}
            assert dict.fromkeys(NAMES, "old") | others == expected("old")
            with atomic_folder(old) as folder:
                write(folder, "old")
            left = [path for path in (*old.iterdir(), *old.parent.iterdir()) if PREFIX in path.name]
            assert not left
            if status == 0:
                break
            assert status == signal.SIGKILL
        else:
            raise AssertionError("every writer was killed")
        process.stdin.close()
    complete = {("old",) * 3, ("new",) * 3}
    if way == "exchange":
        assert seen == complete
    else:
        assert complete < seen
        assert all(one[2] is None for one in seen - complete)
