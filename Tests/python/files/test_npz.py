"""Files of numpy: tensors in compressed rows are what scipy reads, whatever their shapes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from swiftforce.files import compressed_rows, csr_arrays, write_npz

SHAPES = [(5,), (1, 1), (3, 4), (4, 3, 2), (2, 3, 3, 3), (0, 4), (4, 0), (0,), (300, 7)]


def dense(arrays: Any, name: str) -> np.ndarray:
    """A tensor from its rows, by a loop."""
    data, indices, indptr, shape = (
        arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr", "shape")
    )
    rows = len(indptr) - 1
    found = np.zeros((rows, int(np.prod(shape)) // max(rows, 1)), data.dtype)
    for row in range(rows):
        for place in range(indptr[row], indptr[row + 1]):
            found[row, indices[place]] = data[place]
    return found.reshape(shape)


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_hold_what_is_kept(shape: tuple[int, ...], density: float) -> None:
    random = np.random.default_rng(len(shape))
    weights = random.normal(size=shape).astype(np.float32)
    mask = random.random(shape) < density
    arrays = dict(csr_arrays("w", weights, mask))
    assert set(arrays) == {"w.data", "w.indices", "w.indptr", "w.shape"}
    np.testing.assert_array_equal(dense(arrays, "w"), np.where(mask, weights, 0))
    assert arrays["w.indices"].dtype == arrays["w.indptr"].dtype == np.int32
    assert arrays["w.data"].size == np.count_nonzero(mask)


@pytest.mark.parametrize("shape", [(3, 4), (4, 3, 2), (6, 5)])
def test_scipy_has_the_same_rows(shape: tuple[int, ...]) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    random = np.random.default_rng(0)
    weights = random.normal(size=shape) * (random.random(shape) < 0.4)
    expected = sparse.csr_matrix(weights.reshape(shape[0], -1))
    indices, indptr = compressed_rows(weights != 0)
    for found, wanted in ((indices, expected.indices), (indptr, expected.indptr)):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def test_kept_zeros_are_stored() -> None:
    arrays = dict(csr_arrays("w", np.zeros((2, 2)), np.eye(2, dtype=bool)))
    assert arrays["w.data"].tolist() == [0, 0]


def test_numpy_reads_what_is_written(tmp_path: Path) -> None:
    arrays = {"a": np.arange(3), "layer.0/b": np.float16([[1, 2]]), "größe": np.array(True)}
    write_npz(tmp_path / "x.npz", arrays.items())
    found = np.load(tmp_path / "x.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("name", ["a\0", "a.npy", "../a", "/a"])
def test_names_that_files_cannot_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(sf.CheckpointError, match="cannot be the name of an array"):
        write_npz(tmp_path / "x.npz", [(name, np.ones(1))])


def test_two_arrays_of_one_name(tmp_path: Path) -> None:
    pairs = [*csr_arrays("w", np.eye(2), np.eye(2, dtype=bool)), ("w.data", np.ones(1))]
    with pytest.raises(sf.CheckpointError, match=r"two arrays .* have the name 'w\.data'"):
        write_npz(tmp_path / "x.npz", pairs)


def test_members_are_stored_as_they_are(tmp_path: Path) -> None:
    """So that programs can map them."""
    write_npz(tmp_path / "x.npz", [("a", np.arange(9))])
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        assert [one.compress_type for one in archive.infolist()] == [zipfile.ZIP_STORED]
