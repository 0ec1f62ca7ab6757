"""Models in DistributedDataParallel: one mask for all ranks, and hooks that live together.

One process is a group of one; what several would do is left to a communicator that plays the
others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from swiftforce.torch import ranks as ranks_module  # noqa: E402
from torch import distributed, nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402
from torch_models import assert_same, batches, bits, mlp, random_masks  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

OPTIONS: dict[str, Any] = {"loss": cross_entropy, "sparsity": 0.7, "steps": 4}


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone."""
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


class Twin:
    """A communicator of two ranks, the other of which does and holds the same as this one."""

    rank, size = 0, 2

    def __init__(self) -> None:
        self.sums = 0

    def sum_integers(self, array: np.ndarray) -> None:
        # What a rank left at zero, it left for the other.
        array[...] = np.where(array == 0, array.max(), 2 * array) if array.size == 2 else 2 * array
        if array.size == 2:
            array[0] //= 2

    def sum_floats(self, array: np.ndarray) -> None:
        self.sums += 1
        array *= 2

    def offset(self, count: int) -> int:
        raise AssertionError("a search of copies has no shards")


def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for x, y in batches():
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()


# ------------------------------------------------------------------------------ one process


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
    train(wrapped, torch.optim.SGD(wrapped.parameters(), lr=0.1))  # the wrapper is not confused
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
def test_a_wrapped_model_that_is_compiled_is_pruned() -> None:
    compiled = torch.compile(DistributedDataParallel(mlp()), backend="eager")
    found = sft.prune(compiled, batches(), **OPTIONS)
    assert_same(found.masks, sft.prune(mlp(), batches(), **OPTIONS).masks)
    sft.apply(compiled, found)
    train(compiled, torch.optim.SGD(compiled.parameters(), lr=0.1, momentum=0.9))
    assert_same({name: one != 0 for name, one in sft.prunable(compiled).items()}, found.masks)


# ------------------------------------------------------------------------------ several


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize(
    "compiled",
    [
        False,
        pytest.param(
            True,
            marks=pytest.mark.xfail(
                strict=True,
                reason="only a wrapper that is outermost is seen: each rank finds its own mask",
            ),
        ),
    ],
)
def test_ranks_of_a_wrapped_model_search_together(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OfTwo(ranks_module.TorchCommunicator):
        def __init__(self, group: object) -> None:
            super().__init__(group)
            self.size = 2

    monkeypatch.setattr(ranks_module, "TorchCommunicator", OfTwo)
    model = DistributedDataParallel(mlp())
    if compiled:
        model = torch.compile(model, backend="eager")
    assert ranks_module.ranks_of(model, None) is not None


def test_two_ranks_with_the_same_batches_find_what_one_finds() -> None:
    communicator = Twin()
    data = batches(dtype=torch.float64)
    found = sft.prune(mlp().double(), data, communicator=communicator, **OPTIONS)
    assert_same(found.masks, sft.prune(mlp().double(), data, **OPTIONS).masks)
    alone = sft.prune(mlp().double(), data, **OPTIONS)
    norms = ([step.gradient_norm for step in one.history] for one in (found, alone))
    assert next(norms) == pytest.approx(next(norms))  # a mean, not a sum
    assert communicator.sums == 4 * 2  # of each parameter, at each step


def test_ranks_with_other_weights_are_told_so() -> None:
    class Stranger(Twin):
        def sum_integers(self, array: np.ndarray) -> None:
            if array.size == 2:
                array[1] = array[0] + 1

    model = mlp()
    before = [bits(one) for one in model.parameters()]
    with pytest.raises(sf.RanksDifferError, match="weights of rank 1 differ"):
        sft.prune(model, batches(), communicator=Stranger(), **OPTIONS)
    assert [bits(one) for one in model.parameters()] == before
