"""Training with masks: removed weights stay zero, kept ones change as with masks by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.optim import Optimizer  # noqa: E402
from torch_models import Masks, batches, bits, matrices, mlp, random_masks  # noqa: E402
from torch_optimizers import MIXING, OPTIMIZERS, AlwaysMoves  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

STEPS = 12


def step(model: nn.Module, optimizer: Optimizer, turn: int) -> None:
    x, y = batches(sizes=(6,) * 4)[turn % 4]

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        return loss

    if isinstance(optimizer, torch.optim.LBFGS):
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()


def assert_clean(model: nn.Module, masks: Masks) -> None:
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        assert not any(bits(parameters[name][~mask])), name
        assert parameters[name][mask].all(), name


def masked_by_hand(model: nn.Module, masks: Masks) -> nn.Module:
    """A model that masks its weights in each pass, so removed ones have a gradient of zero."""
    for name, mask in masks.items():
        path, _, own = name.rpartition(".")

        class Selected(nn.Module):
            def __init__(self, mask: torch.Tensor) -> None:
                super().__init__()
                self.mask = mask

            def forward(self, weight: torch.Tensor) -> torch.Tensor:
                return torch.where(self.mask, weight, torch.zeros_like(weight))

        nn.utils.parametrize.register_parametrization(
            model.get_submodule(path), own, Selected(mask)
        )
    return model


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.slow
def test_removed_weights_stay_zero(optimizer: str, used: bool) -> None:
    model = mlp()
    masks = random_masks(model)
    optimizing = OPTIMIZERS[optimizer](model.parameters())
    for turn in range(3 * used):
        step(model, optimizing, turn)
    sft.apply(model, masks, optimizing)
    before = bits(model[0].weight)
    assert_clean(model, masks)
    for turn in range(STEPS):
        step(model, optimizing, turn)
        assert_clean(model, masks)
    assert bits(model[0].weight) != before


@pytest.mark.parametrize("optimizer", MIXING)
def test_removed_weights_stay_zero_where_weights_are_mixed(optimizer: str) -> None:
    model = nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 4, bias=False))
    masks = random_masks(model)
    optimizing = getattr(torch.optim, optimizer)(model.parameters(), lr=0.05)
    step(model, optimizing, 0)
    sft.apply(model, masks, optimizing)
    for turn in range(STEPS):
        step(model, optimizing, turn)
        assert_clean(model, masks)


@pytest.mark.parametrize("known", [False, True], ids=["not passed", "passed"])
@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name != "always moves"])
@pytest.mark.slow
def test_kept_weights_go_the_way_they_go_when_masked_by_hand(optimizer: str, known: bool) -> None:
    model, masks = mlp().double(), random_masks(mlp())
    by_hand = masked_by_hand(copy.deepcopy(model), masks)
    optimizing = OPTIMIZERS[optimizer](model.parameters())
    # In the order of the model's parameters, in which LBFGS adds up its flat vectors.
    order = [by_hand[0].parametrizations.weight.original, by_hand[0].bias]
    order += [by_hand[2].parametrizations.weight.original, by_hand[2].bias]
    with torch.no_grad():
        for name, parameter in zip(dict(model.named_parameters()), order, strict=True):
            if name in masks:
                parameter.masked_fill_(~masks[name], 0)
    reference = OPTIMIZERS[optimizer](order)
    sft.apply(model, masks, optimizing if known else ())
    x, y = batches(sizes=(6,) * 4, dtype=torch.float64)[0]
    for _ in range(STEPS):
        for net, how in ((model, optimizing), (by_hand, reference)):

            def closure(net: nn.Module = net, how: Optimizer = how) -> torch.Tensor:
                how.zero_grad()
                loss = cross_entropy(net(x), y)
                loss.backward()
                return loss

            how.step(closure)
        assert bits(model[0].weight) == bits(by_hand[0].weight)
        assert bits(model[2].weight) == bits(by_hand[2].weight)
        assert bits(model[0].bias) == bits(by_hand[0].bias)
    assert_clean(model, masks)


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name not in {"LBFGS"}])
def test_momentum_from_before_is_cleared_where_weights_are_removed(optimizer: str) -> None:
    model, masks = mlp(), random_masks(mlp())
    optimizing = OPTIMIZERS[optimizer](model.parameters())
    for turn in range(3):
        step(model, optimizing, turn)
    kept = {
        (name, key): bits(value[masks[name]])
        for name, one in matrices(model).items()
        for key, value in optimizing.state[one].items()
        if torch.is_tensor(value) and value.shape == one.shape
    }
    sft.apply(model, masks, optimizing)
    for (name, key), before in kept.items():
        value = optimizing.state[dict(model.named_parameters())[name]][key]
        assert not value[~masks[name]].any(), key
        assert bits(value[masks[name]]) == before, key
    if "momentum" in optimizer or "Adam" in optimizer:
        assert kept


def test_the_history_of_lbfgs_does_not_move_removed_weights_within_a_step() -> None:
    """Weights are zero after the step, but during it the closure saw another network."""
    model, masks = mlp(), random_masks(mlp())
    optimizing = OPTIMIZERS["LBFGS"](model.parameters())
    step(model, optimizing, 0)
    sft.apply(model, masks, optimizing)
    moved = []

    def watch(*_: object) -> None:
        moved.append(bool(model[0].weight[~masks["0.weight"]].any()))

    model.register_forward_pre_hook(watch)
    step(model, optimizing, 1)
    assert moved
    assert not any(moved)


def test_without_the_optimizer_a_wanderer_is_not_held() -> None:
    """The case that the optimizer is passed for; without it, the tests above prove nothing."""
    model, masks = mlp(), random_masks(mlp())
    sft.apply(model, masks)
    step(model, AlwaysMoves(model.parameters()), 0)
    assert model[0].weight[~masks["0.weight"]].any()


def test_several_optimizers_are_followed() -> None:
    model, masks = mlp(), random_masks(mlp())
    one, two = AlwaysMoves(model[0].parameters()), AlwaysMoves(model[2].parameters())
    sft.apply(model, masks, (each for each in (one, two)))
    for turn in range(3):
        step(model, one, turn)
        two.step()
        assert_clean(model, masks)


def test_clipping_sees_the_norm_of_what_is_kept() -> None:
    model, masks = mlp(), random_masks(mlp())
    sft.apply(model, masks)
    x, y = batches()[0]
    cross_entropy(model(x), y).backward()
    by_hand = masked_by_hand(copy.deepcopy(model), masks)
    by_hand.zero_grad()
    cross_entropy(by_hand(x), y).backward()
    expected = nn.utils.clip_grad_norm_(by_hand.parameters(), 1e-3)
    assert float(nn.utils.clip_grad_norm_(model.parameters(), 1e-3)) == pytest.approx(
        float(expected), rel=1e-6
    )


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
@pytest.mark.parametrize("optimizer", ["SGD, momentum", "AdamW", "RMSprop"])
def test_a_gradient_that_is_not_finite_at_a_removed_weight_does_no_harm(
    optimizer: str, bad: float
) -> None:
    model, masks = mlp(), random_masks(mlp())
    optimizing = OPTIMIZERS[optimizer](model.parameters())
    sft.apply(model, masks, optimizing)
    spoil = torch.where(masks["0.weight"], 0.0, bad)
    for turn in range(3):
        optimizing.zero_grad()
        x, y = batches()[turn]
        handle = model[0].weight.register_hook(lambda gradient: gradient + spoil)
        cross_entropy(model(x), y).backward()
        handle.remove()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
        optimizing.step()
        assert_clean(model, masks)
    assert all(one.isfinite().all() for one in model.parameters())


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model_keeps_its_masks(backend: str, when: str) -> None:
    model, masks = mlp(), random_masks(mlp())
    plain = mlp()
    if when == "before":
        sft.apply(model, masks)
    compiled = torch.compile(model, backend=backend)
    optimizing = OPTIMIZERS["SGD, momentum"](compiled.parameters())
    if when == "after":
        step(compiled, optimizing, 0)
        step(plain, other := OPTIMIZERS["SGD, momentum"](plain.parameters()), 0)
        sft.apply(compiled, masks, optimizing)
        sft.apply(plain, masks, other)
    else:
        sft.apply(plain, masks, other := OPTIMIZERS["SGD, momentum"](plain.parameters()))
    for turn in range(4):
        step(compiled, optimizing, turn)
        step(plain, other, turn)
        assert_clean(model, masks)
    torch.testing.assert_close(model[0].weight, plain[0].weight)


@pytest.mark.parametrize("change", [nn.Module.double, nn.Module.bfloat16, nn.Module.half])
def test_a_model_may_change_its_type_after_apply(change: Callable[[nn.Module], Any]) -> None:
    model, masks = mlp(), random_masks(mlp())
    sft.apply(model, masks)
    change(model)
    assert sft.masks(model)["0.weight"].dtype == torch.bool
    optimizer = OPTIMIZERS["SGD, momentum"](model.parameters())
    for turn in range(3):
        x, y = batches(dtype=model[0].weight.dtype)[turn]
        optimizer.zero_grad()
        cross_entropy(model(x).float(), y).backward()
        optimizer.step()
        assert_clean(model, masks)


def test_masks_live_through_a_cast_of_all_that_a_model_has() -> None:
    model, masks = mlp(), random_masks(mlp())
    sft.apply(model, masks)
    model.type(torch.float64)
    model(torch.ones(1, 6, dtype=torch.float64)).sum().backward()
    assert not model[0].weight.grad[~masks["0.weight"]].any()


def test_accumulated_gradients_and_a_set_of_none_are_masked() -> None:
    model, masks = mlp(), random_masks(mlp())
    sft.apply(model, masks)
    removed = ~masks["0.weight"]
    for x, y in batches():
        cross_entropy(model(x), y).backward()
        assert not model[0].weight.grad[removed].any()
    model.zero_grad(set_to_none=True)
    cross_entropy(model(x), y).backward()
    assert not model[0].weight.grad[removed].any()


def test_torch_models_masks_remove_and_keep_some() -> None:
    for mask in random_masks(torch_models.mlp()).values():
        assert 0 < int(mask.sum()) < mask.numel()
