"""Writing to arrays of the caller as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable

from swiftforce.errors import SwiftForceError


def write_whole(work: Callable[[], object]) -> None:
    """Do work that may be done twice; what interrupts it is raised once the work is complete.

    A second interrupt while the work is done again leaves arrays half-written: a user who presses
    Ctrl-C twice wants out at once.

    Parameters
    ----------
    work : callable
        Writes to arrays. It must raise errors of swiftforce alone, before it has written anything,
        and take no new memory once it has.
    """
    try:
        work()
    except SwiftForceError:
        raise
    except BaseException:
        work()
        raise
