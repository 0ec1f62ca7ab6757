"""Peak memory of a call beyond its arguments, measured in a separate process."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import swiftforce as sf

from benchmarks import ours, peers
from benchmarks.arrays import Problem, problem
from benchmarks.measure import Call

STATUS = Path("/proc/self/status")
#: Makes the C library return freed memory of this size or more. What it keeps otherwise depends on
#: which thread freed it, and varies between two runs by more than what is measured.
MALLOC_SETTINGS = {"MALLOC_MMAP_THRESHOLD_": "262144"}
#: Elements of a problem that is solved first, so that one-time allocations are not counted.
WARM_UP_SIZE = 300_000


def extra_memory(what: str, size: int, dtype: str, keep: int) -> dict[str, int] | None:
    """Peak bytes beyond the arrays of a problem; None if the system does not report them.

    Returns
    -------
    dict
        ``extra``, and ``input`` and ``masks`` to compare it with.
    """
    return run_in_process("benchmarks.memory", what, size, dtype, keep)


def run_in_process(
    module: str, *arguments: object, environment: Mapping[str, str] | None = None
) -> dict[str, int] | None:
    """Run a module and read the JSON that it prints; None if the system does not report memory.

    Parameters
    ----------
    environment : mapping of str, optional
        Variables to set in the process.
    """
    if not STATUS.exists():
        return None
    command = [sys.executable, "-m", module, *map(str, arguments)]
    root = Path(__file__).parents[1]
    variables = os.environ | (environment or {})
    done = subprocess.run(
        command, cwd=root, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[2:])}: {done.stderr}")
    return json.loads(done.stdout)


def extra_peak(call: Call) -> int:
    """Peak resident memory of a call minus the resident memory before it, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = resident()
    result = call()
    found = _status("VmHWM") - before
    del result
    return found


def resident() -> int:
    """Resident memory of this process, in bytes."""
    return _status("VmRSS")


def _call(what: str, data: Problem, keep: int) -> Call:
    if what == ours.SNIP:
        return ours.snip(data, keep)
    if what == ours.STEP:
        return ours.step(data.weights, data.alternating, keep, steps=4)
    return peers.prepare(what, data, keep, sf.get_num_threads())


def _status(field: str) -> int:
    """A field of the process status, in bytes."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"no {field} in {STATUS}")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what")
    parser.add_argument("size", type=int)
    parser.add_argument("dtype")
    parser.add_argument("keep", type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", sf.LayerCollapseWarning)  # as in selection.py
    _call(arguments.what, problem(WARM_UP_SIZE, arguments.dtype), max(1, WARM_UP_SIZE // 100))()
    sets = 2 if arguments.what == ours.STEP else 1
    arrays = problem(arguments.size, arguments.dtype, alternating=sets)
    call = _call(arguments.what, arrays, arguments.keep)
    found = {"extra": extra_peak(call), "input": arrays.bytes, "masks": arrays.size}
    print(json.dumps(found))


if __name__ == "__main__":
    _main()
