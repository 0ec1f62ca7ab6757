"""A campaign of numbered cases on all CPUs: what each case was, and those that failed."""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

#: Runs some cases of a seed in this process, given the seed, the number of the first one and their
#: number; how many there were of each kind, and a line for each that failed.
Task = Callable[[int, int, int], tuple[Counter[str], list[str]]]

#: How many failures are printed.
SHOWN = 20


def run(task: Task, *, description: str | None, cases: int, size: int, tasks: int | None) -> int:
    """Run the cases that the command line asks for, and print how many there were.

    Parameters
    ----------
    task : callable
    description : str
        What ``--help`` says.
    cases : int
        How many cases there are by default.
    size : int
        How many of them one call of `task` runs.
    tasks : int, optional
        After how many calls processes make way for new ones; by default they stay.

    Returns
    -------
    int
        The exit status: 1 if a case failed.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=cases)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    started = time.monotonic()
    end = given.first + given.cases
    starts = range(given.first, end, size)
    done: Counter[str] = Counter()
    failures: list[str] = []
    # The pool's own limit of tasks for each process can leave it without one, waiting for ever
    # (https://github.com/python/cpython/issues/115634).
    together = len(starts) if tasks is None else tasks * given.processes
    for group in (starts[i : i + together] for i in range(0, len(starts), together)):
        with ProcessPoolExecutor(given.processes) as pool:
            calls = [pool.submit(task, given.seed, one, min(size, end - one)) for one in group]
            for start, call in zip(group, calls, strict=True):
                try:
                    found, failed = call.result()
                except BrokenProcessPool:
                    found, failed = Counter(), [f"a process ended in the cases from {start} on"]
                done += found
                for line in failed[: max(0, SHOWN - len(failures))]:
                    print(line, flush=True)
                failures += failed
    minutes = (time.monotonic() - started) / 60
    print(f"{given.cases} cases of seed {given.seed} in {minutes:.1f} minutes")
    print(", ".join(f"{name}: {count}" for name, count in sorted(done.items())))
    print(f"{len(failures)} failed")
    return int(bool(failures))
