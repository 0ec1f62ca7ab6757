"""Saved states: of models with masks, of earlier versions, of torch's pruning, and dense ones."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.nn.utils import prune as torch_prune  # noqa: E402
from torch_models import Masks, assert_same, batches, bits, mlp, random_masks  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def clean(model: nn.Module, masks: Masks) -> bool:
    return all(
        not model.get_parameter(name)[~mask].any() and model.get_parameter(name)[mask].any()
        for name, mask in masks.items()
    )


def train(model: nn.Module) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for x, y in batches():
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()


def sparse_state(seed: int = 3) -> tuple[OrderedDict[str, Any], Masks]:
    model = mlp(seed=seed)
    masks = random_masks(model, seed)
    return sft.apply(model, masks).state_dict(), masks


def earlier(seed: int = 3) -> tuple[OrderedDict[str, Any], Masks]:
    """A state as versions saved it in which masks were buffers."""
    state, masks = sparse_state(seed)
    for name, mask in masks.items():
        state[f"{name}_mask"] = mask
    return state, masks


def of_torch_prune() -> tuple[OrderedDict[str, Any], Masks]:
    model, masks = mlp(), random_masks(mlp())
    for index in (0, 2):
        torch_prune.custom_from_mask(model[index], "weight", masks[f"{index}.weight"])
    return model.state_dict(), masks


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(one) == list(other)
    assert [bits(value) for value in one.values()] == [bits(value) for value in other.values()]


# ------------------------------------------------------------------------------ loaded into masks


def test_a_state_of_the_same_masks_loads_without_a_word() -> None:
    state, masks = sparse_state()
    model = sft.apply(mlp(), masks)
    model.load_state_dict(state)
    assert_equal(model.state_dict(), state)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("part", ["whole", "wrapped", "part"])
def test_a_dense_state_is_cleared_and_a_warning_counts_what_was_lost(
    part: str, assign: bool
) -> None:
    model, dense = mlp(), mlp(seed=5)
    masks = random_masks(model)
    sft.apply(model, masks)
    lost = {name: int((~mask).sum()) for name, mask in masks.items()}
    target, state, first = model, dense.state_dict(), lost["0.weight"]
    count = sum(lost.values())
    if part == "wrapped":
        target = nn.DataParallel(model)
        state = {f"module.{name}": value for name, value in state.items()}
    if part == "part":
        target, state, count = model[0], dense[0].state_dict(), first
    before = copy.deepcopy(state)
    match = rf"{count} values other than zero .*weight: {first} of {first}\)"
    with pytest.warns(sf.RemovedWeightsWarning, match=match) as caught:
        target.load_state_dict(state, assign=assign)
    assert len(caught) == 1  # For all layers together.
    assert caught[0].filename == __file__
    assert_equal(state, before)  # The caller's is not changed.
    kept = masks["0.weight"]
    assert bits(model[0].weight[kept]) == bits(dense[0].weight[kept])
    train(model)
    assert clean(model, masks)


def test_under_warnings_as_errors_a_dense_state_is_not_loaded() -> None:
    model = mlp()
    sft.apply(model, random_masks(model))
    before = copy.deepcopy(model.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(sf.RemovedWeightsWarning):
            model.load_state_dict(mlp(seed=5).state_dict())
    assert_equal(model.state_dict(), before)


def test_without_masks_a_dense_state_loads_as_ever() -> None:
    model = mlp()
    sft.remove(sft.apply(model, random_masks(model)))
    model.load_state_dict(mlp(seed=5).state_dict())
    assert_equal(model.state_dict(), mlp(seed=5).state_dict())


# ------------------------------------------------------------------------------ earlier versions


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("wrap", [False, True])
def test_a_state_of_an_earlier_version_loads_and_brings_its_masks(
    assign: bool, same: bool, wrap: bool
) -> None:
    state, masks = earlier()
    model = mlp()
    sft.apply(model, masks if same else random_masks(model, seed=9))
    target: nn.Module = nn.DataParallel(model) if wrap else model
    if wrap:
        state = OrderedDict((f"module.{name}", value) for name, value in state.items())
    target.load_state_dict(state, assign=assign)
    assert_same(sft.masks(model), masks)
    train(model)
    assert clean(model, masks)


def test_masks_are_read_from_a_state_of_an_earlier_version() -> None:
    state, masks = earlier()
    assert_same(sft.masks(state), masks)
    assert_same(sft.masks({f"module._orig_mod.{name}": one for name, one in state.items()}), masks)


@pytest.mark.parametrize("make", [earlier, of_torch_prune, sparse_state])
def test_a_stripped_state_loads_into_a_plain_model(make: Any) -> None:
    state, masks = make()
    before = copy.deepcopy(state)
    plain = sft.strip(state)
    assert_equal(state, before)
    assert type(plain) is type(state)
    assert plain._metadata == state._metadata
    model = mlp()
    model.load_state_dict(plain)
    assert clean(model, masks)
    wrapped = sft.strip({f"module.{name}": value for name, value in state.items()})
    assert set(wrapped) == {f"module.{name}" for name in plain}


def test_torch_prunes_masks_are_read_and_its_state_goes_into_a_masked_model() -> None:
    state, masks = of_torch_prune()
    assert_same(sft.masks(state), masks)
    model = sft.apply(mlp(), sft.masks(state))
    model.load_state_dict(sft.strip(state))
    assert clean(model, masks)


def test_other_entries_that_end_alike_stay() -> None:
    state = {"weight": torch.ones(2, 2), "weight_mask": torch.ones(3).bool(), "n_mask": 3}
    assert list(sft.strip(state)) == list(state)
    assert sft.masks(state) == {}


def test_a_whole_model_of_an_earlier_version_is_refused_by_name() -> None:
    """What its pickle has for a module with masks: the function first, then a parameter."""
    hooks = b"cswiftforce.torch.mask_hooks\n"
    pickle.loads(hooks + b"_attach_again\n.")
    with pytest.raises(sf.StructureError, match="saved as a whole by an earlier version"):
        pickle.loads(b"\x80\x02" + hooks + b"MaskedParameter\n)\x81}b.")


# ------------------------------------------------------------------------------ zeros


def test_the_zeros_of_a_state_are_its_masks() -> None:
    state, masks = sparse_state()
    assert_same(sft.masks_of_zeros(state), masks)
    model = mlp()
    model.load_state_dict(state)
    assert_same(sft.masks_of_zeros(model), masks)
    for make in (earlier, of_torch_prune):
        state, masks = make()
        assert_same(sft.masks_of_zeros(state), masks)
        assert_same(sft.masks_of_zeros({f"module.{n}": v for n, v in state.items()}), masks)


def test_only_weights_with_zeros_have_masks() -> None:
    torch.manual_seed(0)
    table = torch.randn(5, 3)
    table[0] = 0
    state = {
        "embed_tokens.weight": table,
        "fc.weight": torch.eye(4),
        "fc.bias": torch.zeros(4),
        "dense.weight": torch.randn(4, 4),
        "steps": torch.zeros(2, 2, dtype=torch.int64),
    }
    assert_same(sft.masks_of_zeros(state), {"fc.weight": torch.eye(4).bool()})
    found = sft.masks_of_zeros(state, include="*embed*")
    assert_same(found, {"embed_tokens.weight": table != 0})
    with pytest.raises(sf.StructureError, match="no weight is exactly zero"):
        sft.masks_of_zeros(state, exclude="fc.*")


def test_weights_that_are_all_zero_are_named() -> None:
    state = {"fc.weight": torch.eye(4), "lora_B.weight": torch.zeros(4, 2)}
    with pytest.warns(sf.LayerCollapseWarning, match=r"lora_B\.weight are zero.*exclude"):
        found = sft.masks_of_zeros(state)
    assert not found["lora_B.weight"].any()
    assert list(sft.masks_of_zeros(state, exclude="lora_B*")) == ["fc.weight"]


def test_a_state_whose_masks_were_not_saved_says_so() -> None:
    state, _ = sparse_state()
    with pytest.warns(sf.MasksLostWarning, match=r"0\.weight is partly zero.*masks_of_zeros"):
        assert sft.masks(state) == {}
    assert sft.masks(mlp().state_dict()) == {}  # A dense one.


@pytest.mark.parametrize("read", [sft.masks, sft.masks_of_zeros, sft.strip])
def test_a_checkpoint_is_not_taken_for_a_state(read: Any) -> None:
    with pytest.raises(sf.StructureError, match="'model' is: pass that"):
        read({"epoch": 3, "model": mlp().state_dict()})
    with pytest.raises(sf.UnsupportedTypeError, match="list"):
        read([])


# ------------------------------------------------------------------------------ files


def test_masks_from_a_file_resume_a_run(tmp_path: Path) -> None:
    model = mlp()
    pruning = sft.prune(model, method="magnitude", sparsity=0.5)
    sft.apply(model, pruning)
    train(model)
    pruning.save(tmp_path / "masks.safetensors")
    torch.save(model.state_dict(), tmp_path / "model.pt")
    again = mlp(seed=7)
    sft.apply(again, sft.load(tmp_path / "masks.safetensors", again))
    again.load_state_dict(torch.load(tmp_path / "model.pt"))
    train(again)
    train(model)
    assert_equal(again.state_dict(), model.state_dict())
    assert clean(again, pruning.masks)
