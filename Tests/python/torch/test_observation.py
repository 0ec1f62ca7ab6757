"""The first forward pass tells what types and names do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch_models import CLASSES, assert_same, batches  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


class Raw(nn.Module):
    """A matrix of its own, used in some way, before a linear layer."""

    def __init__(self, use: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.own = nn.Parameter(torch.randn(6, 6))
        self.head = nn.Linear(6, CLASSES)
        self.use = use

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.use(x, self.own))


#: Ways to multiply by a matrix.
PRODUCTS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "matmul": lambda x, w: x @ w,
    "linear": F.linear,
    "einsum": lambda x, w: torch.einsum("bi,io->bo", x, w),
    "transposed": lambda x, w: x @ w.t().contiguous(),
    "slice": lambda x, w: torch.cat([x @ w[:, :3], x @ w[:, 3:]], 1),
    "cast": lambda x, w: (x.double() @ w.double()).float(),
    "scaled": lambda x, w: x @ (w * 0.1),
    "normalised": lambda x, w: F.linear(x, F.normalize(w, dim=1)),
    "convolution": lambda x, w: F.conv1d(x[..., None], w[..., None])[..., 0],
    "batched": lambda x, w: torch.bmm(x[None], w[None])[0],
    "quantised": lambda x, w: x @ torch.fake_quantize_per_tensor_affine(w, 0.1, 3, -128, 127),
    "gathered": lambda x, w: x @ w[torch.arange(6)],
    "modulated": lambda x, w: (x[:, None] @ (w * x.mean(1)[:, None, None]))[:, 0],
}
#: Ways in which it is no matrix of a product.
OTHERS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "added": lambda x, w: x + w[: len(x)],
    "factor": lambda x, w: (x[:, None] * w)[:, 0],
    "exponential": lambda x, w: x * torch.exp(w).sum(0),
    "standardised": lambda x, w: x @ (w - w.mean(0)),
    "softmax": lambda x, w: x @ w.softmax(0),
    "joined": lambda x, w: torch.cat([x, w])[: len(x)],
}


@pytest.mark.parametrize("way", PRODUCTS)
def test_what_products_multiply_by_is_searched(way: str) -> None:
    found = sft.prune(Raw(PRODUCTS[way]), batches(), F.cross_entropy, method="snip", sparsity=0.5)
    assert list(found.masks) == ["own", "head.weight"]


@pytest.mark.parametrize("way", OTHERS)
@pytest.mark.filterwarnings("ignore::swiftforce.PartlySearchedWarning")
def test_what_they_do_not_is_left_out(way: str) -> None:
    found = sft.prune(Raw(OTHERS[way]), batches(), F.cross_entropy, method="snip", sparsity=0.5)
    assert list(found.masks) == ["head.weight"]


def test_include_searches_what_is_computed_and_warns() -> None:
    model = Raw(OTHERS["standardised"])
    options: dict[str, Any] = {"method": "snip", "sparsity": 0.5, "include": ["own", "head.weight"]}
    with pytest.warns(sf.MasksLostWarning, match=r"^own: the layer computes its weight from"):
        found = sft.prune(model, batches(), F.cross_entropy, **options)
    assert list(found.masks) == ["own", "head.weight"]


def test_what_no_batch_reaches_stays() -> None:
    model = Raw(lambda x, w: x)
    assert list(sft.prunable(model)) == ["own", "head.weight"]


def test_looking_changes_neither_the_model_nor_the_batches() -> None:
    data = batches(sizes=(6,) * 4)
    options: dict[str, Any] = {"loss": F.cross_entropy, "sparsity": 0.5, "steps": 4}
    found = sft.prune(Raw(PRODUCTS["matmul"]), data, **options)
    assert_same(sft.prune(Raw(PRODUCTS["matmul"]), iter(data), **options).masks, found.masks)
    named = sft.prune(Raw(PRODUCTS["matmul"]), data, include=["own", "head.weight"], **options)
    assert_same(named.masks, found.masks)


def test_generators_are_as_before() -> None:
    data = torch.utils.data.TensorDataset(torch.randn(12, 6), torch.randint(CLASSES, (12,)))
    loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)
    right, wrong = Raw(PRODUCTS["matmul"]), Raw(lambda x, w: 1 / 0)
    before = torch.get_rng_state()
    sft.prune(right, loader, F.cross_entropy, method="snip", sparsity=0.5)
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(ZeroDivisionError):
        sft.prune(wrong, loader, F.cross_entropy, method="snip", sparsity=0.5)
    assert torch.equal(before, torch.get_rng_state())
