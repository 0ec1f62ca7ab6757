"""The command line as a whole: arguments, help, and how every command ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import swiftforce
from command import run
from swiftforce import cli
from swiftforce.cli import bench


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nothing",),
        ("demo", "--sparsity", "1"),
        ("demo", "--sparsity", "-0.5"),
        ("demo", "--sparsity", "nan"),
        ("demo", "--sparsity", "a"),
        ("demo", "--sparsity"),
        ("demo", "--methods", "forse"),
        ("demo", "--steps", "0"),
        ("demo", "--steps", "1.5"),
        ("demo", "--epochs", "-1"),
        ("demo", "--samples", "0"),
        ("demo", "--seed", "x"),
        ("demo", "--unknown"),
        ("figure", "--network", "vgg12"),
        ("figure", "--methods", "uniform"),
        ("figure", "--hours", "0"),
        ("figure", "--learning-rate", "inf"),
        ("figure", "--learning-rate", "x"),
        ("figure", "--batch-size", "0"),
        ("figure", "--seeds"),
        ("figure", "--results", "figure.png"),
        ("inspect",),
        ("apply", "m.safetensors"),
        ("bench", "--dtype", "int8"),
        ("bench", "--weights", "0"),
    ],
)
def test_bad_options_exit_with_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: swiftforce")


def test_a_bad_sparsity_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["demo", "--sparsity", "90"])
    assert "for 90 % give 0.9" in capsys.readouterr().err


def test_the_version(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, version("swiftforce"))
    assert swiftforce.__version__ == version("swiftforce")


COMMANDS = ("prune", "inspect", "apply", "bench", "demo", "figure")


def help_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        cli.main([*arguments, "--help"])
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    shown = help_of([], capsys)
    assert all(re.search(rf"^    {name} ", shown, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = help_of([command], capsys)
    assert shown.startswith(f"usage: swiftforce {command} ")
    assert f"\nexample: swiftforce {command} " in shown
    for nothing in ("None", "SUPPRESS", "()"):
        assert nothing not in shown


@pytest.mark.parametrize("command", ["demo", "figure"])
def test_help_of_comparisons_names_the_methods(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = help_of([command], capsys)
    assert all(method in shown for method in swiftforce.methods())
    assert "(default: 60)" in shown


def test_help_imports_no_extra(tmp_path: Path) -> None:
    """Importing extras would make the help take seconds."""
    program = (
        "import sys\n"
        "from swiftforce import cli\n"
        "try:\n    cli.main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "extras = {'matplotlib', 'rich', 'tqdm', 'safetensors', 'ml_dtypes', 'torch', 'jax'}\n"
        "sys.exit(' '.join(extras & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------------- how commands end


def ends(error: BaseException | None) -> Callable[[object], None]:
    """A command that prints a line and then raises."""

    def command(_: object) -> None:
        print("begun")
        if error is not None:
            raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (None, 0, ""),
        (KeyboardInterrupt(), 130, "swiftforce: interrupted\n"),
        (swiftforce.KeepError("keep is wrong"), 1, "swiftforce: keep is wrong\n"),
        (ImportError("pip install 'it'"), 1, "swiftforce: pip install 'it'\n"),
        (MemoryError(), 1, "swiftforce: MemoryError\n"),
        (FileNotFoundError(2, "No such file", "a.b"), 1, "swiftforce: a.b: No such file\n"),
        (OSError(28, "No space left"), 1, "swiftforce: No space left\n"),
        (OSError("there is no folder"), 1, "swiftforce: there is no folder\n"),
    ],
)
def test_status_and_line(
    error: BaseException | None,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bench, "_bench", ends(error))
    assert cli.main(["bench"]) == status
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("begun\n", line)


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_bench", ends(ZeroDivisionError("a defect")))
    with pytest.raises(ZeroDivisionError):
        cli.main(["bench"])


@pytest.mark.parametrize("told", ["error", "ignore", "default"])
def test_warnings_are_lines(
    told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(_: object) -> None:
        for _ in range(2):
            warnings.warn("no weight is kept in a", swiftforce.LayerCollapseWarning, stacklevel=1)

    monkeypatch.setattr(bench, "_bench", command)
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter(told)
        assert cli.main(["bench"]) == 0
    assert warnings.showwarning is before
    assert capsys.readouterr().err == "swiftforce: warning: no weight is kept in a\n" * 2


def test_warnings_of_others_are_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_bench", lambda _: warnings.warn("old", UserWarning, stacklevel=1))
    with pytest.warns(UserWarning, match="old"):
        assert cli.main(["bench"]) == 0


PIPED = """
import sys
from swiftforce import cli
from swiftforce.cli import bench
def command(options):
    print("x" * {length})
bench._bench = command
sys.exit(cli.main(["bench"]))
"""


@pytest.mark.parametrize("length", [10, 1_000_000])
@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(length: int, buffered: bool) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": "" if buffered else "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", PIPED.format(length=length)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    process.stdout.close()
    assert (process.stderr.read(), process.wait(120)) == (b"", 0)
    process.stderr.close()


def test_a_refusal_that_nobody_reads_is_one() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "swiftforce", "inspect", "no such file"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    process.stdout.close()
    assert process.wait(120) == 1


def test_names_that_a_terminal_cannot_show() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    program = PIPED.format(length=1).replace('"x"', '"\\u00e4"')
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\\xe4\n", b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_is_one_line() -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": ""}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", PIPED.format(length=10)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "swiftforce: No space left on device\n")
