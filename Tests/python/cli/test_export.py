"""The command ``export``: sparse tensors in rows, the others as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf

pytest.importorskip("safetensors")

from safetensors.numpy import save_file
from swiftforce import cli


@pytest.fixture
def model(tmp_path: Path) -> dict[str, np.ndarray]:
    """A checkpoint and the file of its masks."""
    random = np.random.default_rng(0)
    tensors = {
        "conv.weight": random.normal(size=(8, 4, 3, 3)).astype(np.float32),
        "fc.weight": random.normal(size=(10, 60)).astype(np.float32),
        "fc.bias": np.zeros(10, np.float32),
        "steps": np.array(3),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    weights = {name: tensors[name] for name in ("conv.weight", "fc.weight")}
    sf.magnitude(weights, sparsity=0.9).save(tmp_path / "masks.safetensors")
    return tensors


def run(folder: Path, *options: str, output: str = "m.npz", status: int = 0) -> Path:
    paths = ["--weights", str(folder / "model.safetensors"), "--output", str(folder / output)]
    assert cli.main(["export", *paths, *options]) == status
    return folder / output


def dense(arrays: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    sparse = pytest.importorskip("scipy.sparse")
    shape = arrays[f"{name}.shape"]
    parts = tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_matrix(parts, (shape[0], int(np.prod(shape[1:])))).toarray().reshape(shape)


def test_masks_choose_what_is_in_rows(
    model: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run(tmp_path, "--masks", str(tmp_path / "masks.safetensors"))
    arrays = np.load(path)
    masks = sf.load(tmp_path / "masks.safetensors").masks
    for name, mask in masks.items():
        np.testing.assert_array_equal(dense(arrays, name), np.where(mask, model[name], 0))
    for name in ("fc.bias", "steps"):
        np.testing.assert_array_equal(arrays[name], model[name])
    assert len(arrays) == 2 * 4 + 2
    printed = capsys.readouterr().out
    assert printed.startswith("2 of 4 tensors in compressed rows; ")
    assert printed.endswith(f"exported: {path}\n")


def test_without_masks_what_is_smaller_in_rows_is(
    model: dict[str, np.ndarray], tmp_path: Path
) -> None:
    model["fc.weight"] *= np.arange(60) % 10 == 0
    model["conv.weight"] *= np.arange(3) > 0  # Two thirds are left: rows would be larger.
    save_file(model, tmp_path / "model.safetensors")
    arrays = np.load(run(tmp_path))
    np.testing.assert_array_equal(dense(arrays, "fc.weight"), model["fc.weight"])
    for name in ("conv.weight", "fc.bias", "steps"):
        np.testing.assert_array_equal(arrays[name], model[name])


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("m.safetensors", "name it .npz"),
        ("m.onnx", "swiftforce.torch.export in Python, which has the model"),
        ("m.pt2", "swiftforce.torch.export in Python, which has the model"),
        ("no/m.npz", "there is no folder"),
    ],
)
def test_outputs_that_are_refused(
    output: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    run(tmp_path, output=output, status=1)
    assert text in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_is_the_input(
    model: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "model.npz", **model)
    path = str(tmp_path / "model.npz")
    assert cli.main(["export", "--weights", path, "--output", path]) == 1
    assert "is an input" in capsys.readouterr().err
    assert set(np.load(path)) == set(model)


def test_masks_of_another_model(
    model: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model["fc.weight"] = np.ones((3, 4), np.float32)
    save_file(model, tmp_path / "model.safetensors")
    run(tmp_path, "--masks", str(tmp_path / "masks.safetensors"), status=1)
    assert "fc.weight" in capsys.readouterr().err
    assert not (tmp_path / "m.npz").exists()


def test_types_that_numpy_does_not_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    save_file({"w": np.eye(9).astype(ml_dtypes.bfloat16)}, tmp_path / "model.safetensors")
    run(tmp_path, status=1)
    assert "'w' is BF16, which npz files do not have" in capsys.readouterr().err
    assert not (tmp_path / "m.npz").exists()


def test_private_files_stay_private(model: dict[str, np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").chmod(0o600)
    assert run(tmp_path).stat().st_mode & 0o077 == 0
