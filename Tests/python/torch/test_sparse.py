"""Masks applied to a model, read from it, removed again, and refused if they do not fit."""

from __future__ import annotations

import gc
import io
import weakref
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.nn.utils import prune as torch_prune  # noqa: E402
from torch_models import assert_same, batches, bits, matrices, mlp, random_masks  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def state(model: nn.Module) -> Any:
    """Parameters, buffers and hooks."""
    return (
        [(name, id(one), bits(one)) for name, one in model.named_parameters()],
        [(name, bits(one)) for name, one in model.named_buffers()],
        [list(one._post_accumulate_grad_hooks or ()) for one in model.parameters()],
        [list(module._load_state_dict_post_hooks) for module in model.modules()],
    )


def gradients(model: nn.Module) -> None:
    model.zero_grad()
    x, y = batches()[0]
    cross_entropy(model(x), y).backward()


def clean(model: nn.Module, masks: torch_models.Masks) -> bool:
    """Whether every removed weight is +0, to the bit."""
    parameters = dict(model.named_parameters())
    return all(not any(bits(parameters[name][~mask])) for name, mask in masks.items())


# ------------------------------------------------------------------------------ applied


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), -0.0])
def test_removed_weights_are_plain_zero_whatever_they_were(value: float) -> None:
    model = mlp()
    masks, kept = random_masks(model), bits(model[0].weight[random_masks(model)["0.weight"]])
    with torch.no_grad():
        model[0].weight[~masks["0.weight"]] = value
    sft.apply(model, masks)
    assert clean(model, masks)
    assert bits(model[0].weight[masks["0.weight"]]) == kept


def test_gradients_that_are_there_are_cleared_and_those_to_come_are_too() -> None:
    model = mlp()
    masks = random_masks(model)
    gradients(model)
    assert model[0].weight.grad[~masks["0.weight"]].any()
    sft.apply(model, masks)
    assert not model[0].weight.grad[~masks["0.weight"]].any()
    for _ in range(2):  # the second adds to the first
        x, y = batches()[0]
        cross_entropy(model(x), y).backward()
        assert not model[0].weight.grad[~masks["0.weight"]].any()
        assert model[0].weight.grad[masks["0.weight"]].any()


def test_a_gradient_that_is_not_finite_at_a_removed_weight_leaves_none_behind() -> None:
    model = mlp()
    sft.apply(model, random_masks(model))
    (model[0].weight * float("inf")).sum().backward()
    removed = ~random_masks(model)["0.weight"]
    assert not any(bits(model[0].weight.grad[removed]))


@pytest.mark.parametrize("make", [mlp, torch_models.transformer, torch_models.resnet18])
def test_parameters_buffers_and_the_state_are_those_of_a_plain_model(make: Any) -> None:
    model, masks = make(), random_masks(make())
    plain = make()
    with torch.no_grad():
        for name, mask in masks.items():
            plain.get_parameter(name).masked_fill_(~mask, 0)
    sft.apply(model, masks, torch.optim.AdamW(model.parameters()))
    assert_same(sft.masks(model), masks)
    assert [name for name, _ in model.named_buffers()] == [
        name for name, _ in plain.named_buffers()
    ]
    found, wanted = model.state_dict(), plain.state_dict()
    assert list(found) == list(wanted)
    assert [bits(one) for one in found.values()] == [bits(one) for one in wanted.values()]
    assert size_of_a_file(found) == size_of_a_file(wanted)
    plain.load_state_dict(found)


def size_of_a_file(state: Any) -> int:
    file = io.BytesIO()
    torch.save(state, file)
    return file.tell()


@pytest.mark.parametrize(
    "made", [lambda m: m.numpy().copy(), lambda m: m.tolist(), lambda m: m.clone()]
)
def test_masks_may_be_arrays_lists_or_tensors_and_are_copied(made: Any) -> None:
    model = mlp()
    masks = random_masks(model)
    given = {name: made(mask) for name, mask in masks.items()}
    sft.apply(model, given)
    for mask in given.values():
        if not isinstance(mask, list):
            mask[...] = True
    assert_same(sft.masks(model), masks)


