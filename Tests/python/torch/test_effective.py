"""The weights on a path of any model: the native count, and what real gradients say.

Of a model whose numbers are drawn at random, the weights on a path are those that its output has a
gradient by, for some input. That is what most models here are compared with.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
import torch_twin  # noqa: E402
from swiftforce import checks  # noqa: E402
from swiftforce import nn as native  # noqa: E402
from tiny_networks import TINY, drawn  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]

Masks = torch_models.Masks


def random_masks(model: nn.Module, density: float, seed: int) -> Masks:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(one.shape, generator=generator) < density
        for name, one in sft.prunable(model).items()
    }


def by_gradients(model: nn.Module, masks: Masks, *inputs: torch.Tensor) -> Masks:
    """The kept weights that the output has a gradient by, with biases at zero.

    Two rectifiers may close each other for every input, and a pixel may never be the largest of its
    window, so others stand in their place; normalisations are left out.
    """
    twin = copy.deepcopy(model).double().eval()
    generator = torch.Generator().manual_seed(0)
    parameters = dict(twin.named_parameters())
    with torch.no_grad():
        for name, one in parameters.items():
            one.copy_(torch.randn(one.shape, generator=generator, dtype=torch.float64) / 2)
            if "bias" in name:
                one.zero_()
            if name in masks:
                one.masked_fill_(~masks[name], 0)
    with (
        mock.patch.object(F, "relu", lambda x, inplace=False: x + x.sin() / 2),
        mock.patch.object(F, "layer_norm", lambda x, *_, **__: x),
        mock.patch.object(F, "max_pool2d", lambda x, size, stride, *_, **__: F.avg_pool2d(x, size)),
    ):
        output = twin(*(one.double() if one.is_floating_point() else one for one in inputs))
    end = (output * torch.randn(output.shape, generator=generator, dtype=torch.float64)).sum()
    if not end.requires_grad:
        return {name: torch.zeros_like(mask) for name, mask in masks.items()}
    found = torch.autograd.grad(end, [parameters[name] for name in masks], materialize_grads=True)
    return {name: mask & (one != 0) for (name, mask), one in zip(masks.items(), found, strict=True)}


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


# ------------------------------------------------------------------------- as the native one


@pytest.mark.parametrize("density", [0.1, 0.3, 0.6, 1])
@pytest.mark.parametrize("kind", sorted(TINY))
@pytest.mark.slow
def test_as_of_the_native_network(kind: str, density: float) -> None:
    net = TINY[kind]()
    model = torch_twin.twin(net)
    for seed in range(5):
        masks = drawn(net, density, seed)
        expected = checks.effective_density(net, masks)
        found = sft.effective_density(model, masks, inputs=(1, *net.input_shape))
        assert str(found) == str(expected)
        for name, mask in expected.masks.items():
            assert np.array_equal(found.masks[name].numpy(), mask)


@pytest.mark.parametrize("sparsity", [0.95, 0.99, 0.999])
@pytest.mark.parametrize(
    "net",
    [native.resnet(20, (3, 16, 16)), native.small_vgg(), native.lenet5()],
    ids=["ResNet20", "VGG", "LeNet-5"],
)
@pytest.mark.slow
def test_as_of_a_network_of_the_literature(net: native.Network, sparsity: float) -> None:
    pruning = sf.random(net.weights, sparsity=sparsity, seed=1)
    expected = checks.effective_density(net, pruning)
    found = sft.effective_density(
        torch_twin.twin(net), pruning, inputs=torch.zeros(2, *net.input_shape)
    )
    assert str(found) == str(expected)
    assert 0 <= found.effective < found.kept


def test_channels_that_are_empty() -> None:
    net = native.resnet(20, (3, 8, 8))
    masks = drawn(net, 0.5, 0)
    for mask in list(masks.values())[1:6]:
        mask[::3] = False
        mask[:, 1::4] = False
    expected = checks.effective_density(net, masks)
    found = sft.effective_density(torch_twin.twin(net), masks, inputs=(1, 3, 8, 8))
    assert str(found) == str(expected)


# ------------------------------------------------------------------------- as gradients say


class Function(nn.Module):
    """Linear layers, and what the caller does with them."""

    def __init__(self, forward: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *inputs: Any) -> Any:
        return self._forward(self, *inputs)


def linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs)


def squeeze_and_excite(m: Any, x: torch.Tensor) -> torch.Tensor:
    x = m.first(x)
    gate = m.up(F.silu(m.down(x.mean((2, 3))))).sigmoid()
    return m.last(x * gate[:, :, None, None]).mean((2, 3))


def attention(m: Any, x: torch.Tensor) -> torch.Tensor:
    b, n, _ = x.shape
    q, k, v = m.qkv(x).view(b, n, 3, 2, 4).permute(2, 0, 3, 1, 4)
    scores = (q @ k.transpose(-2, -1)) * 4**-0.5
    scores = scores.masked_fill(torch.ones(n, n).triu(1).bool(), float("-inf"))
    return m.out((scores.softmax(-1) @ v).transpose(1, 2).contiguous().view(b, n, 8))


def fused_attention(m: Any, x: torch.Tensor) -> torch.Tensor:
    q, k, v = (one.unflatten(-1, (2, 4)).transpose(1, 2) for one in m.qkv(x).chunk(3, -1))
    found = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return m.out(found.transpose(1, 2).flatten(2))


def odds_and_ends(m: Any, x: torch.Tensor) -> torch.Tensor:
    x = x.clone() if x.is_leaf else x
    x *= 2
    a, b = m.first(x).split([3, 5], -1)
    a = F.pad(torch.tanh(-2.0 * a), (1, 1))
    b = b.clone()
    b -= 0.5 * a
    b[:, 0] = 0
    out = torch.zeros(len(x), 10)
    out = out.to(x.dtype)
    out[:, 5:] = b / (1 + b.abs().sum())
    out[:, :5] += torch.where(torch.arange(5) < 3, a, 0.0)
    c = torch.einsum("bi,ji->bj", out, m.second.weight)
    c.mul_(torch.tensor([1.0, 0, 1, 1]))
    return torch.stack([c.amax(1), c.max(1).values, (c**3).mean(-1), c.std(1, keepdim=True)[:, 0]])


#: A model without normalisation, and inputs for it.
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[torch.Tensor, ...]]] = {
    "squeeze and excite": (
        lambda: Function(
            squeeze_and_excite,
            first=nn.Conv2d(3, 6, 3),
            down=linear(6, 3),
            up=linear(3, 6),
            last=nn.Conv2d(6, 4, 1),
        ),
        (normal(32, 3, 5, 5),),
    ),
    "gated linear unit": (
        lambda: nn.Sequential(linear(6, 10), nn.GLU(), linear(5, 3)),
        (normal(64, 6),),
    ),
    "bilinear gate": (
        lambda: Function(
            lambda m, x: m.out(torch.tanh(m.a(x)) * m.b(x)),
            a=linear(6, 5),
            b=linear(6, 5),
            out=linear(5, 3),
        ),
        (normal(64, 6),),
    ),
    "shifted gate": (
        lambda: Function(
            lambda m, x: m.out(m.a(x) * (1 + m.b(x))),
            a=linear(6, 5),
            b=linear(6, 5),
            out=linear(5, 3),
        ),
        (normal(64, 6),),
    ),
    "attention": (
        lambda: Function(attention, qkv=linear(6, 24), out=linear(8, 5)),
        (normal(16, 4, 6),),
    ),
    "fused attention": (
        lambda: Function(fused_attention, qkv=linear(6, 24), out=linear(8, 5)),
        (normal(16, 4, 6),),
    ),
    "multi-head attention": (
        lambda: Function(
            lambda m, x, ignored: m.out(m.heads(x, x, x, key_padding_mask=ignored)[0]),
            heads=nn.MultiheadAttention(8, 2, batch_first=True),
            out=linear(8, 5),
        ),
        (normal(16, 4, 8), torch.arange(4).expand(16, 4) == 3),
    ),
    "cross attention": (
        lambda: Function(
            lambda m, x, y: m.heads(x, y, y, need_weights=False)[0],
            heads=nn.MultiheadAttention(8, 2, kdim=6, vdim=6, bias=False),
        ),
        (normal(3, 16, 8), normal(4, 16, 6)),
    ),
    "tied weights": (
        lambda: Function(
            lambda m, x: F.linear(m.out(torch.tanh(m.a(x))), m.a.weight.t()),
            a=linear(6, 5),
            out=linear(5, 5),
        ),
        (normal(64, 6),),
    ),
    "transposed": (
        lambda: nn.Sequential(
            *(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Tanh()),
            *(nn.ConvTranspose2d(4, 3, 2, stride=2), nn.Upsample(scale_factor=2)),
            *(nn.Conv2d(3, 3, 3, groups=3, padding=1, padding_mode="circular"), nn.Flatten()),
        ),
        (normal(8, 2, 4, 4),),
    ),
    "one dimension": (
        lambda: nn.Sequential(
            *(nn.Conv1d(3, 6, 3, dilation=2), nn.GELU(), nn.MaxPool1d(2, padding=1)),
            *(nn.Conv1d(6, 4, 3, padding="same", groups=2), nn.AdaptiveMaxPool1d(2)),
            *(nn.Flatten(), nn.PReLU(), linear(8, 3)),
        ),
        (normal(128, 3, 9),),
    ),
    "words": (
        lambda: Function(
            lambda m, ids: m.out(
                torch.tanh(m.table(ids[:, :4]) + m.places(torch.arange(ids.shape[1]))).mean(1)
            ),
            table=nn.Embedding(7, 5),
            places=nn.Embedding(4, 5),
            out=linear(5, 3),
        ),
        (torch.arange(12).view(3, 4) % 7,),
    ),
    "odds and ends": (
        lambda: Function(odds_and_ends, first=linear(6, 8), second=linear(10, 4)),
        (normal(64, 6),),
    ),
}


@pytest.mark.parametrize("density", [0.1, 0.25, 0.5, 1])
@pytest.mark.parametrize("kind", sorted(MODELS))
@pytest.mark.slow
def test_as_gradients_say(kind: str, density: float) -> None:
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
def test_networks_with_functions_as_gradients_say(kind: str) -> None:
    build, shape = torch_models.NETWORKS[kind]
    model = build()
    for density in (0.1, 0.4):
        masks = random_masks(model, density, 1)
        expected = by_gradients(model, masks, normal(64, *shape))
        found = sft.effective_density(model, masks, inputs=(1, *shape))
        torch_models.assert_same(found.masks, expected)


# ------------------------------------------------------------------------- gates and constants


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


def laid_out_anew(b: torch.Tensor) -> torch.Tensor:
    larger = torch.maximum(torch.full((5, len(b)), -9.0), b.t())
    larger.view(-1)[: len(b)] = 1.0
    return larger.t()


#: Of five activations a gate of as many, which is other than zero where the activations are.
GATES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
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
    "a difference that is nothing": lambda b: b - 0.0,
    "padded": lambda b: F.pad(b[:, :3], (0, 2), value=1.0),
    "padded by zero": lambda b: F.pad(b[:, :3], (0, 2)),
    "written": written,
    "written through views": written_through_views,
    "written through a view of what was laid out anew": laid_out_anew,
    "joined": lambda b: torch.cat([b[:, :3], torch.ones(len(b), 2)], 1),
    "joined to integers": lambda b: torch.cat([b[:, :3], torch.eye(2).long().repeat(32, 1)], 1),
    "where": lambda b: torch.where(torch.arange(5) < 3, b, torch.ones(5)),
    "where, of zeros": lambda b: torch.where(torch.arange(5) < 3, torch.zeros(5), b),
    "where, of a number": lambda b: torch.where(torch.arange(5) < 3, 2.0, b),
    "filled": lambda b: b.masked_fill(torch.arange(5) < 3, 1.0),
    "filled with zeros": lambda b: b.masked_fill(torch.arange(5) < 3, 0.0),
    "filled, then opened": lambda b: b.masked_fill(torch.arange(5) < 3, 0.0).exp(),
    "filled after it was opened": lambda b: b.exp().masked_fill(torch.arange(5) < 3, 0.0),
    "largest of some": lambda b: (
        b.masked_fill(torch.arange(5) < 3, -torch.inf).amax(1, keepdim=True).expand(-1, 5)
    ),
    "cosine": torch.cos,
    "to the power of zero": lambda b: b**2 + b**0,
}


@pytest.mark.parametrize("kind", sorted(GATES))
def test_a_constant_opens_a_gate_however_it_is_spelled(kind: str) -> None:
    model = Function(
        lambda m, x: m.out(torch.tanh(m.a(x)) * GATES[kind](m.b(x))),
        a=linear(6, 5),
        b=linear(6, 5),
        out=linear(5, 3),
    )
    for seed in range(6):
        masks = random_masks(model, 0.2, seed)
        found = sft.effective_density(model, masks, inputs=(64, 6))
        torch_models.assert_same(found.masks, by_gradients(model, masks, normal(64, 6)))


def test_parameters_without_masks_open_as_factors_and_not_as_terms() -> None:
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


# ------------------------------------------------------------------------- what attention ignores

LOOK = torch.tensor([[True, False, False], [True, True, False], [True, True, True]])
CLOSING = torch.zeros(3, 3).masked_fill(~LOOK, -torch.inf)


def smallest(x: torch.Tensor) -> torch.Tensor:
    return torch.zeros(3, 3, dtype=x.dtype).masked_fill(~LOOK, torch.finfo(x.dtype).min)


def scored(mask: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda m, q, k, v: mask(q @ k.transpose(1, 2)).softmax(-1) @ v


def softmax_by_hand(scores: torch.Tensor) -> torch.Tensor:
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True)


def by_heads(**options: Any) -> Callable[..., torch.Tensor]:
    return lambda m, q, k, v: m.heads(q, k, v, **options)[0]


fused = F.scaled_dot_product_attention
#: Attention that at the second of three positions looks at the first two.
ATTENTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "causal": lambda m, q, k, v: fused(q, k, v, is_causal=True),
    "bools": lambda m, q, k, v: fused(q, k, v, attn_mask=LOOK),
    "infinities": lambda m, q, k, v: fused(q, k, v, attn_mask=CLOSING.to(q.dtype)),
    "smallest numbers": lambda m, q, k, v: fused(q, k, v, attn_mask=smallest(q)),
    "added": scored(lambda s: s + CLOSING),
    "added, then scaled": scored(lambda s: (s + smallest(s)) / 2 * 0.5),
    "subtracted": scored(lambda s: s - 1e9 * (~LOOK).to(s.dtype)),
    "filled": scored(lambda s: s.masked_fill(~LOOK, -1e4)),
    "where": scored(lambda s: torch.where(LOOK, s, torch.full_like(s, -torch.inf))),
    "where, of a number": scored(lambda s: torch.where(LOOK, s, -torch.inf)),
    "by hand": lambda m, q, k, v: softmax_by_hand(q @ k.transpose(1, 2) + CLOSING) @ v,
    "heads, bools": by_heads(attn_mask=~LOOK),
    "heads, infinities": lambda m, q, k, v: m.heads(q, k, v, attn_mask=CLOSING.to(q.dtype))[0],
    "heads, by key": lambda m, q, k, v: m.heads(
        q, k, v, key_padding_mask=~LOOK[1].expand(len(q), 3)
    )[0],
    "heads, numbers by key": lambda m, q, k, v: m.heads(
        q, k, v, key_padding_mask=CLOSING[1].to(q.dtype).expand(len(q), 3)
    )[0],
}


@pytest.mark.parametrize("kind", sorted(ATTENTIONS))
def test_what_attention_ignores_is_on_no_path(kind: str) -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        # Projections of each position's own, of which an output at one tells.
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


# ------------------------------------------------------------------------- numbers


class Imprecise(TorchDispatchMode):
    """Convolutions that are off by a little, as fast ones are, and all that is seen of types."""

    def __init__(self, error: float = 0.0) -> None:
        super().__init__()
        self.error = error
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = str(func)
        if "mm" in name or "convolution" in name:
            self.dtypes |= {one.dtype for one in args if isinstance(one, torch.Tensor)}
        if "convolution_backward" in name:
            return tuple(None if one is None else one + self.error for one in out)
        return out + self.error if "convolution" in name else out


def test_counts_of_fast_convolutions_are_rounded() -> None:
    build, shape = torch_models.NETWORKS["LeNet-5"]
    model = build()
    masks = random_masks(model, 0.05, 1)
    expected = sft.effective_density(model, masks, inputs=(1, *shape))
    assert expected.effective < expected.kept
    for error in (0.01, -0.01):
        with Imprecise(error):
            found = sft.effective_density(model, masks, inputs=(1, *shape))
        torch_models.assert_same(found.masks, expected.masks)


def test_counts_are_in_single_precision() -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return m.b(m.a(x))

    model = Function(forward, a=linear(4, 3), b=linear(3, 2))
    with torch.autocast("cpu", torch.bfloat16), Imprecise() as seen:
        assert sft.effective_density(model, inputs=(1, 4)).density == 1
    assert seen.dtypes == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_default_type_does_not_matter(dtype: torch.dtype) -> None:
    torch.set_default_dtype(dtype)
    try:
        for build, inputs in (MODELS["odds and ends"], MODELS["words"], MODELS["fused attention"]):
            model = build()
            masks = random_masks(model, 0.3, 0)
            found = sft.effective_density(model, masks, inputs=inputs)
            if dtype == torch.float64:
                torch_models.assert_same(found.masks, by_gradients(model, masks, *inputs))
            assert found.effective
        seen = []

        def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.dtype)
            whole = torch.zeros(len(x), 3)
            whole[:, :2] = m.a(x)
            return m.b(whole)

        model = Function(forward, a=linear(3, 2), b=linear(3, 1))
        assert sft.effective_density(model, inputs=(1, 3)).effective == 8
        assert seen == [torch.float32]
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_part_that_is_compiled_is_not_compiled_anew() -> None:
    def backend(graph: Any, inputs: Any) -> Any:
        raise AssertionError("compiled")

    model = nn.Sequential(linear(3, 2), torch.compile(linear(2, 2), backend=backend))
    assert sft.effective_density(model, inputs=(1, 3)).density == 1


# ------------------------------------------------------------------------- normalisations


def test_a_transformer_as_gradients_say() -> None:
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


# ------------------------------------------------------------------------- the caller's model


def test_the_model_is_left_as_it_was() -> None:
    model = torch_models.resnet18()
    pruning = sft.prune(model, method="random", sparsity=0.9)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    sft.apply(model, pruning, optimizer)
    model.train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    model[3].conv1.weight.grad = torch.ones_like(model[3].conv1.weight)
    before = [
        *(torch_models.bits(one) for one in model.state_dict().values()),
        *((module.training) for module in model.modules()),
        *((id(one), id(one.grad), one.requires_grad) for one in model.parameters()),
        torch.get_rng_state().tolist(),
    ]
    found = sft.effective_density(model, inputs=(2, 3, 16, 16))
    assert found.kept == pruning.keep
    after = [
        *(torch_models.bits(one) for one in model.state_dict().values()),
        *((module.training) for module in model.modules()),
        *((id(one), id(one.grad), one.requires_grad) for one in model.parameters()),
        torch.get_rng_state().tolist(),
    ]
    assert before == after


def test_masks_are_a_result_those_applied_or_all() -> None:
    model = torch_models.mlp()
    pruning = sft.prune(model, method="random", sparsity=0.7)
    expected = str(sft.effective_density(model, pruning, inputs=(1, 6)))
    assert sft.effective_density(model, inputs=(1, 6)).density == 1
    arrays = {name: mask.numpy() for name, mask in pruning.masks.items()}
    assert str(sft.effective_density(model, arrays, inputs=(1, 6))) == expected
    sft.apply(model, pruning)
    assert str(sft.effective_density(model, inputs=(1, 6))) == expected
    found = sft.effective_density(model, inputs=(1, 6))
    x = normal(5, 6)
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.bias.zero_()
        before = model(x)
        sft.apply(model, found.masks)
        assert torch.equal(model(x), before)


def test_inputs_are_what_the_model_takes() -> None:
    model = Function(lambda m, x, scale=None: m.a(x), a=linear(3, 2))
    counts = [
        sft.effective_density(model, inputs=inputs).effective
        for inputs in (
            *(torch.zeros(1, 3), (1, 3), [1, 3], (torch.zeros(1, 3), None)),
            *(torch.Size([1, 3]), tuple(np.array([1, 3]))),
        )
    ]
    assert counts == [6] * 6
    named = Function(lambda m, x: m.a(x), a=linear(3, 2))
    named.forward = lambda *, x: {"logits": [named.a(x)], "other": 3}
    assert sft.effective_density(named, inputs={"x": torch.zeros(1, 3)}).effective == 6
    half = linear(3, 2).half()
    assert sft.effective_density(half, inputs=torch.zeros(1, 3).half()).effective == 6


def test_an_output_that_does_not_depend_on_the_input_has_no_path() -> None:
    model = Function(lambda m, x: m.a.weight.sum(0), a=linear(3, 2))
    found = sft.effective_density(model, inputs=(1, 3))
    assert (found.kept, found.effective) == (6, 0)


def test_a_path_does_not_begin_at_a_constant() -> None:
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


def test_a_path_does_not_begin_at_a_constant_that_is_written_in_part() -> None:
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


def test_a_gate_that_is_never_zero_lets_others_pass() -> None:
    def count(gate: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, int]:
        model = Function(
            lambda m, x: m.out(x * gate(m.gate(x))), gate=linear(2, 2), out=linear(2, 1)
        )
        masks = {"gate.weight": torch.zeros(2, 2).bool(), "out.weight": torch.ones(1, 2).bool()}
        return sft.effective_density(model, masks, inputs=(1, 2)).effective

    assert count(torch.tanh) == count(F.relu) == 0
    assert count(torch.sigmoid) == count(lambda g: g.softmax(-1)) == count(lambda g: 1 + g) == 2
    assert count(lambda g: 1 / g) == count(lambda g: g.exp() / g.relu()) == 2


def test_other_memory_formats() -> None:
    model = torch_models.resnet18()
    masks = random_masks(model, 0.2, 0)
    expected = str(sft.effective_density(model, masks, inputs=(1, 3, 16, 16)))
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    assert str(sft.effective_density(last, masks, inputs=(1, 3, 16, 16))) == expected


# ------------------------------------------------------------------------- what is not known


class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * 2


def without_gradients(m: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return m.a(x)


@pytest.mark.parametrize(
    ("forward", "named"),
    [
        (lambda m, x: m.a(x).sort(-1).values, r"torch\.Tensor\.sort"),
        (lambda m, x: m.a(x) * (m.a(x) > 0), r"torch\.Tensor\.gt"),
        (lambda m, x: m.a(x) * m.a(x).sum().item(), r"torch\.Tensor\.item"),
        (lambda m, x: torch.fft.fft(m.a(x)).real, "fft"),
        (lambda m, x: m.a(x).long(), r"torch\.Tensor\.long"),
        (lambda m, x: m.a(x).to(torch.int32), r"torch\.Tensor\.to"),
        (lambda m, x: m.a(x).prod(-1), r"torch\.Tensor\.prod"),
        (lambda m, x: F.interpolate(m.a(x)[None, None], (4, 4), mode="bicubic"), "interpolate"),
        (lambda m, x: F.max_pool1d(m.a(x)[None], 2, dilation=2), "max_pool1d"),
        (lambda m, x: m.rnn(m.a(x)[None])[0], "lstm"),
        (lambda m, x: Own.apply(m.a(x)) + 1, "in a custom autograd function"),
        (without_gradients, "without gradients"),
        (lambda m, x: Own.apply(m.a(x)), "custom autograd function"),
        (lambda m, x: F.linear(x, m.a.weight, m.a(x)[0]), r"functional\.linear|_C\._nn\.linear"),
        (lambda m, x: torch.addmm(m.a(x)[0], x, m.a.weight), r"torch\.addmm"),
        (lambda m, x: F.layer_norm(x, (4,), None, m.a(x)[0]), "layer_norm"),
        (lambda m, x: m.a.weight.clone().add_(x), r"torch\.Tensor\.add_"),
        (lambda m, x: m.a.weight.clone().copy_(x), r"torch\.Tensor\.copy_"),
        (
            lambda m, x: torch.batch_norm(x, *torch.ones(4, 4), False, 0, 1, False),
            "batch_norm",
        ),
        (lambda m, x: F.pad(m.a.weight, (1, 1), value=1) @ F.pad(x, (1, 1))[0], "pad"),
        (lambda m, x: F.linear(x, m.a.weight.sigmoid()), r"torch\.Tensor\.sigmoid"),
        (lambda m, x: m.a(x).copy_(m.a(x)) + torch.ones(4).long().view(4).copy_(x[0]), "integers"),
    ],
)
def test_what_is_not_known_is_an_error_that_names_it(
    forward: Callable[..., Any], named: str
) -> None:
    model = Function(forward, a=linear(4, 4), rnn=nn.LSTM(4, 4))
    masks = {"a.weight": torch.ones(4, 4).bool()}
    with pytest.raises(sf.UnsupportedTypeError, match=named):
        sft.effective_density(model, masks, inputs=(1, 4))


def test_bad_masks_and_inputs_are_refused() -> None:
    model = torch_models.mlp()
    with pytest.raises(sf.StructureError, match="no parameter 'x'"):
        sft.effective_density(model, {"x": torch.ones(1).bool()}, inputs=(1, 6))
    with pytest.raises(sf.ShapeError, match=r"masks\['0.weight'\]"):
        sft.effective_density(model, {"0.weight": torch.ones(1).bool()}, inputs=(1, 6))
    with pytest.raises(sf.StructureError, match="no masks"):
        sft.effective_density(model, {}, inputs=(1, 6))
    with pytest.raises(sf.StructureError, match=r"inputs must be a tensor.* not NoneType"):
        sft.effective_density(model, inputs=None)
    with pytest.raises(sf.StructureError, match="not ndarray"):
        sft.effective_density(model, inputs=np.ones((1, 6), np.float32))
    with pytest.raises(sf.ShapeError, match=r"empty tensor, of shape \(0, 6\)"):
        sft.effective_density(model, inputs=(0, 6))
    with pytest.raises(sf.ShapeError, match="empty tensor"):
        sft.effective_density(model, inputs=torch.zeros(0, dtype=torch.int64))
    with pytest.raises(sf.UnsupportedTypeError, match="Module, not function"):
        sft.effective_density(lambda x: x, inputs=(1, 6))
    with pytest.raises(sf.UnsupportedTypeError, match="inputs=ids, a tensor of integers"):
        sft.effective_density(nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 3)), inputs=(1, 6))
    with pytest.raises(sf.StructureError, match="returns no tensor, but NoneType"):
        sft.effective_density(Function(lambda m, x: None, a=linear(2, 2)), inputs=(1, 2))


# ------------------------------------------------------------------------- shuffle and invert


@pytest.mark.slow
def test_masks_of_a_model_are_shuffled_as_the_native_ones() -> None:
    model = torch_models.resnet18().to(memory_format=torch.channels_last)
    pruning = sft.prune(model, method="random", sparsity=0.7)
    arrays = {name: mask.numpy() for name, mask in pruning.masks.items()}
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    scores = {name: one.detach().abs().bfloat16() for name, one in sft.prunable(model).items()}
    floats = {name: np.ascontiguousarray(one.float().numpy()) for name, one in scores.items()}
    for found, expected in (
        (sft.shuffle(pruning, 3), checks.shuffle(contiguous, 3)),
        (sft.invert(pruning, seed=3), checks.invert(contiguous, seed=3)),
        (sft.invert(pruning.masks, scores=scores), checks.invert(contiguous, scores=floats)),
    ):
        assert {name: mask.tolist() for name, mask in found.items()} == {
            name: mask.tolist() for name, mask in expected.items()
        }
        sft.apply(model, found)
        assert sum(int((one != 0).sum()) for one in sft.prunable(model).values()) <= pruning.keep
    sft.apply(model, checks.shuffle(contiguous))  # arrays do, too


def test_masks_of_a_model_that_are_none_are_refused() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match=r"masks\['a'\] must be a tensor of bools"):
        sft.shuffle({"a": torch.ones(3)})
    with pytest.raises(sf.StructureError, match="mapping of names"):
        sft.invert([torch.ones(3).bool()])
    with pytest.raises(sf.StructureError, match="scores lack 'a'"):
        sft.invert({"a": torch.ones(3).bool()}, scores={"b": torch.ones(3)})
