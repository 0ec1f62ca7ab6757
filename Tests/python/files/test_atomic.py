"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from swiftforce.files.atomic import atomic_write, check_output_path, is_same_file


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
