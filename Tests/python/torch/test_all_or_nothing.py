"""An error in the middle of `apply` leaves model, masks and optimizers as they were."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from swiftforce.torch.masked_parameter import MaskedParameter  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import Masks, assert_same, batches, bits, mlp, random_masks  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for x, y in batches():
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()


def state(model: nn.Module, optimizer: torch.optim.Optimizer) -> Any:
    """Values, gradients, attributes, and all hooks."""
    return (
        [(name, bits(one), bits(one.grad)) for name, one in model.named_parameters()],
        [list(one._post_accumulate_grad_hooks or ()) for one in model.parameters()],
        [sorted(vars(one)) for one in (*model.parameters(), *model.modules())],
        [list(one._load_state_dict_post_hooks) for one in model.modules()],
        [list(one._load_state_dict_pre_hooks) for one in model.modules()],
        list(optimizer._optimizer_step_post_hooks),
        list(optimizer._optimizer_load_state_dict_post_hooks),
        [
            {key: bits(value) for key, value in optimizer.state[one].items()}
            for one in model.parameters()
        ],
    )


def made(masked: bool) -> tuple[nn.Module, torch.optim.Optimizer, Masks]:
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters())
    first = random_masks(model, 1) if masked else {}
    sft.apply(model, first, optimizer)
    train(model, optimizer)
    return model, optimizer, first


@pytest.mark.parametrize("masked", [False, True], ids=["dense", "masked"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_whatever_fails_is_undone(
    masked: bool, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    limit = 0

    def failing(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            calls.append(1)
            if len(calls) > limit:
                raise error("in the middle")
            return function(*arguments, **named)

        return wrapped

    for owner, name in (
        (MaskedParameter, "clear"),
        (MaskedParameter, "hook_gradient"),
        (MaskedParameter, "unhook"),
        (torch.optim.Optimizer, "register_step_post_hook"),
        (torch.optim.Optimizer, "register_load_state_dict_post_hook"),
        (nn.Module, "register_load_state_dict_pre_hook"),
        (nn.Module, "register_load_state_dict_post_hook"),
    ):
        monkeypatch.setattr(owner, name, failing(getattr(owner, name)))
    with monkeypatch.context():
        limit = 10**6
        calls.clear()
        model, optimizer, first = made(masked)
        calls.clear()
        sft.apply(model, random_masks(model, 2), optimizer)
        number = len(calls)
    assert number > 15
    for limit_now in range(number):
        limit = 10**6
        model, optimizer, first = made(masked)
        before = state(model, optimizer)
        calls.clear()
        limit = limit_now
        with pytest.raises(error, match="in the middle"):
            sft.apply(model, random_masks(model, 2), optimizer)
        limit = 10**6
        assert state(model, optimizer) == before, limit_now
        assert_same(sft.masks(model), first)
        train(model, optimizer)
        assert all(not model.get_parameter(name)[~mask].any() for name, mask in first.items())


def test_an_optimizer_that_fails_behind_one_that_works() -> None:
    class Fails(torch.optim.SGD):
        def register_step_post_hook(self, hook: Any) -> Any:
            raise ValueError("no more hooks")

    model, optimizer, _ = made(masked=True)
    before = state(model, optimizer)
    with pytest.raises(ValueError, match="no more hooks"):
        sft.apply(model, random_masks(model, 2), [optimizer, Fails(model.parameters())])
    assert state(model, optimizer) == before


def inference(model: nn.Module) -> None:
    with torch.inference_mode():
        model[0] = nn.Linear(6, 8)


def expanded(model: nn.Module) -> None:
    model[0].weight = nn.Parameter(torch.ones(8, 1).expand(8, 6))


def whole_numbers(model: nn.Module) -> None:
    model[0].weight = nn.Parameter(torch.ones(8, 6, dtype=torch.int8), requires_grad=False)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (inference, sf.UnsupportedTypeError, r"0\.weight was made in torch\.inference_mode"),
        (expanded, sf.LayoutError, r"elements of 0\.weight share memory"),
        (whole_numbers, sf.UnsupportedTypeError, r"0\.weight has dtype torch\.int8"),
        (lambda m: m.insert(0, nn.LazyLinear(6)), sf.UnsupportedTypeError, r"0\.weight has no val"),
    ],
)
def test_parameters_that_cannot_be_masked_are_named(
    change: Callable[[nn.Module], Any], error: type[Exception], match: str
) -> None:
    model = mlp()
    change(model)
    masks = {"2.weight": torch.zeros(4, 8).bool(), "0.weight": torch.zeros(8, 6).bool()}
    last = bits(model[2].weight) if isinstance(model[2], nn.Linear) else None
    if isinstance(model[0], nn.LazyLinear):
        masks.pop("2.weight")
    with pytest.raises(error, match=match):
        sft.apply(model, masks)
    assert sft.masks(model) == {}
    assert last is None or bits(model[2].weight) == last


def test_two_masks_of_one_parameter_are_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    mask = torch.eye(4).bool()
    with pytest.raises(sf.StructureError, match=r"0\.weight and 1\.weight are one parameter"):
        sft.apply(model, {"0.weight": mask, "1.weight": ~mask})
    assert model[0].weight.all()
    sft.apply(model, {"0.weight": mask, "1.weight": mask})
    assert torch.equal(model[1].weight != 0, mask)


def test_masks_can_be_applied_in_inference_mode() -> None:
    model = mlp()
    masks = random_masks(model)
    with torch.inference_mode():
        sft.apply(model, masks)
    optimizer = torch.optim.AdamW(model.parameters())
    train(copy.deepcopy(model), optimizer)
    train(model, optimizer)
    assert all(not model.get_parameter(name)[~mask].any() for name, mask in masks.items())
