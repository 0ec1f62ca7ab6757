"""Times of alternating calls, so that other processes disturb all of them alike."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle
from pathlib import Path

import swiftforce as sf

Call = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Seconds that calls took."""

    all: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of all runs."""
        return statistics.median(self.all)

    @property
    def best(self) -> float:
        """Of all runs."""
        return min(self.all)

    def ratio_to(self, other: Times) -> float:
        """Median of the ratios of runs made in the same turn."""
        return statistics.median(
            mine / theirs for mine, theirs in zip(self.all, other.all, strict=True)
        )


@contextmanager
def garbage_collection_off() -> Iterator[None]:
    """Turn the garbage collector off."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def in_turn(
    calls: Mapping[str, Call], repeats: int, *, fewer: Mapping[str, int] | None = None
) -> dict[str, Times]:
    """Times of alternating calls. Each is run once before, untimed.

    Parameters
    ----------
    calls : mapping of str to callable
    repeats : int
        Number of timed runs of each.
    fewer : mapping of str to int, optional
        Fewer runs for some calls, spread evenly; these calls are not run before.
    """
    fewer = dict(fewer or {})
    found: dict[str, list[float]] = {name: [] for name in calls}
    for name, call in calls.items():
        if name not in fewer:
            call()
    with garbage_collection_off():
        for turn in range(repeats):
            for name, call in calls.items():
                runs = min(repeats, fewer.get(name, repeats))
                if turn * runs // repeats == (turn - 1) * runs // repeats and turn:
                    continue
                found[name].append(_seconds(call))
    return {name: Times(tuple(times)) for name, times in found.items()}


def repeated(call: Call, times: int) -> Call:
    """A call that repeats another and discards the results."""

    def several() -> None:
        for _ in range(times):
            call()

    return several


class BetweenSteps:
    """Batches for a loop, with other calls timed before each step of the loop.

    The loop may be a single call: its steps are timed by when it takes the next batch.

    Parameters
    ----------
    batches : iterable
        Repeated without end; the loop must end by itself.
    calls : mapping of str to callable
    """

    def __init__(self, batches: Iterable[object], calls: Mapping[str, Call]) -> None:
        self._batches = tuple(batches)
        self._calls = dict(calls)
        self._steps: list[float] = []
        self._turns: dict[str, list[float]] = {name: [] for name in calls}

    def __iter__(self) -> Iterator[object]:
        """Batches without end."""
        for batch in cycle(self._batches):
            for name, call in self._calls.items():
                self._turns[name].append(_seconds(call))
            start = time.perf_counter()
            yield batch
            self._steps.append(time.perf_counter() - start)

    @property
    def steps(self) -> Times:
        """Times from each batch to the next; the last step is missing."""
        return Times(tuple(self._steps))

    def times(self, name: str) -> Times:
        """Times of a call, before each of those steps."""
        return Times(tuple(self._turns[name][: len(self._steps)]))

    def total(self, name: str) -> float:
        """Seconds of all runs of a call."""
        return sum(self._turns[name])


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def machine_facts() -> dict[str, str]:
    """The machine and the versions that the results depend on."""
    found = {
        "CPU": _of_cpu("model name") or platform.machine(),
        "clock": f"{float(_of_cpu('cpu MHz') or 0):.0f} MHz",
        "CPUs used": str(sf.get_num_threads()),
        "CPU level": sf.cpu_levels()[0],
        "Python": platform.python_version(),
    }
    for package in ("numpy", "torch", "ml_dtypes"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _of_cpu(field: str) -> str:
    """What the system says of its first CPU; empty if it does not."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(field):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return ""
