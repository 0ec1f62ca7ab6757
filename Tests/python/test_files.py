"""Files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from swiftforce.files import written_aside


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
