"""Calls on one object, one at a time: another thread waits, and a call from within is refused.

A call comes from within another one if a callback, a communicator or a signal handler makes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from swiftforce.errors import InUseError

Result = TypeVar("Result")


class Turns:
    """The turns of the calls on one object.

    Parameters
    ----------
    calls : str
        What messages call the calls, with the object: ``call on this search``.
    waits : bool
        Whether another thread waits for its turn, or is refused.
    """

    def __init__(self, calls: str, *, waits: bool = True) -> None:
        self._calls = calls
        self._waits = waits
        # A lock that is not re-entrant would let a signal handler wait for its own thread.
        self._lock = threading.RLock()
        self._thread: int | None = None

    def check(self) -> None:
        """Refuse a call from within another one.

        Raises
        ------
        InUseError
        """
        if self._thread == threading.get_ident():
            raise InUseError(
                f"a {self._calls} is under way in this thread: a callback, a communicator or a "
                "signal handler must not make another before it has returned"
            )

    def take(self, work: Callable[[], Result]) -> Result:
        """What the work returns, which is done while no other call is.

        Raises
        ------
        InUseError
            If the call comes from within another one; nothing was done then. Also if another
            thread makes a call and threads do not wait.
        """
        self.check()
        other = self._thread
        if other is not None and not self._waits:
            raise InUseError(
                f"a {self._calls} is under way in another thread: ranks make one at a time"
            )
        with self._lock:
            try:
                self._thread = threading.get_ident()
                return work()
            finally:
                self._thread = None
