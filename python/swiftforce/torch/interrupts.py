"""Ctrl-C, and other signals whose handlers may raise, wait while a model is put back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

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
    holds : bool
        Whether signals wait after a handler has raised, until the next call of `deliver`.
    """

    def __init__(self, *protected: CodeType, holds: bool = True) -> None:
        self._protected = frozenset(protected)
        self._holds = holds
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
        """Run the handlers of all signals that waited, then raise the last error of them."""
        self._raised = False
        while self._waiting:
            self._raised = self._holds
            waiting, self._waiting = self._waiting, []
            with ExitStack() as stack:  # It calls the last one first, and all, whichever raises.
                for number, frame in reversed(waiting):
                    stack.callback(self._handlers[number], number, frame)
            self._raised = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._raised or self._is_protected(frame):
            self._waiting.append((number, frame))
            return
        self._raised = self._holds
        self._handlers[number](number, frame)
        self._raised = False  # It did not raise.

    def _is_protected(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code in self._protected:
                return True
            frame = frame.f_back
        return False


class ProtectedStack(ExitStack):
    """An exit stack at whose end signals wait until all is done."""

    def __init__(self) -> None:
        super().__init__()
        ends = ProtectedStack.__enter__.__code__, ProtectedStack.__exit__.__code__
        self._interrupts = Interrupts(*ends, holds=False)

    def __enter__(self) -> Self:
        try:
            self._interrupts.install()
            self._interrupts.deliver()
        except BaseException:
            self._interrupts.uninstall()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        try:
            return super().__exit__(kind, error, trace)
        finally:
            self._interrupts.uninstall()
