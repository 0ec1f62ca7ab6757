"""GraSP where torch has no second derivative, and in dtypes where products would underflow."""

from __future__ import annotations

from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.LayerCollapseWarning"),
]


def model(between: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 24), between, nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 4))


def data(dtype: torch.dtype = torch.float32) -> list[tuple[torch.Tensor, torch.Tensor]]:
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(64, 8, generator=drawn).half()
    return [(x.to(dtype), torch.randint(4, (64,), generator=drawn))]


def grasp(net: nn.Module, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    given = {} if "batch_loss" in options else {"loss": functional.cross_entropy}
    return sft.prune(net, data(dtype), method="grasp", sparsity=0.8, **given, **options)


class Formula(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu6(x + 3) / 6


@pytest.mark.parametrize("inplace", [False, True])
def test_a_hard_sigmoid_is_scored_by_its_formula(inplace: bool) -> None:
    found = grasp(model(nn.Hardsigmoid(inplace=inplace)).double(), torch.float64)
    expected = grasp(model(Formula()).double(), torch.float64)
    for name, mask in found.masks.items():
        assert torch.equal(mask, expected.masks[name])
    assert grasp(model(nn.Hardswish())).keep > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("alone", [False, True], ids=["loss", "batch_loss"])
def test_half_precision_gives_the_mask_of_the_same_weights_in_float32(
    dtype: torch.dtype, alone: bool
) -> None:
    def batch_loss(net: nn.Module, batch: Any) -> torch.Tensor:
        return functional.cross_entropy(net(batch[0]).float() / 200, batch[1])

    options = {"batch_loss": batch_loss} if alone else {}
    half = model(nn.Tanh()).to(dtype)
    weights = [one.detach().clone() for one in half.parameters()]
    wide = model(nn.Tanh()).to(dtype).float()
    x, y = data()[0]
    x = x.to(dtype)  # The same inputs for both.
    given = {"method": "grasp", "sparsity": 0.8}
    given |= options or {"loss": functional.cross_entropy}
    found = sft.prune(half, [(x, y)], **given)
    expected = sft.prune(wide, [(x.float(), y)], **given)
    for name, mask in found.masks.items():
        assert torch.equal(mask, expected.masks[name])
    assert all(torch.equal(a, b) for a, b in zip(half.parameters(), weights, strict=True))


def test_a_function_without_a_second_derivative_is_named() -> None:
    def loss(net: nn.Module, batch: Any) -> torch.Tensor:
        return functional.multi_margin_loss(net(batch[0]), batch[1])

    with pytest.raises(
        sf.UnsupportedTypeError, match=r"grasp needs second .* for multi_margin_loss_backward"
    ) as e:
        grasp(model(nn.Tanh()), batch_loss=loss)
    assert isinstance(e.value.__cause__, (RuntimeError, NotImplementedError))
