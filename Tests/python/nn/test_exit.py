"""A process ends, and forks, while other threads compute with networks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

PROCESSES = 20
COMPUTING = """
import threading, time, os, random
import numpy as np
from swiftforce import nn
x, y = np.ones((512, 400), np.float32), np.zeros(512, np.int64)
def compute():
    net = nn.Network([nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 3)])
    while True:
        net.predict(x)
        net.fit(x, y, epochs=1, learning_rate=1e-9, weight_decay=0)
for _ in range(4):
    threading.Thread(target=compute, daemon=True).start()
time.sleep(0.05 + random.random() * 0.1)
"""
ENDINGS = {
    "return": "",
    "exit": "import sys; sys.exit(0)",
}
FORKING = """
net = nn.Network([nn.Linear(400, 400)])
expected = net.predict(x)
for _ in range(10):
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(net.predict(x), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_ends(ending):
    for _ in range(PROCESSES if ending == "return" else 3):
        done = run("import sys\n" + COMPUTING + ENDINGS[ending])
        assert (done.returncode, done.stderr) == (0, "")


def test_a_process_ends_by_a_signal():
    """An interrupt while the main thread is inside a call, too."""
    # A process that a shell starts in the background ignores the signal.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program = heeding + COMPUTING + "os.kill(os.getpid(), 2)\ncompute()\n"
    done = run(program)
    assert done.returncode in (1, -signal.SIGINT)
    assert "KeyboardInterrupt" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_computes_what_its_parent_computes():
    done = run("import warnings; warnings.simplefilter('ignore')\n" + COMPUTING + FORKING)
    assert (done.returncode, done.stderr) == (0, "")
