"""Where memory is short the core raises MemoryError. It ends no process and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import short_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs limits of Linux")
LIMITS = (0.3, 2, 10, 33, 400)
MORE_LIMITS = (0.6, 1, 1.4, 3.5, 6, 18, 70, 400)

#: A limit set before or after the first call, which a product of a network then exceeds.
PROGRAM = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from swiftforce import nn, set_num_threads

signal.alarm(100)
set_num_threads(int(sys.argv[3]))
small, large = nn.Network([nn.Linear(4, 4)]), nn.Network([nn.Linear(800, 300), nn.Linear(300, 9)])
if sys.argv[2] == "after":
    small.predict(np.ones((2, 4), np.float32))
counted = {"AS": "VmSize:", "DATA": "VmData:"}[sys.argv[1]]
used = int(Path("/proc/self/status").read_text().split(counted)[1].split()[0]) << 10
limit = getattr(resource, "RLIMIT_" + sys.argv[1])
resource.setrlimit(limit, (used + (60 << 20), resource.RLIM_INFINITY))
try:
    print(large.predict(np.ones((512, 800), np.float32)).shape)
except MemoryError:
    print("MemoryError")
"""


@pytest.mark.parametrize("kind", ["AS", "DATA"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_product_does_not_wait_for_memory_that_is_not_there(kind, when, threads):
    program = [sys.executable, "-c", PROGRAM, kind, when, str(threads)]
    done = subprocess.run(program, check=True, capture_output=True, text=True, timeout=200)
    assert done.stdout.strip() == ("MemoryError" if when == "before" else "(512, 9)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("threads", "kind", "limits"),
    [
        pytest.param(3, "AS", LIMITS, id="few"),
        *(
            pytest.param(threads, kind, MORE_LIMITS, id=f"{threads}-{kind}", marks=pytest.mark.long)
            for threads in (1, 3)
            for kind in ("AS", "DATA")
        ),
    ],
)
@pytest.mark.parametrize("scenario", short_memory.scenarios())
def test_a_call_succeeds_or_raises_memory_error(scenario, threads, kind, limits):
    program = [sys.executable, short_memory.__file__, scenario, str(threads), kind]
    done = subprocess.run(
        [*program, ",".join(map(str, limits))],
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    endings = json.loads(done.stdout)
    assert set(endings) <= {"succeeded", "MemoryError"}, (endings, done.stderr)
    assert sum(endings.values()) == len(limits)
    assert endings["succeeded"] >= 1
