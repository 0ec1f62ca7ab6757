"""Files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from swiftforce.files import check_place, is_one_of, written_aside


def test_the_file_is_there_after_the_block_and_not_before(tmp_path: Path) -> None:
    target = tmp_path / "masks.bin"
    with written_aside(target) as aside:
        aside.write_bytes(b"new")
        assert aside.suffix == ".bin"
        assert aside.parent == tmp_path
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "masks.bin"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), written_aside(target) as aside:
        aside.write_bytes(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"), written_aside(tmp_path / "masks.bin"):
        raise RuntimeError("mine")
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), written_aside(tmp_path / "masks.bin"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_paths_as_text(tmp_path: Path) -> None:
    with written_aside(str(tmp_path / "plain")) as aside:
        aside.write_text("x")
    assert (tmp_path / "plain").read_text() == "x"


def test_places_for_files(tmp_path: Path) -> None:
    check_place(tmp_path / "new")
    (tmp_path / "old").write_text("x")
    check_place(tmp_path / "old")
    with pytest.raises(IsADirectoryError, match="is a folder; name a file"):
        check_place(tmp_path)
    for folder in ("none", "old"):
        with pytest.raises(FileNotFoundError, match=f"there is no folder '.*{folder}' for 'a'"):
            check_place(tmp_path / folder / "a")


def test_a_file_by_another_name(tmp_path: Path) -> None:
    first, second, link = (tmp_path / name for name in ("first", "second", "link"))
    first.write_text("x")
    second.write_text("x")
    link.symlink_to(first)
    assert is_one_of(link, [second, first])
    assert is_one_of(tmp_path / ".." / tmp_path.name / "first", [first])
    assert not is_one_of(second, [first, link, tmp_path / "none"])
    assert not is_one_of(tmp_path / "none", [tmp_path / "none"])
