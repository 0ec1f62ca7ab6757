"""Cells of a notebook, run in a kernel of the interpreter that the tests run in."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

RUN_NOTEBOOKS = Path(__file__).parents[3] / "tools" / "run_notebooks.py"


def outputs_of(*cells: str) -> list[list[dict[str, Any]]]:
    """What each cell shows, as a notebook stores it."""
    for name in ("nbclient", "ipykernel"):
        pytest.importorskip(name)
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in cells])
    executed = runpy.run_path(str(RUN_NOTEBOOKS))["executed"]
    return [cell.outputs for cell in executed(notebook).cells]
