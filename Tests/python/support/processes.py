"""Runs processes of one test at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable

#: Time limit in seconds, far above the time of a run: a rank that waits forever fails.
PATIENCE = 120


def run_all(commands: list[list[str]]) -> None:
    """Run processes at the same time; each must exit with status 0."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OMP_NUM_THREADS": "1",
        "SWIFTFORCE_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in commands
    ]
    try:
        outputs = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output


def fork_ranks(size: int, work: Callable[[int], object]) -> None:
    """Run `work` on each rank in a process of its own, forked after the imports; then exit.

    They are made by `fork` because torch takes seconds to import.
    """
    for rank in range(size):
        if os.fork():
            continue
        status = 1
        signal.alarm(PATIENCE)
        try:
            work(rank)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    sys.exit(max(os.waitstatus_to_exitcode(os.wait()[1]) != 0 for _ in range(size)))
