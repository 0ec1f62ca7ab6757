"""What is read is a regular file, and no reader waits for another."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from swiftforce import datasets, nn
from swiftforce.datasets import read_idx
from swiftforce.files import Checkpoint, open_regular
from swiftforce.files.reading import stable_file

ONES = np.ones(4, np.float32)
READERS: dict[str, Callable[[Path], object]] = {
    "masks": sf.load,
    "a search": lambda path: sf.MaskSearch.resume(path, ONES),
    "a network": nn.load,
    "a checkpoint": lambda path: Checkpoint([path]),
    "an index": lambda path: Checkpoint([path]),
    "an IDX file": read_idx,
    "an archive": datasets.cifar100,
}


def make(what: str, path: Path) -> Path:
    """Something that is no regular file, at a path."""
    match what:
        case "pipe":
            os.mkfifo(path)
        case "link to a pipe":
            os.mkfifo(path.with_name("pipe"))
            path.symlink_to(path.with_name("pipe"))
        case "folder":
            path.mkdir()
        case "socket":
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(str(path))
        case "device":
            path.symlink_to("/dev/zero")
        case "endless link":
            path.symlink_to(path)
    return path


@pytest.mark.parametrize(
    "what", ["pipe", "link to a pipe", "folder", "socket", "device", "endless link"]
)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_regular_file_is_refused_at_once(
    reader: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets must be short
    path = make(what, Path("x.json" if reader == "an index" else "x"))
    with pytest.raises((sf.SwiftForceError, OSError)) as caught:
        READERS[reader](path)
    assert "x" in str(caught.value)


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "x" * 5000])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_path(reader: str, path: str) -> None:
    with pytest.raises((sf.SwiftForceError, OSError)):
        READERS[reader](Path(path))


@pytest.mark.parametrize("command", ["inspect", "prune", "apply", "apply weights", "figure"])
def test_commands_refuse_pipes_at_once(command: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    os.mkfifo(tmp_path / "x.csv")
    sf.magnitude(ONES, keep=2).save(tmp_path / "m")
    arguments = {
        "inspect": ["inspect", "x.csv"],
        "prune": ["prune", "--weights", "x.csv", "--method", "magnitude", "--keep", "1"],
        "apply": ["apply", "x.csv", "--weights", "m"],
        "apply weights": ["apply", "m", "--weights", "x.csv"],
        "figure": ["figure", "--results", "x.csv", "--draw-only"],
    }[command]
    if command in ("prune", "apply", "apply weights"):
        arguments += ["--output", "o"]
    done = subprocess.run(
        [sys.executable, "-m", "swiftforce", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("swiftforce: x.csv")
    assert len(done.stderr.splitlines()) == 1


def test_a_pipe_that_takes_the_name_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a file and its opening."""
    path = tmp_path / "x"
    path.write_bytes(b"content")
    whole = os.open

    def swapped(*arguments: object) -> int:
        path.unlink()
        os.mkfifo(path)
        return whole(*arguments)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(OSError, match="is not a regular file"):
        open_regular(path)


def test_pieces_of_a_file_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(range(100)))
    with stable_file(path, sf.CheckpointError) as file:
        assert file.state.size == 100
        assert file.read(10, 3) == bytes([10, 11, 12])
        assert file.read(100, 0) == b""
        with pytest.raises(sf.CheckpointError, match="x became shorter while it was read"):
            file.read(98, 3)
    with (
        pytest.raises(sf.CheckpointError, match="x was changed while it was read"),
        stable_file(path, sf.CheckpointError),
    ):
        os.truncate(path, 99)
