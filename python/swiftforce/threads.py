"""The number of threads that a call may use, and the CPU level of its loops."""

from __future__ import annotations

from swiftforce import _core
from swiftforce.errors import ThreadsError
from swiftforce.inputs import integer
from swiftforce.native import native_call


def set_num_threads(threads: int) -> None:
    """Set how many threads each later call of this process may use.

    The default is the value of the environment variable ``SWIFTFORCE_NUM_THREADS``, or else the
    number of CPUs that the process may run on. Small inputs use one thread. Results do not depend
    on the number.

    Parameters
    ----------
    threads : int
        In 1 ... 4096.

    Raises
    ------
    ThreadsError
        If it is not an integer in that range.
    """
    with native_call():
        _core.set_threads(integer(threads, "threads", ThreadsError))


def get_num_threads() -> int:
    """The number of threads that a call may use.

    Raises
    ------
    EnvironmentVariableError
        If ``SWIFTFORCE_NUM_THREADS`` is not a number in 1 ... 4096.
    """
    with native_call():
        return _core.threads()


def cpu_levels() -> tuple[str, ...]:
    """The CPU level in use, then the others that this machine has.

    The environment variable ``SWIFTFORCE_CPU_LEVEL`` selects another one; it is read once. Masks
    do not depend on the level; networks of `nn` may differ by rounding.

    Raises
    ------
    EnvironmentVariableError
        If the variable does not name a level, or names one that this CPU does not have.
    """
    with native_call():
        return _core.cpu_levels()