def test_masks_may_be_arrays_that_cannot_be_written() -> None:
    """Such as those of `MaskSearch.masks`."""
    model = mlp()
    weights = {name: one.detach().numpy() for name, one in matrices(model).items()}
    search = sf.MaskSearch(weights, method="magnitude", sparsity=0.5)
    search.step()
    sft.apply(model, search.masks)
    assert int((model[0].weight == 0).sum() + (model[2].weight == 0).sum()) == 40


def test_some_parameters_may_have_masks_and_others_none() -> None:
    model = mlp()
    sft.apply(model, {"2.weight": torch.zeros(4, 8, dtype=torch.bool)})
    assert list(sft.masks(model)) == ["2.weight"]
    gradients(model)
    assert model[2].bias.grad.any()
    assert not model[2].weight.any()
    sft.apply(model, {})
    assert sft.masks(model) == {}


def test_a_result_for_frozen_parameters_can_be_applied() -> None:
    model = mlp()
    model[0].requires_grad_(False)
    options = {"include": "*.weight", "sparsity": 0.5, "steps": 2}
    found = sft.prune(model, batches(), loss=cross_entropy, **options)
    sft.apply(model, found)
    assert clean(model, found.masks)


def test_a_table_with_sparse_gradients_can_be_masked() -> None:
    table = nn.Embedding(5, 3, sparse=True)
    mask = torch.ones(5, 3, dtype=torch.bool)
    mask[1] = False
    sft.apply(table, {"weight": mask})
    table(torch.tensor([0, 1])).sum().backward()
    assert not table.weight.grad.to_dense()[1].any()


def test_apply_anew_replaces_the_masks_and_the_hooks() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    first, second = random_masks(model, 1), random_masks(model, 2)
    sft.apply(model, first, optimizer)
    sft.apply(model, second, optimizer)
    assert_same(sft.masks(model), second)
    both = {name: first[name] & second[name] for name in first}
    assert clean(model, both)
    gradients(model)
    optimizer.step()
    assert clean(model, second)
    returned = second["0.weight"] & ~first["0.weight"]
    assert model[0].weight[returned].any()  # the first masks hold them no longer
    assert len(model[0].weight._post_accumulate_grad_hooks) == 1
    assert len(optimizer._optimizer_step_post_hooks) == len(second)  # of each module with a mask
    assert len(model[0]._load_state_dict_post_hooks) == 1


@pytest.mark.slow
def test_a_model_with_masks_is_freed_when_it_is_no_longer_used() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sft.apply(model, random_masks(model), optimizer)
    gradients(model)
    optimizer.step()
    gone = weakref.ref(model)
    del model, optimizer
    gc.collect()
    assert gone() is None


# ------------------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("masks", "error", "match"),
    [
        ({"1.weight": torch.ones(8, 6).bool()}, sf.StructureError, r"no parameter '1\.weight'"),
        ({"0.weight": torch.ones(6, 8).bool()}, sf.ShapeError, r"\(6, 8\).*\(8, 6\)"),
        ({"0.weight": torch.ones(48).bool()}, sf.ShapeError, r"\(48,\)"),
        ({"0.weight": torch.tensor(True)}, sf.ShapeError, r"shape \(\)"),
        ({"0.weight": torch.ones(8, 6)}, sf.UnsupportedTypeError, r"torch\.float32, not bool"),
        ({"0.weight": np.ones((8, 6), np.uint8)}, sf.UnsupportedTypeError, r"torch\.uint8"),
        ([torch.ones(8, 6).bool()], sf.StructureError, "not list"),
        (torch.ones(8, 6).bool(), sf.StructureError, "not Tensor"),
    ],
)
def test_masks_that_do_not_fit_change_nothing(
    masks: Any, error: type[Exception], match: str
) -> None:
    model = mlp()
    sft.apply(model, random_masks(model))
    before = state(model)
    if isinstance(masks, dict):  # behind one that does fit
        masks = {"2.weight": torch.zeros(4, 8, dtype=torch.bool), **masks}
    with pytest.raises(error, match=match):
        sft.apply(model, masks)
    assert state(model) == before


