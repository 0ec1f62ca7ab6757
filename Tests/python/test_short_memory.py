"""Where memory is short the core raises MemoryError. It ends no process and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import short_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs limits of Linux")
LIMITS = (0.3, 1, 2, 3.5, 6, 10, 18, 33, 70, 400)


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "kind"), [(1, "AS"), (3, "AS"), (3, "DATA")])
@pytest.mark.parametrize("scenario", short_memory.scenarios())
def test_a_call_succeeds_or_raises_memory_error(scenario, threads, kind):
    program = [sys.executable, short_memory.__file__, scenario, str(threads), kind]
    done = subprocess.run(
        [*program, ",".join(map(str, LIMITS))],
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    endings = json.loads(done.stdout)
    assert set(endings) <= {"succeeded", "MemoryError"}, (endings, done.stderr)
    assert sum(endings.values()) == len(LIMITS)
    assert endings["succeeded"] >= 1
