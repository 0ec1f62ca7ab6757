"""Runs benchmarks in seconds, as commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run_quick(module: str, folder: Path, places: dict[str, str], *options: str) -> str:
    """The output of a benchmark whose options name files in a folder."""
    for option, name in places.items():
        options += (f"--{option}", str(folder / name))
    done = subprocess.run(
        [sys.executable, "-m", module, "--quick", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def measured(factory: pytest.TempPathFactory, page: str, run: Callable[[Path], object]) -> Path:
    """A folder with a page that a benchmark has written its tables to."""
    folder = factory.mktemp("bench")
    (folder / "page.md").write_text(page)
    run(folder)
    return folder
