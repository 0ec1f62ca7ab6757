"""Runs the command line in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(*arguments: str, cwd: Path, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """Runs the command in a process in which some modules cannot be imported."""
    program = (
        "import runpy, sys\n"
        f"sys.modules.update(dict.fromkeys({blocked!r}))\n"
        f"sys.argv = ['swiftforce', *{arguments!r}]\n"
        "runpy.run_module('swiftforce', run_name='__main__', alter_sys=False)\n"
    )
    environment = {name: v for name, v in os.environ.items() if not name.startswith("SWIFTFORCE")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
