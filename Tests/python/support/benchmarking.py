"""Running a benchmark as its users do, in seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run_quick(module: str, folder: Path, places: dict[str, str], *options: str) -> str:
    """What a benchmark prints, whose options name these files of a folder."""
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
    """A folder with a page, which a benchmark that was run there wrote its tables into."""
    folder = factory.mktemp("bench")
    (folder / "page.md").write_text(page)
    run(folder)
    return folder
