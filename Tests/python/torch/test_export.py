"""Exported models compute what the masked model does, and hold what it keeps."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from torch import nn  # noqa: E402
from torch_models import NETWORKS, bits, mlp, random_masks  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def masked(make: Callable[[], nn.Module] = mlp) -> nn.Module:
    """A model in training mode whose statistics are not those of a new one."""
    model = make()
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.add_(0.5)
    return sft.apply(model, random_masks(model))


def contents(model: nn.Module) -> Any:
    return (
        [(name, bits(one)) for name, one in model.state_dict().items()],
        [module.training for module in model.modules()],
    )


def outputs(model: nn.Module, *args: Any, **named: Any) -> torch.Tensor:
    with torch.no_grad():
        return copy.deepcopy(model).eval()(*args, **named)


# ------------------------------------------------------------------------- torch.export


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.slow
def test_a_program_of_torch_computes_the_same_for_any_batch(name: str, tmp_path: Path) -> None:
    make, shape = NETWORKS[name]
    model = masked(make)
    before = contents(model)
    sft.export(model, tmp_path / "m.pt2", (2, *shape))
    assert contents(model) == before
    program = torch.export.load(tmp_path / "m.pt2")
    for batch in (1, 2, 5):
        x = torch.randn(batch, *shape)
        torch.testing.assert_close(program.module()(x), outputs(model, x))
    for key, value in model.state_dict().items():
        assert bits(program.state_dict[key]) == bits(value)


class Keywords(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor, scale: torch.Tensor, twice: bool = False) -> Any:
        y = self.layer(x) * scale
        return {"y": y, "z": 2 * y if twice else y}


@pytest.mark.parametrize(
    "example",
    [
        {"x": torch.ones(3, 6), "scale": torch.tensor(2.0), "twice": True},
        (torch.ones(3, 6), torch.tensor(2.0), True),
        [torch.ones(3, 6), torch.tensor(2.0), True],
    ],
)
def test_inputs_are_what_the_model_takes(example: Any, tmp_path: Path) -> None:
    model = masked(Keywords)
    sft.export(model, tmp_path / "m.pt2", example)
    module = torch.export.load(tmp_path / "m.pt2").module()
    args, named = ((), example) if isinstance(example, dict) else (tuple(example), {})
    torch.testing.assert_close(module(*args, **named), outputs(model, *args, **named))


@pytest.mark.parametrize(
    "wrap",
    [lambda model: torch.compile(model, backend="eager"), nn.DataParallel],
    ids=["compiled", "DataParallel"],
)
def test_wrapped_models(wrap: Callable[[nn.Module], nn.Module], tmp_path: Path) -> None:
    model = masked()
    sft.export(wrap(model), tmp_path / "m.pt2", torch.ones(2, 6))
    module = torch.export.load(tmp_path / "m.pt2").module()
    assert torch.equal(module(torch.ones(2, 6)), model(torch.ones(2, 6)))


# ------------------------------------------------------------------------- ONNX


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.slow
def test_an_onnx_file_computes_the_same_for_any_batch(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    make, shape = NETWORKS[name]
    model = masked(make)
    before = contents(model)
    sft.export(model, tmp_path / "m.onnx", (2, *shape))
    assert contents(model) == before
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    for batch in (1, 2, 5):
        x = torch.randn(batch, *shape)
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        np.testing.assert_allclose(found, outputs(model, x).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_an_onnx_file_has_the_weights_and_their_zeros(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    model = masked(torch_models.lenet5)
    sft.export(model, tmp_path / "m.onnx", (2, 1, 16, 16))
    graph = onnx.load(tmp_path / "m.onnx").graph
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(stored[name], value.numpy())


def test_onnx_needs_its_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'swiftforce\[export\]'"):
        sft.export(masked(), tmp_path / "m.onnx", (2, 6))


class Sorts(nn.Module):
    """With an operation that ONNX does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.lu_factor(self.layer(x).T @ self.layer(x)).LU


