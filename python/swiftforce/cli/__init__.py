"""The command line: ``python -m swiftforce`` or ``swiftforce``.

Each module here holds commands of one kind, and a function ``add`` that adds them to the parser.
What is here is how they begin and how they end. To show the help imports nothing but numpy.
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
        Exit status: 0 done, 1 refused with one line on standard error, 130 interrupted.

    Raises
    ------
    SystemExit
        With 2 if the arguments make no command, with 0 after help and version.
    """
    for stream in (sys.stdout, sys.stderr):
        # Names of tensors may be any text, and a terminal of any encoding.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(arguments)
        finally:
            # Now, not as Python ends: a complaint there would come with a traceback.
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough, as `head` does. Files were written before anything was said.
        _discard(sys.stdout)
        return 0
    except OSError as error:
        _discard(sys.stdout)
        return _refused(error)
    except KeyboardInterrupt:
        _say("interrupted")
        return 130


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        with _plain_warnings():
            options.command(options)
    except BrokenPipeError:
        raise
    except (SwiftForceError, OSError, ImportError, MemoryError) as error:
        return _refused(error)
    return 0


def _refused(error: Exception) -> int:
    """Say in one line why a command ends here."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        # Without the number, and as readers of other commands know it.
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    _say(text)
    return 1


def _say(line: str) -> None:
    """Print a line to standard error, if somebody still reads it."""
    try:
        print(f"swiftforce: {line}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        _discard(sys.stderr)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show what swiftforce warns of in one line each, whatever Python was told about warnings."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: object) -> None:
            if issubclass(category, SwiftForceWarning):
                _say(f"warning: {message}")
            else:
                others(message, category, *where)  # type: ignore[arg-type]

        warnings.showwarning = show  # type: ignore[assignment]
        warnings.simplefilter("always", SwiftForceWarning)
        yield


def _discard(stream: TextIO | None) -> None:
    """What could not be printed goes nowhere, so that Python does not try again as it ends."""
    if stream is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="swiftforce", description="Find sparse networks before training."
    )
    parser.add_argument("--version", action="version", version=swiftforce.__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for kind in (prune, inspect, apply, bench, comparisons):
        kind.add(commands)
    return parser
