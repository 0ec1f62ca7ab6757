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
from contextlib import contextmanager
from typing import TextIO

import swiftforce
from swiftforce.cli import apply, bench, comparisons, inspect, prune
from swiftforce.errors import SwiftForceError, SwiftForceWarning


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
            return _run(arguments)
        finally:
            # At the exit of Python, an error here would print a traceback.
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does. Commands write files before they print.
        _discard(sys.stdout)
        return 0
    except OSError as error:
        _discard(sys.stdout)
        return _report_error(error)
    except KeyboardInterrupt:
        _print_error("interrupted")
        return 130


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        with _plain_warnings():
            options.command(options)
    except BrokenPipeError:
        raise
    except (SwiftForceError, OSError, ImportError, MemoryError) as error:
        return _report_error(error)
    return 0


def _report_error(error: Exception) -> int:
    """Print one line that says why the command failed; return the exit status."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        # Without the error number, as other commands print it.
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    _print_error(text)
    return 1


def _print_error(line: str) -> None:
    """Print a line to standard error. A closed pipe is ignored."""
    try:
        print(f"swiftforce: {line}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        _discard(sys.stderr)


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


def _discard(stream: TextIO | None) -> None:
    """Redirect a stream to nowhere, so that Python does not flush it again at its exit."""
    if stream is None:
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="swiftforce", description="Find sparse networks before training."
    )
    parser.add_argument("--version", action="version", version=swiftforce.__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for kind in (prune, inspect, apply, bench, comparisons):
        kind.add(commands)
    return parser
