"""The command line: ``python -m swiftforce`` or ``swiftforce``.

Each module has the commands of one kind, and a function ``add`` that adds them to the parser.
`main` runs a command and turns errors and warnings into lines on standard error. Showing the help
imports nothing but numpy.

Commands parse options and print. What they do is in the packages below.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn, TextIO

import swiftforce
from swiftforce.cli import apply, bench, comparisons, export, inspect, pack, prune
from swiftforce.errors import SwiftForceError, SwiftForceWarning, printable

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns
    -------
    int
        Exit status: 0 for success, 1 for an error (one line on standard error says why), 130 if
        interrupted.

    Raises
    ------
    SystemExit
        With 2 if the arguments are wrong, with 0 after help and version.
    """
    for stream in (sys.stdout, sys.stderr):
        # Names of tensors may have characters that the terminal's encoding lacks.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            options = _parser().parse_args(arguments)
        except SystemExit:
            _flush(sys.stdout)  # the help
            raise
        with _plain_warnings():
            options.command(options)
        _flush(sys.stdout)
        return 0
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does. Commands write files before they print.
        return 0
    except KeyboardInterrupt:
        _print_error("interrupted")
        return 130
    except (SwiftForceError, OSError, ImportError, MemoryError) as error:
        _print_error(_line_of(error))
        return 1
    finally:
        # At the exit of Python, an error of a full disk or a closed pipe would print a traceback.
        _settle(sys.stdout)
        _settle(sys.stderr)


def _line_of(error: Exception) -> str:
    """What an error says, without an error number, as other commands print it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _print_error(line: str) -> None:
    """Print a line to standard error; if it is closed or full, nobody reads it."""
    if sys.stderr is None:  # print would take standard output
        return
    with suppress(OSError, ValueError):
        print(f"swiftforce: {printable(line)}", file=sys.stderr, flush=True)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print each warning of swiftforce as one line, whatever filters Python has."""
    with warnings.catch_warnings():
        original = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: object) -> None:
            if issubclass(category, SwiftForceWarning):
                _print_error(f"warning: {message}")
            else:
                original(message, category, *where)  # type: ignore[arg-type]

        warnings.showwarning = show  # type: ignore[assignment]
        warnings.simplefilter("always", SwiftForceWarning)
        yield


def _flush(stream: TextIO | None) -> None:
    if stream is not None:
        stream.flush()


def _settle(stream: TextIO | None) -> None:
    """Flush a stream; if that fails, it goes nowhere, so that Python does not try again."""
    try:
        _flush(stream)
    except (OSError, ValueError):
        with suppress(OSError, ValueError), open(os.devnull, "wb") as null:  # noqa: PTH123
            assert stream is not None
            os.dup2(null.fileno(), stream.fileno())


class _Parser(argparse.ArgumentParser):
    """A parser whose errors show no character that a terminal would obey.

    A help that cannot be written is an error, as any other output is.
    """

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        if file is not sys.stdout or file is None:
            super()._print_message(message, file)
        else:
            file.write(message)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End the program, after an error with its message."""
        super().exit(status, message and f"{printable(message.rstrip())}\n")


def _parser() -> _Parser:
    parser = _Parser(prog="swiftforce", description="Find sparse networks before training.")
    parser.add_argument("--version", action="version", version=swiftforce.__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for kind in (prune, inspect, apply, pack, export, bench, comparisons):
        kind.add(commands)
    return parser
