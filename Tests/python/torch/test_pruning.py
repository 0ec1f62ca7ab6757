"""The result of a search as masks of a model, written to a file and read from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from oracle import assert_same_masks  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import arrays, assert_same, batches, mlp  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def is_clean(model: nn.Module, masks: torch_models.Masks) -> bool:
    """Whether all removed weights are zero, to the bit."""
    parameters = dict(model.named_parameters())
    return not any(any(torch_models.bits(parameters[name][~mask])) for name, mask in masks.items())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pytest.importorskip("safetensors")
    return tmp_path / "masks.safetensors"


def test_a_result_is_saved_loaded_and_applied(path: Path) -> None:
    options = {"loss": cross_entropy, "sparsity": 0.9, "steps": 4}
    data = batches((1, 16, 16))
    found = sft.prune(torch_models.lenet5(), data, **options)
    found.save(path)
    loaded = sf.load(path)
    assert_same_masks(loaded.masks, arrays(found.masks))
    assert loaded.layers == found.layers
    assert loaded.history == found.history
    assert (loaded.method, loaded.schedule, loaded.seed) == ("force", "exponential", 0)
    model = torch_models.lenet5()
    sft.apply(model, loaded)
    assert_same(sft.masks(model), found.masks)
    assert is_clean(model, found.masks)


@pytest.mark.parametrize("method", ["grasp", "synflow"])
def test_a_result_of_this_adapters_own_methods_is_saved_and_loaded(path: Path, method: str) -> None:
    options = {"steps": 3} if method == "synflow" else {}
    found = sft.prune(mlp(), batches(), loss=cross_entropy, method=method, sparsity=0.5, **options)
    found.save(path)
    assert sf.load(path).method == method
    assert_same_masks(sf.load(path).masks, arrays(found.masks))


def test_masks_of_channels_last_are_saved_and_loaded(path: Path) -> None:
    model = torch_models.lenet5().to(memory_format=torch.channels_last)
    found = sft.prune(model, method="magnitude", sparsity=0.9)
    found.save(path)
    assert_same_masks(sf.load(path).masks, arrays(found.masks))
    sft.apply(model, sf.load(path))
    assert_same(sft.masks(model), found.masks)


def test_a_result_prints_its_layers() -> None:
    found = sft.prune(mlp(), method="magnitude", sparsity=0.5)
    assert "0.weight" in str(found)
    assert "(8, 6)" in str(found)
    assert repr(found) == "<Pruning magnitude: 40 of 80 weights kept>"


# ------------------------------------------------------------------------------ load


def saved(path: Path, **options: Any) -> sft.ModelPruning:
    found = sft.prune(mlp(), batches(), cross_entropy, **{"keep": 20, "steps": 3, **options})
    found.save(path)
    return found


def test_load_returns_what_was_saved_as_masks_of_a_model(path: Path) -> None:
    found, model = saved(path), mlp()
    before = [torch_models.bits(one) for one in model.parameters()]
    loaded = sft.load(path, model)
    assert type(loaded) is sft.ModelPruning
    assert_same(loaded.masks, found.masks)
    assert {mask.dtype for mask in loaded.masks.values()} == {torch.bool}
    assert (loaded.layers, loaded.history) == (found.layers, found.history)
    assert (loaded.method, loaded.schedule, loaded.seed) == ("force", "exponential", 0)
    assert [torch_models.bits(one) for one in model.parameters()] == before
    assert sft.apply(model, loaded) is model
    assert_same(sft.masks(model), found.masks)
    loaded.save(path)
    assert_same(sft.load(path, mlp()).masks, found.masks)


def test_load_puts_masks_where_the_parameters_are(path: Path) -> None:
    found = saved(path)
    assert sft.load(path, mlp().to("meta")).masks["0.weight"].device.type == "meta"
    model = mlp()
    model[0].weight = nn.Parameter(model[0].weight.detach().T.contiguous().T)
    mask = sft.load(path, model).masks["0.weight"]
    assert mask.stride() == model[0].weight.stride()
    assert torch.equal(mask, found.masks["0.weight"])


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="eager")])
def test_load_takes_a_wrapped_model(path: Path, wrap: Any) -> None:
    found = saved(path)
    assert_same(sft.load(path, wrap(mlp())).masks, found.masks)


def test_load_takes_a_model_with_masks(path: Path) -> None:
    found, model = saved(path), mlp()
    sft.apply(model, torch_models.random_masks(model))
    assert_same(sft.load(path, model).masks, found.masks)


def test_load_refuses_another_model(path: Path) -> None:
    saved(path)
    with pytest.raises(sf.WeightsDifferError, match=r"other weights: Linear has no .*'0\.weight'"):
        sft.load(path, nn.Linear(6, 8))
    with pytest.raises(sf.WeightsDifferError, match=r"shape \(9, 6\), not \(8, 6\)"):
        sft.load(path, mlp(hidden=9))


def test_load_takes_masks_of_numpy_by_the_names_of_parameters(path: Path) -> None:
    model = mlp()
    weights = {name: one.detach().numpy() for name, one in sft.prunable(model).items()}
    found = sf.magnitude(weights, keep=9)
    found.save(path)
    assert_same_masks(arrays(sft.load(path, model).masks), found.masks)
    sf.magnitude(list(weights.values()), keep=9).save(path)
    with pytest.raises(sf.WeightsDifferError, match="no parameter '0'"):
        sft.load(path, model)
    lone = nn.ParameterList([model[0].weight])
    sf.magnitude([weights["0.weight"]], keep=9).save(path)
    assert int(sft.load(path, lone).masks["0"].sum()) == 9


def test_load_refuses_what_is_not_a_file_of_masks(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sft.load(path, mlp())
    path.write_bytes(b"masks")
    with pytest.raises(sf.MaskFileError):
        sft.load(path, mlp())
