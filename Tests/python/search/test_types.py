"""What a type checker says of masks: their structure is that of the weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

#: Unused "type: ignore" comments are errors, so each of them marks a call that is one.
PROGRAM = """
from typing import Any, assert_type

import numpy as np
import swiftforce as sf
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
w = np.ones((2, 3), np.float32)
named: dict[str, NDArray[np.float32]] = {"w": w}


def gradients(masked: Any) -> Any:
    return masked


for found in (
    sf.force(named, gradients, keep=1, steps=2, progress=False),
    sf.iterative_snip(named, gradients, sparsity=0.5, schedule="cosine"),
    sf.grasp_it(named, gradients, sparsity=0.5, schedule=[2, 1]),
    sf.prune(named, gradients, method="force", keep=1, seed=3),
    sf.snip(named, named, keep=1),
    sf.magnitude(named, keep=1),
    sf.random(named, keep=1, seed=3),
    sf.MaskSearch(named, method="snip", keep=1).result(),
):
    assert_type(found, sf.Pruning[dict[str, Mask]])
    assert_type(found.masks["w"], Mask)

assert_type(sf.snip([w], [w], keep=1).masks, list[Mask])
assert_type(sf.snip((w, w), (w, w), keep=1).masks, tuple[Mask, ...])
assert_type(sf.snip(w, w, keep=1).masks, Mask)
assert_type(sf.snip({1: w}, {1: w}, keep=1).masks, dict[int, Mask])
assert_type(sf.prune([w], method="random", keep=1).masks, list[Mask])
assert_type(sf.MaskSearch([w], keep=1).masks, list[Mask])
assert_type(sf.MaskSearch((w,), keep=1).result().masks, tuple[Mask, ...])
assert_type(sf.MaskSearch(w, keep=1).masks, Mask)

sf.prune(w, method="forc", keep=1)  # type: ignore[call-overload]
sf.force(w, gradients, keep=1, schedule="stairs")  # type: ignore[arg-type]
sf.force(w, gradients, keeps=1)  # type: ignore[call-overload]
sf.MaskSearch(w, method="grasp", keep=1)  # type: ignore[call-overload]
sf.saliency(w, criterion="taylor")  # type: ignore[arg-type]
"""


def check(program: str, folder: Path) -> tuple[int, str]:
    """The exit status of mypy on a program, and what it says."""
    (folder / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml"]
    done = subprocess.run(
        [*command, folder / "program.py"],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT / "python")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_masks_have_a_type(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs mypy")
    status, said = check(PROGRAM, tmp_path)
    assert status == 0, said
    wrong = PROGRAM.replace("keep=1).masks, Mask)", "keep=1).masks, list[Mask])", 1)
    assert wrong != PROGRAM
    status, said = check(wrong, tmp_path)
    assert status == 1
    assert "Expression is of type" in said
