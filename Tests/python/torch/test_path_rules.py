"""A function without a rule is an error that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from path_models import Function, linear  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]


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
