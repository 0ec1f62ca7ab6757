"""Times of calls that take turns, so that what else the machine does hits all of them alike."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
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


def in_turn(
    calls: Mapping[str, Call], repeats: int, *, fewer: Mapping[str, int] | None = None
) -> dict[str, Times]:
    """Times of calls that take turns, each run once before.

    Parameters
    ----------
    calls : mapping of str to callable
    repeats : int
        Number of timed runs of each.
    fewer : mapping of str to int, optional
        Fewer runs of some, spread evenly over those of the others; not run before, either.
    """
    fewer = dict(fewer or {})
    found: dict[str, list[float]] = {name: [] for name in calls}
    for name, call in calls.items():
        if name not in fewer:
            call()
    gc.collect()
    gc.disable()
    try:
        for turn in range(repeats):
            for name, call in calls.items():
                wanted = min(repeats, fewer.get(name, repeats))
                if turn * wanted // repeats == (turn - 1) * wanted // repeats and turn:
                    continue
                start = time.perf_counter()
                call()
                found[name].append(time.perf_counter() - start)
    finally:
        gc.enable()
    return {name: Times(tuple(times)) for name, times in found.items()}


def machine() -> dict[str, str]:
    """What the figures depend on, in words."""
    found = {
        "CPU": _cpu(),
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


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()
