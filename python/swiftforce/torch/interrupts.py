"""Ctrl-C, and other signals whose handlers may raise, wait while a model is put back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


class Interrupts:
    """Signals of the main thread: as always, but not inside of certain functions.

    Python runs a signal's handler between any two instructions, also at the start of an
    ``__exit__``. The handler looks at the functions that are running, so there is no moment in
    between. After a handler has raised, the signals that follow wait, too: the exception is on its
    way through functions that clean up. They are delivered by `deliver` and `uninstall`.

    Parameters
    ----------
    protected : code objects
        The functions during which signals wait.
    """

    def __init__(self, *protected: CodeType) -> None:
        self._protected = frozenset(protected)
        self._handlers: dict[int, Handler] = {}
        self._waiting: list[tuple[int, FrameType | None]] = []
        self._raised = False

    def install(self) -> None:
        """Handle signals from now on; does nothing in other threads, which get none."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in signal.valid_signals():
            handler = signal.getsignal(number)
            if callable(handler):  # Not the default, nor one that is not Python's.
                self._handlers[number] = handler
                signal.signal(number, self._handle)

    def uninstall(self) -> None:
        """Put the handlers back, then deliver what waited."""
        for number, handler in self._handlers.items():
            # The caller may have installed another one meanwhile.
            if signal.getsignal(number) == self._handle:
                signal.signal(number, handler)
        self.deliver()

    def deliver(self) -> None:
        """Run the handlers of signals that waited; they usually raise."""
        self._raised = False
        while self._waiting:
            number, frame = self._waiting.pop(0)
            self._handlers[number](number, frame)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._raised or self._is_protected(frame):
            self._waiting.append((number, frame))
            return
        self._raised = True
        self._handlers[number](number, frame)
        self._raised = False  # It did not raise.

    def _is_protected(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code in self._protected:
                return True
            frame = frame.f_back
        return False
