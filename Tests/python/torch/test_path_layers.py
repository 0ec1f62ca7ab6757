"""Paths through layers, compared with real gradients: also attention masks, normalisations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from path_models import MODELS, Function, by_gradients, linear, normal, random_masks  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]


@pytest.mark.parametrize("density", [0.1, 0.25, 0.5, 1])
@pytest.mark.parametrize("kind", sorted(MODELS))
@pytest.mark.slow
def test_paths_are_those_of_gradients(kind: str, density: float) -> None:
    build, inputs = MODELS[kind]
    torch.manual_seed(0)
    model = build()
    for seed in range(6):
        masks = random_masks(model, density, seed)
        expected = by_gradients(model, masks, *inputs)
        found = sft.effective_density(model, masks, inputs=tuple(one[:16] for one in inputs))
        torch_models.assert_same(found.masks, expected)


@pytest.mark.parametrize("kind", ["LeNet-5", "ResNet18", "VGG11"])
@pytest.mark.slow
def test_paths_of_networks_are_those_of_gradients(kind: str) -> None:
    build, shape = torch_models.NETWORKS[kind]
    model = build()
    for density in (0.1, 0.4):
        masks = random_masks(model, density, 1)
        expected = by_gradients(model, masks, normal(64, *shape))
        found = sft.effective_density(model, masks, inputs=(1, *shape))
        torch_models.assert_same(found.masks, expected)


# ------------------------------------------------------------------------- what attention ignores

USED = torch.tensor([[True, False, False], [True, True, False], [True, True, True]])
ADDED = torch.zeros(3, 3).masked_fill(~USED, -torch.inf)


def smallest(x: torch.Tensor) -> torch.Tensor:
    return torch.zeros(3, 3, dtype=x.dtype).masked_fill(~USED, torch.finfo(x.dtype).min)


def scored(mask: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda m, q, k, v: mask(q @ k.transpose(1, 2)).softmax(-1) @ v


def softmax_by_hand(scores: torch.Tensor) -> torch.Tensor:
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True)


def by_heads(**options: Any) -> Callable[..., torch.Tensor]:
    return lambda m, q, k, v: m.heads(q, k, v, **options)[0]


fused = F.scaled_dot_product_attention
#: Attention over three positions, of which the second uses the first two.
ATTENTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "causal": lambda m, q, k, v: fused(q, k, v, is_causal=True),
    "bools": lambda m, q, k, v: fused(q, k, v, attn_mask=USED),
    "infinities": lambda m, q, k, v: fused(q, k, v, attn_mask=ADDED.to(q.dtype)),
    "smallest numbers": lambda m, q, k, v: fused(q, k, v, attn_mask=smallest(q)),
    "added": scored(lambda s: s + ADDED),
    "added, then scaled": scored(lambda s: (s + smallest(s)) / 2 * 0.5),
    "subtracted": scored(lambda s: s - 1e9 * (~USED).to(s.dtype)),
    "filled": scored(lambda s: s.masked_fill(~USED, -1e4)),
    "where": scored(lambda s: torch.where(USED, s, torch.full_like(s, -torch.inf))),
    "where, of a number": scored(lambda s: torch.where(USED, s, -torch.inf)),
    "by hand": lambda m, q, k, v: softmax_by_hand(q @ k.transpose(1, 2) + ADDED) @ v,
    "heads, bools": by_heads(attn_mask=~USED),
    "heads, infinities": lambda m, q, k, v: m.heads(q, k, v, attn_mask=ADDED.to(q.dtype))[0],
    "heads, by key": lambda m, q, k, v: m.heads(
        q, k, v, key_padding_mask=~USED[1].expand(len(q), 3)
    )[0],
    "heads, numbers by key": lambda m, q, k, v: m.heads(
        q, k, v, key_padding_mask=ADDED[1].to(q.dtype).expand(len(q), 3)
    )[0],
}


@pytest.mark.parametrize("kind", sorted(ATTENTIONS))
def test_what_attention_ignores_is_on_no_path(kind: str) -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        # Each position has projections of its own: the masks show which positions are used.
        k = torch.stack([layer(x[:, at]) for at, layer in enumerate(m.k)], 1)
        v = torch.stack([layer(x[:, at]) for at, layer in enumerate(m.v)], 1)
        return ATTENTIONS[kind](m, m.q(x), k, v)[:, 1]

    model = Function(
        forward,
        q=linear(3, 4),
        k=nn.ModuleList(linear(3, 4) for _ in range(3)),
        v=nn.ModuleList(linear(3, 4) for _ in range(3)),
        heads=nn.MultiheadAttention(4, 2, batch_first=True),
    )
    masks = {name: torch.ones(one.shape).bool() for name, one in sft.prunable(model).items()}
    found = sft.effective_density(model, masks, inputs=(16, 3, 3))
    torch_models.assert_same(found.masks, by_gradients(model, masks, normal(16, 3, 3)))
    assert not found.masks["v.2.weight"].any()
    assert found.masks["v.1.weight"].all()


# ------------------------------------------------------------------------- normalisations


def test_paths_of_a_transformer_are_those_of_gradients() -> None:
    model = torch_models.transformer()
    for density in (0.05, 0.15, 0.5):
        masks = random_masks(model, density, 2)
        found = sft.effective_density(model, masks, inputs=(1, 5, 8))
        torch_models.assert_same(found.masks, by_gradients(model, masks, normal(64, 5, 8)))


def test_the_scale_of_a_normalisation_is_a_weight_if_it_has_a_mask() -> None:
    model = nn.Sequential(
        *(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1), nn.Flatten()),
        *(nn.Linear(2, 2), nn.LayerNorm(2)),
    )
    masks = {
        "0.weight": torch.ones(2, 1, 1, 1).bool(),
        "1.weight": torch.tensor([True, False]),
        "1.bias": torch.tensor([True, True]),
        "4.weight": torch.ones(2, 2).bool(),
        "5.weight": torch.tensor([False, True]),
    }
    found = sft.effective_density(model, masks, inputs=(1, 1, 1, 1))
    assert {name: mask.flatten().tolist() for name, mask in found.masks.items()} == {
        "0.weight": [True, False],
        "1.weight": [True, False],
        "1.bias": [False, False],
        "4.weight": [False, False, True, True],
        "5.weight": [False, True],
    }


def test_tables_are_weights_if_they_have_masks() -> None:
    build, (ids,) = MODELS["words"]
    model = build()
    masks = random_masks(model, 0.6, 0)
    masks["table.weight"] = torch.eye(7, 5).bool()
    masks["table.weight"][:, 2] = False
    expected = by_gradients(model, masks, ids)
    masks["places.weight"] = torch.ones(4, 5).bool()
    expected["places.weight"] = torch.zeros(4, 5).bool()
    expected["out.weight"][:, 2] = False  # a path does not begin at a position
    found = sft.effective_density(model, masks, inputs=(ids,))
    torch_models.assert_same(found.masks, expected)


def test_weights_that_are_computed_of_others() -> None:
    model = nn.Sequential(linear(4, 3), linear(3, 2))
    nn.utils.parametrizations.weight_norm(model[0])
    name = "0.parametrizations.weight.original1"
    masks = {name: torch.eye(3, 4).bool(), "1.weight": torch.tensor([[1, 0, 1], [0, 0, 1]]).bool()}
    found = sft.effective_density(model, masks, inputs=(1, 4))
    assert found.masks[name].int().tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
