"""Errors of torch get a sentence in front where the package can tell more."""

from __future__ import annotations

from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from delicate_models import Delicate  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import batches  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def prune(model: nn.Module, data: Any = None, **options: Any) -> Any:
    given = {"loss": cross_entropy, "sparsity": 0.5, "steps": 3, **options}
    return sft.prune(model, data or batches(), **given)


class Writes(nn.Module):
    def __init__(self, write: Any) -> None:
        super().__init__()
        self.body, self.write, self.kept = torch_models.mlp(), write, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.write(self, x)


def in_place(model: Any, x: torch.Tensor) -> torch.Tensor:
    model.body[0].weight.mul_(0.5)
    return model.body(x)


def exponential(model: Any, x: torch.Tensor) -> torch.Tensor:
    found = model.body(x).exp()
    return found.add_(1) if found.requires_grad else found


def keeps(model: Any, x: torch.Tensor) -> torch.Tensor:
    model.kept = model.body(x).sum() + (0 if model.kept is None else model.kept)
    return model.body(x) + model.kept


def inferred(model: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        constant = torch.ones(5)
    return model.body(x) * constant


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (in_place, "writes a parameter in place"),
        (exponential, "writes a tensor in place"),
        (keeps, "detach what is kept"),
        (inferred, "torch.inference_mode"),
    ],
)
def test_what_the_model_does_is_told(write: Any, words: str) -> None:
    with pytest.raises(sf.StructureError, match=words) as caught:
        prune(Writes(write))
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_dtypes_that_differ_are_told() -> None:
    data = [(x.double(), y) for x, y in batches()]
    with pytest.raises(sf.UnsupportedTypeError, match=r"of torch.float32 on a batch of .*float64"):
        prune(torch_models.mlp(), data)


def test_an_error_of_the_caller_passes() -> None:
    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"^mine$"):
        prune(Delicate(), [(torch.ones(2, 8), torch.zeros(2).long())], loss=loss)
