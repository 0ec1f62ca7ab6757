"""The command ``prune`` reads checkpoints in place: they may be larger than memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkpoint_files import write

pytest.importorskip("safetensors")

PEAK = """
import sys, tracemalloc
from swiftforce import cli
from swiftforce.cli import prune
import safetensors.numpy
tracemalloc.start()
if sys.argv[1] == "load":
    kept = [safetensors.numpy.load_file(path) for path in ("w.safetensors", "g.safetensors")]
else:
    assert cli.main(sys.argv[1:]) == 0
print(tracemalloc.get_traced_memory()[1], file=sys.stderr)
"""


@pytest.mark.slow
def test_files_are_not_loaded(tmp_path: Path) -> None:
    """Python allocates memory for masks, not for files."""
    rng = np.random.default_rng(1)
    size = 3_000_000
    for file in ("w", "g"):
        array = rng.standard_normal((size // 1000, 1000), np.float32)
        write(tmp_path / f"{file}.safetensors", {"fc.weight": array})

    def peak(*arguments: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stderr)

    files = 8 * size
    weights = ("prune", "--weights", "w.safetensors", "--sparsity", "0.9", "--output", "m")
    assert peak(*weights, "--gradients", "g.safetensors") < files / 3
    assert peak("load") > files * 0.9
