"""Whatever the functions of the core are called with, the process lives on."""

from __future__ import annotations

import subprocess
import sys

import native_fuzz
import pytest


@pytest.mark.parametrize("seed", [0, 1])
def test_no_call_ends_the_process(seed):
    """In a process of its own, so that a crash is a failure here and not of all tests."""
    program = [sys.executable, "-X", "faulthandler", native_fuzz.__file__, "3000", str(seed)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
