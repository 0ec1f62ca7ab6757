"""Time of `import swiftforce` after numpy, which every user imports anyway.

Each run is a new process that imports numpy and then the installed package. The first run, which
loads the files into the page cache, is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

PROGRAM = """
import json, time
times = [time.perf_counter()]
import numpy
times.append(time.perf_counter())
import swiftforce
times.append(time.perf_counter())
import swiftforce.nn, swiftforce.datasets
times.append(time.perf_counter())
print(json.dumps([1000 * (b - a) for a, b in zip(times, times[1:])]))
"""
ROWS = ("numpy", "swiftforce after it", "swiftforce.nn and .datasets after that")


def turn() -> list[float]:
    """Milliseconds of each import of one process."""
    command = [sys.executable, "-I", "-c", PROGRAM]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main() -> None:
    """Print a table of the imports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=21)
    turns = parser.parse_args().turns
    turn()
    columns = list(zip(*(turn() for _ in range(turns)), strict=True))
    print(f"{'import':40} {'median':>9} {'best':>9} {'of numpy':>9}")
    for name, times in zip(ROWS, columns, strict=True):
        share = statistics.median(t / base for t, base in zip(times, columns[0], strict=True))
        print(f"{name:40} {statistics.median(times):6.1f} ms {min(times):6.1f} ms {share:9.2f}")


if __name__ == "__main__":
    main()
