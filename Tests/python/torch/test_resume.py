"""Saved runs that are resumed: masks are saved, loaded and copied with the model."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.optim import Optimizer  # noqa: E402
from torch_models import Masks, assert_same, batches, bits, mlp, random_masks  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def sgd(model: nn.Module) -> Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)


def adam(model: nn.Module) -> Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.01, amsgrad=True)


def train(model: nn.Module, optimizer: Optimizer, turns: range) -> None:
    data = batches(sizes=(6,) * 4)
    for turn in turns:
        optimizer.zero_grad()
        x, y = data[turn % 4]
        cross_entropy(model(x), y).backward()
        optimizer.step()


def through_a_file(value: Any, *, weights_only: bool = True) -> Any:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=weights_only)


def clean(model: nn.Module, masks: Masks) -> bool:
    parameters = dict(model.named_parameters())
    return not any(any(bits(parameters[name][~mask])) for name, mask in masks.items())


@pytest.mark.parametrize("make", [sgd, adam])
def test_a_run_that_was_saved_resumes_to_the_bit(make: Any) -> None:
    whole, masks = mlp(), random_masks(mlp())
    optimizer = make(whole)
    sft.apply(whole, masks, optimizer)
    train(whole, optimizer, range(5))
    saved = through_a_file({"model": whole.state_dict(), "optimizer": optimizer.state_dict()})
    train(whole, optimizer, range(5, 11))

    model = mlp(seed=77)
    optimizer = make(model)
    sft.apply(model, sft.masks_of_zeros(saved["model"]), optimizer)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    assert clean(model, masks)
    train(model, optimizer, range(5, 11))
    assert [bits(one) for one in model.parameters()] == [bits(one) for one in whole.parameters()]
    assert_same(sft.masks(model), masks)


@pytest.mark.parametrize("first", ["model", "optimizer"])
def test_states_from_before_the_masks_are_cleaned_as_they_are_loaded(first: str) -> None:
    dense, masks = mlp(), random_masks(mlp())
    optimizer = sgd(dense)
    train(dense, optimizer, range(4))
    saved = through_a_file({"model": dense.state_dict(), "optimizer": optimizer.state_dict()})
    model = mlp()
    optimizer = sgd(model)
    sft.apply(model, masks, optimizer)
    for what in ("model", "optimizer") if first == "model" else ("optimizer", "model"):
        if what == "model":
            with pytest.warns(sf.RemovedWeightsWarning):
                model.load_state_dict(saved["model"])
        else:
            optimizer.load_state_dict(saved["optimizer"])
    assert clean(model, masks)
    momentum = optimizer.state[model[0].weight]["momentum_buffer"]
    assert not momentum[~masks["0.weight"]].any()
    assert momentum.any()
    train(model, optimizer, range(4))
    assert clean(model, masks)


def test_a_state_that_is_assigned_keeps_its_masks() -> None:
    model, masks = mlp(), random_masks(mlp())
    sft.apply(model, masks)
    model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)
    train(model, sgd(model), range(5))
    assert clean(model, masks)


# ------------------------------------------------------------------------------ whole models


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: through_a_file(model, weights_only=False)],
    ids=["deepcopy", "torch.save"],
)
def test_a_copied_model_has_the_masks_and_can_apply_them(copied: Any) -> None:
    model, masks = mlp(), random_masks(mlp())
    sft.apply(model, masks)
    other = copied(model)
    assert_same(sft.masks(other), masks)
    optimizer = sgd(other)
    sft.apply(other, sft.masks(other), optimizer)
    train(other, optimizer, range(5))
    assert clean(other, masks)
    sft.remove(other)
    assert_same(sft.masks(model), masks)  # The first model is not affected.
    optimizer = sgd(model)
    train(model, optimizer, range(5))
    assert clean(model, masks)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: through_a_file(m, weights_only=False)])
def test_a_copied_model_keeps_its_removed_weights_at_zero(copied: Any) -> None:
    model, masks = mlp(), random_masks(mlp())
    sft.apply(model, masks)
    other = copied(model)
    train(other, sgd(other), range(3))
    assert clean(other, masks)


# ------------------------------------------------------------------------------ searches


def searched(checkpoint: Path | None, **changes: Any) -> sft.ModelPruning:
    options = {"loss": cross_entropy, "method": "force", "sparsity": 0.5, "steps": 6}
    return sft.prune(mlp(), batches(), checkpoint=checkpoint, **options | changes)


@pytest.mark.parametrize("method", ["force", "iterative_snip", "synflow"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.slow
def test_a_search_that_was_stopped_resumes_to_the_bit(
    method: str, count: int, tmp_path: Path
) -> None:
    options = {"method": method, "batches_per_step": count}
    steps = 0

    class StopError(Exception):
        pass

    def bar(items: Any, **_: Any) -> Any:
        nonlocal steps
        for item in items:
            if steps == 3:
                raise StopError
            steps += 1
            yield item

    from swiftforce.torch import core_search as module

    path = tmp_path / "search.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "bar", bar)
        with pytest.raises(StopError):
            searched(path, **options)
    found, whole = searched(path, **options), searched(None, **options)
    assert_same(found.masks, whole.masks)
    assert found.history == whole.history
    assert_same(searched(path, **options).masks, whole.masks)  # A finished search is read.


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"method": "force"}, "it says 'iterative_snip' where this one says 'force'"),
        ({"method": "synflow"}, "it says 'iterative_snip, train mode.* says 'synflow, "),
        ({"seed": 2}, r"it says 'seed \d' where this one says 'seed 2'"),
        ({"sparsity": 0.6}, ""),
        ({"batches_per_step": 2}, "it says '1 batches per step' where this one says '2 batches"),
        ({"mode": "eval"}, "it says 'train mode' where this one says 'eval mode'"),
    ],
)
def test_a_checkpoint_of_another_search_is_refused(changes: Any, text: str, tmp_path: Path) -> None:
    path = tmp_path / "search.safetensors"
    searched(path, method="iterative_snip")
    with pytest.raises(sf.SearchFileError, match=f"another search: .*{text}"):
        searched(path, **{"method": "iterative_snip"} | changes)


def test_grasp_has_no_steps_to_save(tmp_path: Path) -> None:
    with pytest.raises(sf.StructureError, match="checkpoint"):
        searched(tmp_path / "search.safetensors", method="grasp", steps=None)
