"""Paths through arithmetic: products of activations, constants that are added or joined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from path_models import Function, by_gradients, linear, normal, random_masks  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]


def written(b: torch.Tensor) -> torch.Tensor:
    b = b.clone()
    b[:, :2] = 1.0
    b[:, 2] = 0.0
    return b


def written_through_views(b: torch.Tensor) -> torch.Tensor:
    out = torch.ones(len(b), 5, dtype=b.dtype)
    out[:, 1:3] *= b[:, :2]
    view = out.view(-1, 5)
    view[:, 3].mul_(b[:, 3].sigmoid())
    view[:, 4].copy_(b[:, 4])
    return out


def clamped(b: torch.Tensor) -> torch.Tensor:
    b = b.clone()
    F.hardtanh(b, 0.001, 5, inplace=True)
    return b


def transposed_maximum(b: torch.Tensor) -> torch.Tensor:
    larger = torch.maximum(torch.full((5, len(b)), -9.0), b.t())
    larger.view(-1)[: len(b)] = 1.0
    return larger.t()


#: Functions of five activations to five factors.
FACTORS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "itself": lambda b: b,
    "clamp": lambda b: b.clamp(min=0.001),
    "clamp around zero": lambda b: b.clamp(-9, 9),
    "clamp in place": lambda b: b.clone().clamp_(0.001, 9),
    "clamp to tensors": lambda b: b.clamp(min=torch.tensor([0.001, 0, -1, -2, 0.002])),
    "clamp below zero": lambda b: b.clamp(max=-0.001),
    "hardtanh": lambda b: F.hardtanh(b, 0.001, 5),
    "hardtanh in place": clamped,
    "maximum": lambda b: torch.maximum(b, torch.tensor(0.001)),
    "minimum of zeros": lambda b: torch.minimum(b, torch.tensor([9.0, 9, -0.1, 9, 9])),
    "one less": lambda b: torch.ones_like(b) - b,
    "ones and zeros more": lambda b: torch.tensor([1.0, 1, 0, 0, 0]) + b,
    "a number less": lambda b: b - 2,
    "zero less": lambda b: b - 0.0,
    "padded": lambda b: F.pad(b[:, :3], (0, 2), value=1.0),
    "padded by zero": lambda b: F.pad(b[:, :3], (0, 2)),
    "written": written,
    "written through views": written_through_views,
    "written through a view of a transposed tensor": transposed_maximum,
    "joined": lambda b: torch.cat([b[:, :3], torch.ones(len(b), 2)], 1),
    "joined to integers": lambda b: torch.cat([b[:, :3], torch.eye(2).long().repeat(32, 1)], 1),
    "where": lambda b: torch.where(torch.arange(5) < 3, b, torch.ones(5)),
    "where, of zeros": lambda b: torch.where(torch.arange(5) < 3, torch.zeros(5), b),
    "where, of a number": lambda b: torch.where(torch.arange(5) < 3, 2.0, b),
    "filled": lambda b: b.masked_fill(torch.arange(5) < 3, 1.0),
    "filled with zeros": lambda b: b.masked_fill(torch.arange(5) < 3, 0.0),
    "filled, then made nonzero": lambda b: b.masked_fill(torch.arange(5) < 3, 0.0).exp(),
    "filled after it was made nonzero": lambda b: b.exp().masked_fill(torch.arange(5) < 3, 0.0),
    "largest of some": lambda b: (
        b.masked_fill(torch.arange(5) < 3, -torch.inf).amax(1, keepdim=True).expand(-1, 5)
    ),
    "cosine": torch.cos,
    "to the power of zero": lambda b: b**2 + b**0,
}


@pytest.mark.parametrize("kind", sorted(FACTORS))
def test_a_constant_makes_a_factor_nonzero(kind: str) -> None:
    model = Function(
        lambda m, x: m.out(torch.tanh(m.a(x)) * FACTORS[kind](m.b(x))),
        a=linear(6, 5),
        b=linear(6, 5),
        out=linear(5, 3),
    )
    for seed in range(6):
        masks = random_masks(model, 0.2, seed)
        found = sft.effective_density(model, masks, inputs=(64, 6))
        torch_models.assert_same(found.masks, by_gradients(model, masks, normal(64, 6)))


def test_parameters_without_masks_are_nonzero_as_factors_and_zero_as_terms() -> None:
    def count(gate: Callable[[Any, torch.Tensor], torch.Tensor], value: float = 0.0) -> int:
        model = Function(lambda m, x: m.out(x * gate(m, m.b(x))), b=linear(2, 2), out=linear(2, 1))
        model.p = nn.Parameter(torch.full((2,), value))
        model.fixed = nn.Parameter(torch.tensor([1.0, 0.0]), requires_grad=False)
        masks = {"b.weight": torch.zeros(2, 2).bool(), "out.weight": torch.ones(1, 2).bool()}
        return sft.effective_density(model, masks, inputs=(1, 2)).effective

    def row(bias: torch.Tensor) -> torch.Tensor:
        whole = torch.zeros(2)
        whole[:] = bias
        return whole

    assert count(lambda m, b: b + m.p) == count(lambda m, b: m.p.view(1, 2)[:, :] + b) == 0
    assert count(lambda m, b: F.linear(b, torch.eye(2), m.p)) == 0
    assert (
        count(lambda m, b: b + torch.zeros(2).copy_(m.p)) == count(lambda m, b: b + row(m.p)) == 0
    )
    assert count(lambda m, b: b + m.out.weight) == 0
    assert count(lambda m, b: (b + 1) * m.p) == count(lambda m, b: (b + 1) * (1 - m.p), 1.0) == 2
    assert count(lambda m, b: b + m.fixed) == count(lambda m, b: (b + 1) * m.fixed) == 1
    assert count(lambda m, b: (b + m.p).masked_fill(m.fixed == 0, 1.0)) == 1


def test_what_acts_through_a_denominator_alone_is_on_no_path() -> None:
    routed = Function(
        lambda m, x: m.router(x).softmax(-1)[:, :1] * x, router=nn.Linear(2, 2, bias=False)
    )
    found = sft.effective_density(routed, inputs=(1, 2))
    assert found.masks["router.weight"].tolist() == [[True, True], [False, False]]
    model = nn.Sequential(linear(2, 2), nn.LayerNorm(2), linear(2, 1))
    masks = {"0.weight": torch.eye(2).bool(), "2.weight": torch.tensor([[True, False]])}
    found = sft.effective_density(model, masks, inputs=(1, 2))
    assert found.masks["0.weight"].tolist() == [[True, False], [False, False]]


def test_a_weight_can_be_built_of_weights_and_constants() -> None:
    def built(m: Any, x: torch.Tensor) -> torch.Tensor:
        whole = torch.zeros(3, 2)
        whole[0] = 1.0
        whole[1:] = m.a.weight
        whole.mul_(torch.tensor([1.0, 0.0]))
        return m.out(F.linear(x, whole))

    model = Function(built, a=linear(2, 2), out=linear(3, 1))
    found = sft.effective_density(model, inputs=(1, 2))
    assert found.masks["a.weight"].tolist() == [[True, False]] * 2
    assert found.masks["out.weight"].tolist() == [[True] * 3]


def test_a_path_does_not_start_at_a_constant() -> None:
    model = Function(
        lambda m, x: m.out(
            torch.where(x.new_tensor([1, 0, 0]) > 0, m.a(F.pad(x, (1, 0), value=1)), 7)
        ),
        a=linear(3, 3),
        out=linear(3, 1),
    )
    found = sft.effective_density(model, inputs=(1, 2))
    assert found.masks["a.weight"].tolist() == [[False, True, True], [False] * 3, [False] * 3]
    assert found.masks["out.weight"].tolist() == [[True, False, False]]


def test_a_path_does_not_start_at_a_constant_that_is_written_in_part() -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        whole = torch.ones(len(x), 3)
        whole[:, :2] = m.a(x)
        return m.out(whole)

    found = sft.effective_density(
        Function(forward, a=linear(2, 2), out=linear(3, 1)), inputs=(1, 2)
    )
    assert found.masks["out.weight"].tolist() == [[True, True, False]]
    joined = Function(
        lambda m, x: m.out(torch.cat([m.a(x), torch.ones(1, 1).long()], 1)),
        a=linear(2, 2),
        out=linear(3, 1),
    )
    found = sft.effective_density(joined, inputs=(1, 2))
    assert found.masks["out.weight"].tolist() == [[True, True, False]]


def test_a_path_leads_through_a_product_with_a_factor_that_is_never_zero() -> None:
    def count(gate: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, int]:
        model = Function(
            lambda m, x: m.out(x * gate(m.gate(x))), gate=linear(2, 2), out=linear(2, 1)
        )
        masks = {"gate.weight": torch.zeros(2, 2).bool(), "out.weight": torch.ones(1, 2).bool()}
        return sft.effective_density(model, masks, inputs=(1, 2)).effective

    assert count(torch.tanh) == count(F.relu) == 0
    assert count(torch.sigmoid) == count(lambda g: g.softmax(-1)) == count(lambda g: 1 + g) == 2
    assert count(lambda g: 1 / g) == count(lambda g: g.exp() / g.relu()) == 2