def test_an_optimizer_that_is_none_changes_nothing() -> None:
    model = mlp()
    before = state(model)
    with pytest.raises((TypeError, AttributeError)):
        sft.apply(model, random_masks(model), [object()])
    assert state(model) == before


# ------------------------------------------------------------------------------ taken off


def test_remove_leaves_a_plain_model_with_zeros() -> None:
    model, masks = mlp(), random_masks(mlp())
    names = list(model.state_dict())
    hooks = state(model)[2:]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sft.apply(model, masks, optimizer)
    sft.remove(model)
    assert list(model.state_dict()) == names
    assert state(model)[2:] == hooks
    assert clean(model, masks)
    assert sft.masks(model) == {}
    gradients(model)
    optimizer.step()
    assert not clean(model, masks)  # nothing keeps them there
    sft.remove(model)  # and once more does nothing


def test_a_buffer_of_the_callers_own_stays() -> None:
    model = mlp()
    own = torch.ones(8, 6, dtype=torch.bool)
    model[0].register_buffer("weight_mask", own)
    masks = random_masks(model)
    sft.apply(model, masks)
    model.load_state_dict(model.state_dict())
    assert_same(sft.masks(model), masks)
    sft.remove(model)
    assert [name for name, _ in model.named_buffers()] == ["0.weight_mask"]
    assert model[0].weight_mask is own


def test_to_torch_prune_hands_the_masks_over() -> None:
    model, masks = mlp(), random_masks(mlp())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sft.apply(model, masks, optimizer)
    x, y = batches()[0]
    before = model(x)
    sft.to_torch_prune(model)
    assert torch_prune.is_pruned(model)
    assert torch.equal(model(x), before)
    assert torch.equal(model[0].weight_mask.bool(), masks["0.weight"])
    cross_entropy(model(x), y).backward()
    optimizer.step()
    model(x)
    assert not model[0].weight[~masks["0.weight"]].any()
    for layer in (model[0], model[2]):
        torch_prune.remove(layer, "weight")
    assert set(model.state_dict()) == set(mlp().state_dict())
    assert clean(model, masks)


def test_to_torch_prune_takes_what_is_no_weight() -> None:
    model = nn.MultiheadAttention(4, 2)
    masks = random_masks(model)
    sft.apply(model, masks)
    x = torch.ones(3, 1, 4)
    before = model(x, x, x)[0]
    sft.to_torch_prune(model)
    assert torch.equal(model.in_proj_weight_mask.bool(), masks["in_proj_weight"])
    assert torch.equal(model(x, x, x)[0], before)


def test_to_torch_prune_masks_a_shared_parameter_in_all_its_modules() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    sft.apply(model, {"0.weight": torch.eye(4).bool()})
    sft.to_torch_prune(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(2, 4)).square().sum().backward()
    optimizer.step()
    model(torch.ones(2, 4))
    assert not model[1].weight[~torch.eye(4).bool()].any()


def test_an_optimizer_of_another_model_is_refused() -> None:
    model = mlp()
    before = state(model)
    stranger = torch.optim.SGD(mlp().parameters(), lr=0.1)
    with pytest.raises(sf.StructureError, match="SGD trains none of the parameters with masks"):
        sft.apply(model, random_masks(model), stranger)
    assert state(model) == before


def test_an_optimizer_in_the_backward_pass_sees_cleared_gradients() -> None:
    model, masks = mlp(), random_masks(mlp())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(lambda _: optimizer.step())
    sft.apply(model, masks)
    for _ in range(3):
        gradients(model)
    assert clean(model, masks)


def test_either_name_of_a_shared_parameter_will_do() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    mask = torch.arange(16).view(4, 4) % 2 == 0
    sft.apply(model, {"1.weight": mask})
    assert torch.equal(model[0].weight != 0, mask)


def test_no_masks_are_no_change() -> None:
    model = mlp()
    before = state(model)
    sft.apply(model, {}, torch.optim.SGD(model.parameters(), lr=0.1))
    assert state(model) == before
    assert not sft.masks(model)
