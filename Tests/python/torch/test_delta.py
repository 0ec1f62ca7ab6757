"""Files of trained weights: with the model that fine-tuning began with they are the tuned model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402
from torch_models import bits, mlp, random_masks  # noqa: E402
from torch_optimizers import OPTIMIZERS  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def state(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    return {
        name: (one.dtype, tuple(one.shape), bits(one)) for name, one in model.state_dict().items()
    }


def tuned(base: nn.Module, masks: Any = None, **options: Any) -> nn.Module:
    """A fine-tuned copy of a model: noise in place of training, and a step of statistics."""
    model = copy.deepcopy(base)
    sft.finetune(model, random_masks(model) if masks is None else masks, **options)
    optimizer = OPTIMIZERS["always moves"](model.parameters())
    for number, one in enumerate(model.parameters()):
        one.grad = torch.randn(one.shape, generator=torch.Generator().manual_seed(number)).to(one)
    optimizer.step()
    for buffer in model.buffers():
        buffer.add_(1)
    assert state(model) != state(base)
    return model


def frozen_masks(model: nn.Module, sparsity: float) -> dict[str, torch.Tensor]:
    return {
        name: torch.rand(one.shape, generator=torch.Generator().manual_seed(1)) > sparsity
        for name, one in model.named_parameters()
        if one.dim() > 1
    }


@pytest.mark.parametrize("others", ["frozen", "trained"])
@pytest.mark.parametrize("make", [mlp, torch_models.transformer, torch_models.resnet18])
def test_the_tuned_model_comes_back_to_the_bit(
    make: Callable[[], nn.Module], others: str, tmp_path: Path
) -> None:
    base = make()
    model = tuned(base, others=others)
    sft.save_delta(model, tmp_path / "d")
    sft.load_delta(tmp_path / "d", base)
    assert state(base) == state(model)
    sft.load_delta(tmp_path / "d", base)  # And once more changes nothing.
    assert state(base) == state(model)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64]
)
def test_all_types_of_weights(dtype: torch.dtype, tmp_path: Path) -> None:
    base = mlp()
    base[0].weight = nn.Parameter(base[0].weight.detach().to(dtype))
    with torch.no_grad():
        base[0].weight[0] = torch.tensor([float("nan"), -0.0, 1e-40, 0.0, float("inf"), 1.0])
    model = tuned(base, {"0.weight": torch.arange(48).view(8, 6) % 3 == 0})
    sft.save_delta(model, tmp_path / "d")
    sft.load_delta(tmp_path / "d", base)
    assert state(base) == state(model)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.999])
def test_weights_that_are_not_in_a_row(sparsity: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
    masks = {"weight": torch.rand(8, 3, 3, 3) >= sparsity}
    masks["weight"][0, 0, 0, 0] = True
    model = tuned(base, masks)
    sft.save_delta(model, tmp_path / "d")
    sft.load_delta(tmp_path / "d", base)
    assert state(base) == state(model)


def test_a_later_file_of_the_same_masks_replaces_an_earlier_one(tmp_path: Path) -> None:
    base = mlp()
    model = tuned(base)
    sft.save_delta(model, tmp_path / "first")
    OPTIMIZERS["always moves"](model.parameters()).step()
    sft.save_delta(model, tmp_path / "second")
    for name in ("first", "second"):
        sft.load_delta(tmp_path / name, base)
    assert state(base) == state(model)


def test_loading_into_a_model_that_is_fine_tuned_goes_on(tmp_path: Path) -> None:
    base, masks = mlp(), random_masks(mlp())
    sft.save_delta(tuned(base, masks), tmp_path / "d")
    sft.finetune(base, masks)
    sft.load_delta(tmp_path / "d", base)
    before = state(base)
    OPTIMIZERS["always moves"](base.parameters()).step()
    for name, mask in masks.items():
        frozen = np.frombuffer(before[name][2], np.int32).reshape(mask.shape)[~mask.numpy()]
        assert base.get_parameter(name).detach().numpy().view(np.int32)[~mask].tobytes() == (
            frozen.tobytes()
        )


def test_what_was_unfrozen_by_hand_is_stored_whole(tmp_path: Path) -> None:
    base = mlp()
    base.requires_grad_(False)
    model = copy.deepcopy(base)
    model[0].requires_grad_(True)
    sft.finetune(model, {"0.weight": torch.eye(8, 6) > 0})
    model[2].requires_grad_(True)
    with torch.no_grad():
        model[2].weight += 1
        model[0].weight += torch.eye(8, 6)
    sft.save_delta(model, tmp_path / "d")
    sft.load_delta(tmp_path / "d", base)
    assert state(base) == state(model)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(40, 40, bias=False)
        self.second = nn.Linear(40, 40, bias=False)
        self.second.weight = self.first.weight


@pytest.mark.parametrize("name", ["first.weight", "second.weight"])
def test_tied_weights_are_stored_once(name: str, tmp_path: Path) -> None:
    model = tuned(Tied(), {name: torch.rand(40, 40) > 0.9})
    sft.save_delta(model, tmp_path / "d")
    assert (tmp_path / "d").stat().st_size < 2500
    base = Tied()
    sft.load_delta(tmp_path / "d", base)
    assert state(base) == state(model)
    apart = copy.deepcopy(Tied())
    apart.second.weight = nn.Parameter(apart.first.weight.detach().clone())
    sft.load_delta(tmp_path / "d", apart)
    assert state(apart) == state(model)


def test_weights_that_were_trained_apart_do_not_fit_in_one(tmp_path: Path) -> None:
    base = Tied()
    base.second.weight = nn.Parameter(base.first.weight.detach().clone())
    model = tuned(base, {"first.weight": torch.eye(40) > 0, "second.weight": torch.eye(40) > 0})
    sft.save_delta(model, tmp_path / "d")
    before = state(Tied())
    other = Tied()
    with pytest.raises(sf.WeightsDifferError, match="are one tensor in the model, and two in"):
        sft.load_delta(tmp_path / "d", other)
    assert state(other) == before


@pytest.mark.parametrize(
    "wrap",
    [lambda model: torch.compile(model, backend="eager"), nn.DataParallel],
    ids=["compiled", "DataParallel"],
)
def test_wrapped_models(wrap: Callable[[nn.Module], nn.Module], tmp_path: Path) -> None:
    base = mlp()
    model = tuned(base)
    sft.save_delta(wrap(model), tmp_path / "d")
    sft.load_delta(tmp_path / "d", wrap(base))
    assert state(base) == state(model)


@pytest.mark.parametrize(("sparsity", "most"), [(0.99, 0.025), (0.999, 0.004)])
def test_files_are_small(sparsity: float, most: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.Linear(100, 10))
    save_file(base.state_dict(), tmp_path / "dense")
    sft.save_delta(tuned(base, frozen_masks(base, sparsity)), tmp_path / "d")
    assert (tmp_path / "d").stat().st_size < most * (tmp_path / "dense").stat().st_size


# ------------------------------------------------------------------------- refused


def flipped(model: nn.Module) -> None:
    mask = random_masks(model)["2.weight"]
    place = tuple((~mask).nonzero()[0])
    with torch.no_grad():
        model[2].weight[place] = torch.nextafter(model[2].weight[place], torch.tensor(9.0))


def other_bias(model: nn.Module) -> None:
    with torch.no_grad():
        model[0].bias[3] = -model[0].bias[3]


def in_bfloat16(model: nn.Module) -> None:
    model.bfloat16()


def larger(model: nn.Module) -> None:
    model[0] = nn.Linear(6, 9)


def with_a_layer_more(model: nn.Module) -> None:
    model.append(nn.Linear(4, 4))


def with_a_layer_less(model: nn.Module) -> None:
    del model[2]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (flipped, r"frozen weights of '2\.weight' differ"),
        (other_bias, r"frozen weights of '0\.bias' differ"),
        (in_bfloat16, r"'0\.weight' is BF16 of shape \(8, 6\) in the model, and F32 of shape"),
        (larger, r"'0\.weight' is F32 of shape \(9, 6\)"),
        (with_a_layer_more, r"the model has '3\.bias', which .*d does not have"),
        (with_a_layer_less, r"d has '2\.bias', which the model does not have"),
    ],
)
def test_another_model_is_refused_and_stays(
    change: Callable[[nn.Module], None], match: str, tmp_path: Path
) -> None:
    base = mlp()
    sft.save_delta(tuned(base), tmp_path / "d")
    change(base)
    before = state(base)
    with pytest.raises(sf.WeightsDifferError, match=match):
        sft.load_delta(tmp_path / "d", base)
    assert state(base) == before


def test_a_model_whose_masks_remove_what_was_trained_is_refused(tmp_path: Path) -> None:
    base, masks = mlp(), random_masks(mlp())
    with torch.no_grad():
        for name, mask in masks.items():
            base.get_parameter(name)[mask] = 0
    sft.save_delta(tuned(base), tmp_path / "d")
    sft.apply(base, {name: ~mask for name, mask in masks.items()})
    before = state(base)
    with pytest.raises(sf.StructureError, match="has a mask that removes weights which"):
        sft.load_delta(tmp_path / "d", base)
    assert state(base) == before
    sft.remove(base)
    sft.load_delta(tmp_path / "d", base)


@pytest.mark.parametrize("prepare", [lambda m: None, lambda m: sft.apply(m, random_masks(m))])
def test_a_model_that_is_not_fine_tuned_has_no_trained_weights(
    prepare: Callable[[nn.Module], Any], tmp_path: Path
) -> None:
    model = mlp()
    prepare(model)
    with pytest.raises(sf.StructureError, match=r"no weight of Sequential is frozen: call"):
        sft.save_delta(model, tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_files_of_another_kind(tmp_path: Path) -> None:
    base = mlp()
    sft.save_packed(base, tmp_path / "packed")
    with pytest.raises(sf.DeltaFileError, match="is not a file of trained weights"):
        sft.load_delta(tmp_path / "packed", base)
    sft.save_delta(tuned(base), tmp_path / "d")
    with pytest.raises(sf.PackedFileError, match="is not a file of a packed model"):
        sft.load_packed(tmp_path / "d")


def test_damaged_files(tmp_path: Path) -> None:
    base = mlp()
    sft.save_delta(tuned(base), tmp_path / "d")
    content = (tmp_path / "d").read_bytes()
    before = state(base)
    for place in range(9, len(content), 41):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(sf.DeltaFileError):
            sft.load_delta(tmp_path / "damaged", base)
    assert state(base) == before
