"""SynFlow, compared with the algorithm of its paper."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import oracle  # noqa: E402
import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from delicate_models import WIDTH, Checkpointed  # noqa: E402
from torch import nn  # noqa: E402
from torch_models import Masks, assert_same, batches, matrices, named  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def plain_synflow(model: nn.Module, shape: tuple[int, ...], keep: int, steps: int) -> Masks:
    """Algorithm 1 of Tanaka et al., in float64."""
    copied = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for value in copied.state_dict().values():
            value.abs_()
    weights = matrices(copied)
    dense = {name: value.detach().clone() for name, value in weights.items()}
    masks = [np.ones(tuple(value.shape), bool) for value in dense.values()]
    n = sum(value.numel() for value in dense.values())
    for k in oracle.schedule_keeps("exponential", n, keep, steps):
        with torch.no_grad():
            for (name, value), mask in zip(weights.items(), masks, strict=True):
                value.copy_(dense[name] * torch.from_numpy(mask))
        copied.zero_grad()
        copied(torch.ones(1, *shape, dtype=torch.float64)).sum().backward()
        scores = [(dense[name] * value.grad).numpy() for name, value in weights.items()]
        masks = oracle.select(scores, k, masks)
    return named(dense, masks)


def with_statistics(model: nn.Module) -> nn.Module:
    """The model with statistics and scales of both signs."""
    torch.manual_seed(8)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, -1, 1)
            nn.init.uniform_(module.bias, -1, 1)
    return model


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (torch_models.mlp(), (6,)),
        (torch_models.lenet5(), (1, 16, 16)),
        (with_statistics(torch_models.vgg11()), (3, 32, 32)),
        (with_statistics(torch_models.resnet18()), (3, 16, 16)),
    ],
    ids=["mlp", "LeNet-5", "VGG11", "ResNet18"],
)
@pytest.mark.slow
def test_synflow_is_the_algorithm_of_its_paper(model: nn.Module, shape: tuple[int, ...]) -> None:
    size = sum(value.numel() for value in matrices(model).values())
    keep = oracle.keep_count(size, 0.9)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    found = sft.prune(model, batches(shape), method="synflow", keep=keep, steps=12)
    assert_same(found.masks, plain_synflow(model, shape, keep, 12))
    assert found.method == "synflow"
    assert sum(step.revived for step in found.history) == 0
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reentrant", [False, True])
def test_synflow_computes_again_with_the_same_weights_under_checkpoints(
    reentrant: bool, dtype: torch.dtype
) -> None:
    class Plain(Checkpointed):
        def between(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)

    masks = []
    for kind in (Checkpointed, Plain):
        torch.manual_seed(0)
        model = kind(reentrant=reentrant).to(dtype)
        inputs = [torch.zeros(2, WIDTH, dtype=dtype)]
        masks.append(sft.prune(model, inputs, method="synflow", sparsity=0.7, steps=10).masks)
    for name, mask in masks[1].items():
        assert torch.equal(masks[0][name], mask), name


def test_synflow_takes_a_hundred_steps_by_default() -> None:
    assert sft.prune(torch_models.mlp(), batches(), method="synflow", sparsity=0.5).steps == 100


def test_synflow_uses_only_the_shape_of_the_data() -> None:
    images = [image for image, _ in batches((1, 16, 16))]
    options = {"method": "synflow", "sparsity": 0.9, "steps": 5}
    some = sft.prune(torch_models.lenet5(), images, **options)
    other = sft.prune(torch_models.lenet5(), iter([torch.full_like(images[0], np.nan)]), **options)
    assert_same(some.masks, other.masks)


def test_synflow_takes_biases_absolute() -> None:
    """A large negative bias would make a unit zero; its absolute value does not."""
    model = torch_models.mlp()
    options = {"method": "synflow", "sparsity": 0.5, "steps": 3}
    with torch.no_grad():
        model[0].bias.fill_(5)
    positive = sft.prune(model, batches(), **options).masks
    with torch.no_grad():
        model[0].bias.fill_(-5)
    assert_same(sft.prune(model, batches(), **options).masks, positive)


def test_synflow_does_not_overflow_on_a_deep_network() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(32, 32, bias=False) for _ in range(60)]
    for layer in layers:
        nn.init.normal_(layer.weight, std=1)
    model = nn.Sequential(*layers)
    flow = torch.ones(1, 32)
    for layer in layers:
        flow = flow @ layer.weight.abs().T
    assert flow.isinf().all()  # what float32 comes to
    found = sft.prune(model, [torch.ones(1, 32)], method="synflow", sparsity=0.9, steps=4)
    assert_same(found.masks, plain_synflow(model, (32,), found.keep, 4))


# ------------------------------------------------------------------------------ how it is called


@dataclass
class Output:
    """What models of Hugging Face return."""

    loss: torch.Tensor | None
    logits: torch.Tensor
    hidden: torch.Tensor


class Keywords(nn.Module):
    """A model that takes keywords and returns a dataclass, a dict or a tensor."""

    def __init__(self, returns: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(6, 7), nn.Linear(7, 5)
        self.returns = returns

    def forward(self, *, values: torch.Tensor, mask: torch.Tensor | None = None) -> Any:
        hidden = self.body(values).relu()
        logits = self.head(hidden)
        if self.returns == "dataclass":
            return Output(logits.sum() * 9, logits, hidden)
        return {"loss": hidden.sum(), "out": logits} if self.returns == "dict" else logits


@pytest.mark.parametrize("returns", ["dataclass", "dict", "tensor"])
@pytest.mark.parametrize("how", ["keywords", "batch_loss"])
def test_models_that_take_keywords_and_return_several_tensors(returns: str, how: str) -> None:
    batch = {"values": torch.randn(3, 6), "mask": torch.ones(3, dtype=torch.long)}
    options: dict[str, Any] = {"method": "synflow", "sparsity": 0.6, "steps": 5}
    if how == "batch_loss":
        options["batch_loss"] = lambda model, given: model(**given)["no loss is computed"]
    model = Keywords(returns)
    plain = nn.Sequential(model.body, nn.ReLU(), model.head)
    expected = sft.prune(plain, [batch["values"]], method="synflow", sparsity=0.6, steps=5)
    found = sft.prune(model, [batch], **options)
    for mask, other in zip(found.masks.values(), expected.masks.values(), strict=True):
        assert torch.equal(mask, other)


def test_a_batch_loss_that_does_not_call_the_model_is_refused() -> None:
    with pytest.raises(sf.StructureError, match="did not call"):
        sft.prune(
            torch_models.mlp(),
            batches(),
            batch_loss=lambda model, batch: model[0](batch[0]).sum(),
            method="synflow",
            sparsity=0.5,
        )


def test_token_ids_are_named() -> None:
    model = nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 5))
    ids = {"input_ids": torch.zeros(2, 3, dtype=torch.long)}
    with pytest.raises(sf.UnsupportedTypeError, match=r"only torch.int64: for token ids"):
        sft.prune(model, [ids], method="synflow", sparsity=0.5)
