"""The scan that benchmarks compare selection with reads every byte."""

from __future__ import annotations

import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import swiftforce as sf
from swiftforce import _core

SIZES = [(0,), (1,), (7, 0, 9), (2047, 2048, 2049), (524_287, 3, 1_048_576 + 5), (3_333_333,)]


def parity(arrays: list[np.ndarray]) -> int:
    """The exclusive or of the words of all arrays; last words are padded with zeros."""
    found = 0
    for array in arrays:
        data = array.tobytes()
        words = np.frombuffer(data + bytes(-len(data) % 8), "<u8")
        found ^= int(np.bitwise_xor.reduce(words))
    return found


@pytest.mark.usefixtures("restored_threads")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("sizes", SIZES)
def test_every_byte_is_read(rng, sizes, threads):
    sf.set_num_threads(threads)
    arrays = [rng.integers(0, 256, size, np.uint8).view(np.bool_) for size in sizes]
    assert _core.scan(arrays) == parity(arrays)


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16, np.bool_]
)
def test_every_type_of_array_is_read(rng, dtype):
    arrays = [rng.integers(0, 2, size).astype(dtype) for size in (1, 1001, 0, 70_007)]
    assert _core.scan(arrays) == parity(arrays)


@pytest.mark.slow
@pytest.mark.parametrize("level", sf.cpu_levels())
def test_levels_agree(level):
    program = (
        "import numpy as np; from swiftforce import _core;"
        "print(_core.scan([np.random.default_rng(7).standard_normal(300_001)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "SWIFTFORCE_CPU_LEVEL": level},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == parity([np.random.default_rng(7).standard_normal(300_001)])


def test_what_is_no_array_of_ours_is_refused():
    for arrays in ([], [np.zeros(3, np.int64)], [np.zeros(3, ">f4")]):
        with pytest.raises(_core.NativeError):
            _core.scan(arrays)


def test_it_is_not_public():
    assert "read" not in sf.__all__
