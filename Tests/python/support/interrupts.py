"""Ctrl-C at every line: runs a call again and again, and interrupts it one line later each time.

Or where functions are called, at each place once or twice.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import swiftforce

_PACKAGE = str(Path(swiftforce.__file__).parent)
#: Lines that no call comes before: one ends a turn, the other makes a sum of the core.
_AFTER_NO_CALL = ("self._thread = None", "self.communicator.sum_integers(values)")


def interrupted_calls(make: Callable[[], Any], call: Callable[[Any], object]) -> Iterator[Any]:
    """What `make` returned, for each line of the package at which `call` of it was interrupted.

    It ends with the first call that no interrupt reaches any more.
    """
    line = 0
    while True:
        line += 1
        subject = make()
        if not is_interrupted(lambda: call(subject), line):  # noqa: B023 - called at once
            assert line > 5, "the call ran no lines of the package"
            return
        yield subject


def is_interrupted(call: Callable[[], object], number: int) -> bool:
    """Whether a call has so many lines; it is interrupted at the last of them."""
    count = 0
    seen: set[tuple[int, int]] = set()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        if event == "line" and _can_be_interrupted(frame, seen):
            count += 1
            if count == number:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def _can_be_interrupted(frame: FrameType, seen: set[tuple[int, int]]) -> bool:
    """Whether Python would handle a signal here: it does after calls, not where a block ends."""
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    place = (id(frame), frame.f_lineno)
    again = place in seen
    seen.add(place)
    # A line of `with` that comes again is the end of its block.
    return not (again and text.startswith("with ")) and text not in _AFTER_NO_CALL


#: Where a function was called: itself, who called it, and the line there.
Place = tuple[object, object, int]


def place_of(frame: FrameType) -> Place:
    """Where the function of a frame, which has just begun, was called."""
    caller = frame.f_back
    assert caller is not None
    return frame.f_code, caller.f_code, caller.f_lineno


def first_and_last(places: Sequence[Place]) -> list[int]:
    """The numbers, from 1, of the first and the last call from each place.

    A loop over parameters or modules calls the same functions for each of them.
    """
    first = {place: number for number, place in reversed(list(enumerate(places, 1)))}
    last = {place: number for number, place in enumerate(places, 1)}
    return sorted({*first.values(), *last.values()})
