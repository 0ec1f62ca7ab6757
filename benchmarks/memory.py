"""How much memory a call takes beyond its arguments, measured in a process of its own."""

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
#: Elements of a problem that is solved first: what a library sets up once is not counted.
FIRST = 300_000


def extra(what: str, size: int, dtype: str, keep: int) -> dict[str, int] | None:
    """Peak bytes beyond the arrays of a problem; None where the system cannot tell.

    Returns
    -------
    dict
        ``extra``, and ``input`` and ``masks`` to compare it with.
    """
    return in_a_process("benchmarks.memory", what, size, dtype, keep)


def in_a_process(
    module: str, *arguments: object, environment: Mapping[str, str] | None = None
) -> dict[str, int] | None:
    """What a module prints as JSON when it is run by itself; None where memory cannot be told.

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


def peak_beyond(call: Call) -> int:
    """Bytes of resident memory at the peak of a call, less those before it."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = _status("VmRSS")
    result = call()
    found = _status("VmHWM") - before
    del result
    return found


def _call(what: str, given: Problem, keep: int) -> Call:
    if what == ours.SNIP:
        return ours.snip(given, keep)
    if what == ours.STEP:
        return ours.step(given.weights, given.alternating, keep, steps=4)
    return peers.prepare(what, given, keep, sf.get_num_threads())


def _status(field: str) -> int:
    """Bytes that the kernel reports of this process."""
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
    given = parser.parse_args()
    warnings.simplefilter("ignore", sf.LayerCollapseWarning)  # as in selection.py
    _call(given.what, problem(FIRST, given.dtype), max(1, FIRST // 100))()
    sets = 2 if given.what == ours.STEP else 1
    arrays = problem(given.size, given.dtype, alternating=sets)
    call = _call(given.what, arrays, given.keep)
    found = {"extra": peak_beyond(call), "input": arrays.bytes, "masks": arrays.size}
    print(json.dumps(found))


if __name__ == "__main__":
    _main()
