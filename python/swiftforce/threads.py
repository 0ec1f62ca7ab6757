"""How many threads a call may use, and which CPU level its loops run at."""

from __future__ import annotations

from swiftforce import _core
from swiftforce.errors import ThreadsError
from swiftforce.inputs import integer
from swiftforce.native import native_call


def set_num_threads(threads: int) -> None:
    """Set how many threads each later call of this process may use.

    By default all CPUs that the process may run on, or what the environment variable
    ``SWIFTFORCE_NUM_THREADS`` says. Small inputs stay on one thread. Results do not depend on it.
    Matrix products of `swiftforce.nn` follow OpenBLAS's own setting, not this one.

    Parameters
    ----------
    threads : int
        In 1 ... 4096.

    Raises
    ------
    ThreadsError
    """
    with native_call():
        _core.set_threads(integer(threads, "threads", ThreadsError))


def get_num_threads() -> int:
    """How many threads a call may use.

    Raises
    ------
    EnvironmentVariableError
        If ``SWIFTFORCE_NUM_THREADS`` is set to something else than a number in 1 ... 4096.
    """
    with native_call():
        return _core.threads()


def cpu_levels() -> tuple[str, ...]:
    """The CPU level in use, then the others that this machine has.

    The environment variable ``SWIFTFORCE_CPU_LEVEL`` names another one to use; it is read once.
    Results do not depend on it.

    Raises
    ------
    EnvironmentVariableError
        If the variable names no level, or one that this CPU lacks.
    """
    with native_call():
        return _core.cpu_levels()
