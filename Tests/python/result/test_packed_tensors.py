"""Packed models of numpy arrays: arrays and masks come back, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from swiftforce.files.packed import PackedTensor, write_packed

pytest.importorskip("safetensors")

DTYPES = [
    *("float16", "float32", "float64", "bool", "complex64", ml_dtypes.bfloat16),
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
]


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def network(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "fc1": rng.standard_normal((40, 50)).astype(np.float32),
        "bias": rng.standard_normal(50).astype(np.float32),
        "fc2": rng.standard_normal((50, 10)),
        "steps": np.array(7),
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_arrays_of_every_type_come_back(dtype: Any, tmp_path: Path) -> None:
    sparse = np.zeros((30, 40), dtype)
    sparse[::7, ::9] = 1
    arrays = {
        "sparse": sparse,
        "transposed": sparse.T,
        "every other": np.arange(9).astype(dtype)[::2],
        "every other sparse": sparse.reshape(-1)[::-7],
        "dense": np.ones((3, 2), dtype),
        "number": np.ones((), dtype),
        "empty": np.zeros((0, 3), dtype),
    }
    sf.save_packed(arrays, tmp_path / "m")
    found = sf.load_packed(tmp_path / "m")
    assert_same(found.tensors, arrays)
    assert found.masks == {}


@given(st.lists(st.sampled_from([0.0, -0.0, 1.5, np.nan, -np.inf]), max_size=40), st.data())
def test_any_array_and_mask_come_back(values: list[float], data: st.DataObject) -> None:
    import tempfile

    mask = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))), bool
    )
    weights = {"w": np.where(mask, np.array(values, np.float64), 0.0)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m")
        sf.save_packed(weights, path, {"w": mask})
        found = sf.load_packed(path)
    assert_same(found.tensors, weights)
    assert_same(found.masks, {"w": mask})


def test_masks_of_a_result_come_back_with_kept_zeros(tmp_path: Path) -> None:
    weights = network()
    weights["fc1"][:20] = 0
    pruned = {name: weights[name] for name in ("fc1", "fc2")}
    pruning = sf.random(pruned, sparsity=0.9)
    weights |= sf.apply_masks(pruned, pruning)
    sf.save_packed(weights, tmp_path / "m", pruning)
    found = sf.load_packed(tmp_path / "m")
    assert_same(found.tensors, weights)
    assert_same(found.masks, pruning.masks)
    assert np.count_nonzero(weights["fc1"]) < found.masks["fc1"].sum()
    # They can be used again.
    assert_same(sf.apply_masks(pruned, found.masks), sf.apply_masks(pruned, pruning))


def test_no_masks_are_masks_of_nothing(tmp_path: Path) -> None:
    sf.save_packed(network(), tmp_path / "m", masks={})
    found = sf.load_packed(tmp_path / "m")
    assert_same(found.tensors, network())
    assert found.masks == {}


def test_what_is_read_can_be_written_to(tmp_path: Path) -> None:
    sf.save_packed({"dense": np.ones(3), "sparse": np.zeros(99)}, tmp_path / "m")
    found = sf.load_packed(str(tmp_path / "m")).tensors
    for array in found.values():
        array[:] = 2
    assert found["dense"].tolist() == [2, 2, 2]


def test_masks_of_parts_are_joined(tmp_path: Path) -> None:
    weights = {"experts": np.ones((3, 4, 5), np.float32)}
    masks = {"experts[0]": np.eye(4, 5, dtype=bool), "experts[2]": np.zeros((4, 5), bool)}
    whole = np.stack([masks["experts[0]"], np.ones((4, 5), bool), masks["experts[2]"]])
    weights["experts"][~whole] = 0
    sf.save_packed(weights, tmp_path / "m", masks)
    found = sf.load_packed(tmp_path / "m")
    assert_same(found.masks, {"experts": whole})
    assert_same(found.tensors, weights)


def test_files_are_small(tmp_path: Path) -> None:
    weights = {"w": np.random.default_rng(0).standard_normal((400, 500)).astype(np.float32)}
    for sparsity, most in ((0.99, 0.015), (0.9, 0.13), (0.5, 0.54), (0.0, 1.01)):
        masks = sf.magnitude(weights, sparsity=sparsity)
        sf.save_packed(sf.apply_masks(weights, masks), tmp_path / "m")
        assert (tmp_path / "m").stat().st_size < most * 800_000


# ------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("masks", "error", "text"),
    [
        ({"fc3": np.ones((50, 10), bool)}, sf.WeightsDifferError, "fc3 missing"),
        ({"fc2": np.ones((10, 50), bool)}, sf.WeightsDifferError, r"'fc2' has shape \(50, 10\)"),
        ({"fc2": np.ones((50, 10))}, sf.UnsupportedTypeError, "fc2"),
        ({"fc2": np.eye(50, 10, dtype=bool)}, sf.RemovedWeightsError, "490 weights of 'fc2'"),
        ([np.ones((40, 50), bool)], sf.WeightsDifferError, "0 missing"),
    ],
)
def test_masks_that_do_not_fit(masks: Any, error: type, text: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=text):
        sf.save_packed(network(), tmp_path / "m", masks)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, np.complex128),
        np.array(["text"]),
        np.array([None]),
        np.zeros(3, ">f4"),
        {"nested": np.zeros(3)},
        np.zeros(3, ml_dtypes.float8_e4m3fn),
    ],
    ids=repr,
)
def test_arrays_that_files_do_not_have(array: Any, tmp_path: Path) -> None:
    with pytest.raises(sf.UnsupportedTypeError, match=r"^'w' is of "):
        sf.save_packed({"w": array}, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_names_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(sf.StructureError, match=r"^1 is no text"):
        sf.save_packed({1: np.zeros(3)}, tmp_path / "m")


def test_types_that_numpy_does_not_have(tmp_path: Path) -> None:
    write_packed(tmp_path / "m", [PackedTensor.of("w", "F8_E5M2", np.ones(2, np.uint8))])
    with pytest.raises(sf.UnsupportedTypeError, match="'w' is F8_E5M2, which numpy does not have"):
        sf.load_packed(tmp_path / "m")


def test_files_of_another_kind(tmp_path: Path) -> None:
    sf.magnitude({"w": np.float32([1, 2])}, keep=1).save(tmp_path / "m")
    with pytest.raises(sf.PackedFileError, match="is not a file of a packed model"):
        sf.load_packed(tmp_path / "m")
    with pytest.raises(sf.MaskFileError):
        sf.save_packed({}, tmp_path / "p")
        sf.load(tmp_path / "p")
    with pytest.raises(FileNotFoundError):
        sf.load_packed(tmp_path / "none")