@pytest.mark.slow
def test_an_operation_that_onnx_does_not_have(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    (tmp_path / "m.onnx").write_text("old")
    with pytest.raises(sf.UnsupportedTypeError, match="the model has no ONNX form"):
        sft.export(masked(Sorts), tmp_path / "m.onnx", (8, 6))
    assert (tmp_path / "m.onnx").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


# ------------------------------------------------------------------------- rows


@pytest.mark.parametrize("make", [mlp, torch_models.lenet5, torch_models.resnet18])
def test_rows_in_a_file_are_the_kept_weights(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    model = masked(make)
    sft.export(model, tmp_path / "m.npz")
    arrays = np.load(tmp_path / "m.npz")
    masks, state = sft.masks(model), model.state_dict()
    parts = ("data", "indices", "indptr", "shape")
    assert set(arrays) == {
        *(f"{name}.{part}" for name in masks for part in parts),
        *(state.keys() - masks.keys()),
    }
    for name, value in state.items():
        if name not in masks:
            assert arrays[name].tobytes() == value.numpy().tobytes()
            continue
        data, indices, indptr, shape = (arrays[f"{name}.{part}"] for part in parts)
        assert tuple(shape) == value.shape
        flat = value.reshape(len(value), -1)
        found = sparse.csr_matrix((data, indices, indptr), flat.shape)
        assert found.toarray().tobytes() == flat.numpy().tobytes()
        assert found.nnz == int(masks[name].sum())


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight


@pytest.mark.parametrize("name", ["first.weight", "second.weight"])
def test_a_tied_weight_is_stored_by_its_first_name(name: str, tmp_path: Path) -> None:
    model = sft.apply(Tied(), {name: torch.eye(4) > 0})
    sft.export(model, tmp_path / "m.npz")
    arrays = np.load(tmp_path / "m.npz")
    assert {key.rpartition(".")[0] for key in arrays} == {"first.weight"}
    np.testing.assert_array_equal(arrays["first.weight.indices"], range(4))


@pytest.mark.parametrize("make", [mlp, torch_models.lenet5, torch_models.transformer])
def test_sparse_tensors_of_torch_are_the_weights(make: Callable[[], nn.Module]) -> None:
    model = masked(make)
    found = sft.to_csr(model)
    masks = sft.masks(model)
    assert list(found) == list(masks)
    for name, one in found.items():
        weight = model.get_parameter(name).detach()
        flat = weight.reshape(len(weight), -1)
        assert one.layout == torch.sparse_csr
        assert not one.requires_grad
        assert bits(one.to_dense()) == bits(flat)
        assert one.values().numel() == int(masks[name].sum())


def test_sparse_tensors_are_copies_and_keep_zeros() -> None:
    model = sft.apply(nn.Linear(4, 2), {"weight": torch.eye(2, 4) > 0})
    with torch.no_grad():
        model.weight[0, 0] = 0
    found = sft.to_csr(model)["weight"]
    found.values()[1] = 7
    assert found.values()[0] == 0
    assert model.weight[1, 1] != 7


def test_a_vector_is_one_row() -> None:
    model = sft.apply(nn.Linear(4, 3), {"bias": torch.tensor([True, False, True])})
    assert sft.to_csr(model)["bias"].shape == (1, 3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_sparse_tensors_have_the_type_of_the_weights(dtype: torch.dtype) -> None:
    model = masked().to(dtype)
    found = sft.to_csr(model)["0.weight"]
    assert found.dtype == dtype
    assert bits(found.to_dense()) == bits(model[0].weight.detach())


# ------------------------------------------------------------------------- refused


def frozen() -> nn.Module:
    model = mlp()
    return sft.finetune(model, random_masks(model))


@pytest.mark.parametrize(
    ("make", "name", "example", "error", "match"),
    [
        (masked, "m", None, sf.UnknownNameError, "'m' does not say the format"),
        (masked, "m.bin", None, sf.UnknownNameError, r"end in \.onnx, \.pt2 or \.npz"),
        (masked, "m.pt2", None, sf.StructureError, r"\.pt2 files need example_input"),
        (masked, "m.pt2", (2.5, 1), sf.StructureError, "example_input has no tensor"),
        (masked, "m.pt2", (), sf.StructureError, "example_input has no tensor"),
        (masked, "m.pt2", torch.ones(2, 7), sf.StructureError, "cannot trace Sequential"),
        (mlp, "m.npz", None, sf.StructureError, "Sequential has no masks"),
        (frozen, "m.npz", None, sf.StructureError, "Sequential has no masks"),
        (lambda: masked().bfloat16(), "m.npz", None, sf.UnsupportedTypeError, "npz files do not"),
        (lambda: "model", "m.npz", None, sf.UnsupportedTypeError, "model"),
        (masked, "no/m.npz", None, OSError, "no folder"),
    ],
)
def test_what_is_refused_leaves_files_and_the_model(
    make: Any, name: str, example: Any, error: type[Exception], match: str, tmp_path: Path
) -> None:
    model = make()
    before = contents(model) if isinstance(model, nn.Module) else None
    with pytest.raises(error, match=match):
        sft.export(model, tmp_path / name, example)
    assert before is None or contents(model) == before
    assert not list(tmp_path.iterdir())


def test_weights_without_values() -> None:
    with torch.device("meta"):
        model = mlp()
    sft.apply(model, random_masks(mlp()))
    with pytest.raises(sf.StructureError, match=r"'0\.weight' is on the meta device"):
        sft.to_csr(model)
