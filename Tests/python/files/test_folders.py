"""Files of a folder that appear together or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from swiftforce.files import atomic_folder, folders
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


def test_what_others_create_meanwhile_stays(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = folders._exchange

    def late(target: Path, new: Path) -> bool:
        (target / "late.txt").write_text("late")
        (target / "inner/late.txt").write_text("late")
        return exchange(target, new)

    monkeypatch.setattr(folders, "_exchange", late)
    with atomic_folder(old) as folder:
        write(folder, "new")
    added = {"late.txt": "late", "inner/late.txt": "late"}
    assert contents(old) == expected("new") | added


KILLED = """
import os, sys
from pathlib import Path
from swiftforce.files import atomic_folder, folders

count = int(sys.argv[2])
if sys.argv[3] == "each":
    folders._exchange = lambda *_: False

def counted(event, arguments):
    global count
    if event in ("os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "open"):
        count -= 1
        if not count:
            os.kill(os.getpid(), 9)

with atomic_folder(Path(sys.argv[1])) as folder:
    for name in ("a.bin", "b.bin", "index.json"):
        (folder / name).write_text("new")
    sys.addaudithook(counted)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["exchange", "each"])
def test_writers_that_are_killed_at_every_moment(way: str, old: Path) -> None:
    """Old or new files, never both; an index never stands beside files of which some are old."""
    seen = set()
    for count in range(1, 200):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(old), str(count), way], check=False
        )
        found = contents(old)
        seen.add(tuple(found.get(name) for name in NAMES))
        others = {name: text for name, text in found.items() if name not in NAMES}
        assert dict.fromkeys(NAMES, "old") | others == expected("old")
        with atomic_folder(old) as folder:
            write(folder, "old")
        left = [path for path in (*old.iterdir(), *old.parent.iterdir()) if PREFIX in path.name]
        assert not left
        if done.returncode == 0:
            break
    else:
        raise AssertionError("every writer was killed")
    complete = {("old",) * 3, ("new",) * 3}
    if way == "exchange":
        assert seen == complete
    else:
        assert complete < seen
        assert all(one[2] is None for one in seen - complete)
