"""IDX files for tests, and the memory that reading them takes."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def header(code: int, *dimensions: int) -> bytes:
    return struct.pack(f">BBBB{len(dimensions)}I", 0, 0, code, len(dimensions), *dimensions)


def idx_bytes(array: np.ndarray) -> bytes:
    code = CODES[array.dtype.str[1:]]
    return header(code, *array.shape) + array.astype(array.dtype.newbyteorder(">")).tobytes()


def plain(data: bytes) -> bytes:
    return data


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


either_way = pytest.mark.parametrize("pack", [plain, packed])


def peak_memory(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


TRAIN_X = np.array([[[0, 51], [102, 255]], [[0, 0], [255, 255]], [[1, 2], [3, 4]]], np.uint8)
TRAIN_Y = np.array([2, 0, 1], np.uint8)
TEST_X = np.array([[[9, 8], [7, 6]]], np.uint8)
TEST_Y = np.array([3], np.uint8)
ARRAYS = {
    "train-images-idx3-ubyte": TRAIN_X,
    "train-labels-idx1-ubyte": TRAIN_Y,
    "t10k-images-idx3-ubyte": TEST_X,
    "t10k-labels-idx1-ubyte": TEST_Y,
}


def write_files(folder: Path, pack: Callable[[bytes], bytes] = plain, **parts: np.ndarray) -> Path:
    """Write the four files; `parts` replaces arrays by name, such as train_images."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ARRAYS.items():
        part = "_".join(name.split("-")[:2])
        suffix = ".gz" if pack is packed else ""
        (folder / (name + suffix)).write_bytes(pack(idx_bytes(parts.get(part, array))))
    return folder
