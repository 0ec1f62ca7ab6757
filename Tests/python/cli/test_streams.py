"""What the command line prints: whole lines that a terminal cannot obey, wherever they go."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from checkpoint_files import write
from swiftforce import cli

pytest.importorskip("safetensors")

#: A title, a colour, a new line, a control character of 8 bits, and text from right to left.
NAME = "a\x1b]0;t\x07\x1b[31m.weight\nswiftforce: all is well\x9b1m\u202e"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Holds a checkpoint with a name that a terminal would obey, and its masks."""
    monkeypatch.chdir(tmp_path)
    weights = {NAME: np.zeros((3, 3), np.float32), "b.weight": np.ones((3, 3), np.float32)}
    write(tmp_path / "w.safetensors", weights)
    write(tmp_path / "o.safetensors", {"b.weight": weights["b.weight"]})
    with pytest.warns(sf.SwiftForceWarning):
        sf.magnitude(weights, keep=9).save("m")
    return tmp_path


def prune(*more: str) -> list[str]:
    given = ["prune", "--weights", "w.safetensors", "--keep", "9", "--output", "n"]
    return [*given, *(more or ("--method", "magnitude"))]


COMMANDS = {
    "a table": ["inspect", "m"],
    "JSON": ["inspect", "m", "--json"],
    "a warning": prune(),
    "a pattern": prune("--method", "magnitude", "--include", NAME + "x"),
    "gradients": prune("--gradients", "o.safetensors"),
    "other weights": ["apply", "m", "--weights", "o.safetensors", "--output", "x"],
    "a missing file": ["inspect", NAME],
    "an option": ["inspect", "m", "--" + NAME],
    "a number": prune("--method", "magnitude", "--seed", NAME),
    "an output": prune("--method", "magnitude", "--output", NAME.replace("/", "")),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_names_are_shown_as_codes(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        cli.main(COMMANDS[command])
    except SystemExit as end:
        assert end.code == 2
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert text.replace("\n", "").isprintable()
        assert not any(line.startswith("swiftforce: all") for line in text.splitlines())
    assert r"\x1b" in captured.out + captured.err or r"\u001b" in captured.out


def test_names_in_messages_of_errors_and_warnings(folder: Path) -> None:
    weights = {NAME: np.ones(3, np.float32)}
    with pytest.raises(sf.WeightsDifferError) as caught:
        sf.load("m", weights)
    assert str(caught.value).isprintable()
    with pytest.warns(sf.SwiftForceWarning) as warned:
        sf.magnitude({NAME: np.zeros(9, np.float32), "b": np.ones(9, np.float32)}, keep=9)
    assert all(str(one.message).isprintable() for one in warned)


def run(
    *arguments: str, cwd: Path, out: int | None = None, err: int | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "swiftforce", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE if out is None else out,
        stderr=subprocess.PIPE if err is None else err,
        text=True,
        timeout=60,
        check=False,
    )


needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110


@needs_full
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["inspect", "m"], ["inspect", "m", "--json"]]
)
def test_a_full_disk_is_one_line(arguments: list[str], folder: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(*arguments, cwd=folder, out=full.fileno())
    assert (done.returncode, done.stderr) == (1, "swiftforce: No space left on device\n")


@needs_full
def test_an_error_on_a_full_disk_is_that_error(folder: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run("inspect", "nothing", cwd=folder, out=full.fileno())
        assert done.returncode == 1
        assert done.stderr == "swiftforce: nothing: No such file or directory\n"
        done = run("inspect", "nothing", cwd=folder, err=full.fileno())
        assert (done.returncode, done.stdout) == (1, "")


@needs_full
def test_a_file_that_does_not_fit(folder: Path) -> None:
    """Masks that are written to a full disk: one line, and nothing is left."""
    program = (
        "import errno, os, sys\nfrom pathlib import Path\nfrom swiftforce import cli\n"
        "def full(self, content):\n    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "Path.write_bytes = full\nsys.exit(cli.main(sys.argv[1:]))"
    )
    before = sorted(folder.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", program, *prune()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if "warning: " not in line]
    assert (done.returncode, lines) == (1, ["swiftforce: No space left on device"])
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("closed", ["1", "2", "1 2"])
@pytest.mark.parametrize(("what", "status"), [("m", 0), ("nothing", 1)])
def test_streams_that_are_closed(closed: str, what: str, status: int, folder: Path) -> None:
    program = (
        "import os, sys\n"
        f"for number in map(int, {closed!r}.split()):\n    os.close(number)\n"
        f"os.execv(sys.executable, [sys.executable, '-m', 'swiftforce', 'inspect', {what!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert "Traceback" not in done.stdout + done.stderr
    if "2" in closed:
        assert not any(line.startswith("swiftforce:") for line in done.stdout.splitlines())


def test_a_reader_that_stops(folder: Path) -> None:
    read, written = os.pipe()
    os.close(read)
    for arguments in (["inspect", "m"], ["--help"]):
        done = run(*arguments, cwd=folder, out=written)
        assert done.stderr == ""
    os.close(written)
