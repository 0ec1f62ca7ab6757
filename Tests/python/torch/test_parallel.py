"""Models in DistributedDataParallel, in one process: its hooks and those of masks work together.

Tests with several processes are in test_ranks.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from torch import distributed, nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402
from torch_models import assert_same, batches, bits, mlp, random_masks  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

OPTIONS: dict[str, Any] = {"loss": cross_entropy, "sparsity": 0.7, "steps": 4}


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A process group of one process."""
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for x, y in batches():
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("method", ["force", "grasp", "synflow"])
def test_a_wrapped_model_has_the_masks_of_the_model_inside(method: str) -> None:
    options = {**OPTIONS, "method": method}
    if method == "grasp":
        options["steps"] = None
    inner = mlp()
    wrapped = DistributedDataParallel(inner)
    before = [bits(one) for one in inner.parameters()]
    found = sft.prune(wrapped, batches(), **options)
    assert_same(found.masks, sft.prune(mlp(), batches(), **options).masks)
    assert [bits(one) for one in inner.parameters()] == before
    train(wrapped, torch.optim.SGD(wrapped.parameters(), lr=0.1))  # The wrapper still works.
    assert [bits(one) for one in inner.parameters()] != before


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("view", [False, True], ids=["copies", "bucket views"])
def test_a_wrapped_model_keeps_its_removed_weights_at_zero(when: str, view: bool) -> None:
    plain, inner = mlp(), mlp()
    masks = random_masks(inner)
    if when == "before":
        sft.apply(inner, masks)
    wrapped = DistributedDataParallel(inner, gradient_as_bucket_view=view)
    if when == "after":
        sft.apply(wrapped, masks)
    sft.apply(plain, masks)
    for model in (wrapped, plain):
        train(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    assert [bits(one) for one in inner.parameters()] == [bits(one) for one in plain.parameters()]
    assert not inner[0].weight[~masks["0.weight"]].any()
    assert not inner[0].weight.grad[~masks["0.weight"]].any()
    assert_same(sft.masks(wrapped), masks)


@pytest.mark.usefixtures("group")
@pytest.mark.slow
def test_a_wrapped_model_that_is_compiled_is_pruned() -> None:
    compiled = torch.compile(DistributedDataParallel(mlp()), backend="eager")
    found = sft.prune(compiled, batches(), **OPTIONS)
    assert_same(found.masks, sft.prune(mlp(), batches(), **OPTIONS).masks)
    sft.apply(compiled, found)
    train(compiled, torch.optim.SGD(compiled.parameters(), lr=0.1, momentum=0.9))
    assert_same({name: one != 0 for name, one in sft.prunable(compiled).items()}, found.masks)
