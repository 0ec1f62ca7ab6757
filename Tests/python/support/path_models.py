"""Models for effective density, and the weights on a path that real gradients show.

In a model whose numbers are drawn at random, the weights on a path are those that the output has a
nonzero gradient with respect to, for some input.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from unittest import mock

import swiftforce.torch as sft
import torch
import torch_models
from torch import nn
from torch.nn import functional as F  # noqa: N812

Masks = torch_models.Masks


def random_masks(model: nn.Module, density: float, seed: int) -> Masks:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(one.shape, generator=generator) < density
        for name, one in sft.prunable(model).items()
    }


def by_gradients(model: nn.Module, masks: Masks, *inputs: torch.Tensor) -> Masks:
    """The kept weights that the output has a nonzero gradient with respect to; biases are zero.

    Real rectifiers may block each other for every input, and a pixel may never be the maximum of
    its window, so ReLU and max pooling are replaced; normalisations are left out.
    """
    copied = copy.deepcopy(model).double().eval()
    generator = torch.Generator().manual_seed(0)
    parameters = dict(copied.named_parameters())
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
        output = copied(*(one.double() if one.is_floating_point() else one for one in inputs))
    end = (output * torch.randn(output.shape, generator=generator, dtype=torch.float64)).sum()
    if not end.requires_grad:
        return {name: torch.zeros_like(mask) for name, mask in masks.items()}
    found = torch.autograd.grad(end, [parameters[name] for name in masks], materialize_grads=True)
    return {name: mask & (one != 0) for (name, mask), one in zip(masks.items(), found, strict=True)}


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


class Function(nn.Module):
    """Layers, and the forward function of the caller."""

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


def various_functions(m: Any, x: torch.Tensor) -> torch.Tensor:
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


#: Models without normalisation, and inputs for them.
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
    "various functions": (
        lambda: Function(various_functions, first=linear(6, 8), second=linear(10, 4)),
        (normal(64, 6),),
    ),
}
