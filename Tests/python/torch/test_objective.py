"""Batches and their losses: each batch is used once, in order; what is not a batch is refused."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from delicate_models import Notes  # noqa: E402
from swiftforce.torch.objective import size_of  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402
from torch_models import assert_same, batches, mlp  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

Pair = namedtuple("Pair", "x y")


def prune(data: Any, **options: Any) -> sf.Pruning:
    given = {"loss": cross_entropy, "sparsity": 0.5, "steps": 4, **options}
    return sft.prune(mlp(), data, **given)


class Recording(nn.Module):
    """Records the first number of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp()
        self.notes = Notes()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.notes.taken.append(float(x[0, 0]))
        return self.body(x)


def order_seen(data: Any, **options: Any) -> list[int]:
    """The positions of the batches that the model got, in order."""
    firsts = [float(x[0, 0]) for x, _ in batches(sizes=(6,) * 5)]
    model = Recording()
    given = {"loss": cross_entropy, "sparsity": 0.5, **options}
    sft.prune(model, data, **given)
    return [firsts.index(first) for first in model.notes.taken]


def five() -> torch_models.Batches:
    return batches(sizes=(6,) * 5)


# ------------------------------------------------------------------------------ each once


def test_each_batch_is_used_once_in_order_and_then_begun_again() -> None:
    assert order_seen(five(), steps=3) == [0, 1, 2]
    assert order_seen(five(), steps=12) == [0, 1, 2, 3, 4] * 2 + [0, 1]
    assert order_seen(five(), steps=4, batches_per_step=2) == [0, 1, 2, 3, 4, 0, 1, 2]
    assert order_seen(five(), method="snip", batches_per_step=5) == [0, 1, 2, 3, 4]
    assert order_seen(five(), method="snip", batches_per_step=7) == [0, 1, 2, 3, 4, 0, 1]


def test_grasp_goes_through_its_batches_twice() -> None:
    assert order_seen(iter(five()), method="grasp", batches_per_step=3) == [0, 1, 2, 0, 1, 2]


def test_a_loader_is_begun_once_a_turn_and_not_once_a_step() -> None:
    begun = []

    class Loader:
        def __iter__(self) -> Iterator[Any]:
            begun.append(1)
            return iter(five())

    assert order_seen(Loader(), steps=10) == [0, 1, 2, 3, 4] * 2
    assert len(begun) == 2


@pytest.mark.parametrize("kind", [list, tuple, iter], ids=["list", "tuple", "iterator"])
def test_batches_may_be_any_iterable(kind: Any) -> None:
    assert order_seen(kind(five()), steps=5) == [0, 1, 2, 3, 4]


def test_a_data_loader_gives_its_batches_the_short_last_one_too() -> None:
    x, y = (torch.cat(parts) for parts in zip(*five(), strict=True))
    loader = DataLoader(TensorDataset(x, y), batch_size=8)
    by_hand = list(zip(x.split(8), y.split(8), strict=True))
    assert len(by_hand[-1][1]) == 6
    options = {"steps": 3, "batches_per_step": 4}
    assert_same(prune(loader, **options).masks, prune(by_hand, **options).masks)


@pytest.mark.parametrize("length", [3, 4])
def test_a_generator_may_end_when_the_search_does_and_no_sooner(length: int) -> None:
    data = five()
    assert order_seen((batch for batch in data), steps=5) == [0, 1, 2, 3, 4]
    with pytest.raises(sf.BatchesError, match=f"more than the {length} batches there were"):
        prune((batch for batch in data[:length]), steps=5)


@pytest.mark.parametrize("empty", [[], iter(()), DataLoader([])], ids=["list", "iter", "loader"])
def test_no_batches_at_all_are_an_error(empty: Any) -> None:
    with pytest.raises(sf.BatchesError, match="there are no batches"):
        prune(empty)


# ------------------------------------------------------------------------------ what a batch is


def of_any(model: nn.Module, batch: Any) -> torch.Tensor:
    return cross_entropy(model(batch["x"]), batch["y"])


@pytest.mark.parametrize("per_step", [1, 3])
def test_batches_may_be_anything_where_the_loss_takes_the_batch(per_step: int) -> None:
    data = batches(sizes=(6, 6, 4), dtype=torch.float64)
    options = {"method": "force", "sparsity": 0.5, "steps": 4, "batches_per_step": per_step}
    pairs = sft.prune(mlp().double(), data, loss=cross_entropy, **options)
    named = [{"name": "batch", "x": x, "y": y} for x, y in data]
    found = sft.prune(mlp().double(), named, batch_loss=of_any, **options)
    assert_same(found.masks, pairs.masks)


@pytest.mark.parametrize("made", [tuple, list, lambda pair: Pair(*pair)])
def test_a_pair_may_be_a_tuple_a_list_or_a_named_tuple(made: Any) -> None:
    data = [made(pair) for pair in batches()]
    assert_same(prune(data).masks, prune(batches()).masks)


@pytest.mark.parametrize(
    "batch",
    [torch.ones(2, 6), (torch.ones(2, 6),), (1, 2, 3), {"x": 1, "y": 2}, "xy!", None, 3],
    ids=lambda batch: type(batch).__name__,
)
def test_a_batch_that_is_not_a_pair_is_refused(batch: Any) -> None:
    with pytest.raises(sf.StructureError, match=r"\(input, target\).*batch_loss\(model, batch\)"):
        prune([batch])


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        ((torch.ones(3, 2), torch.ones(5)), 3),
        ({"mask": None, "ids": torch.ones(4, 9)}, 4),
        ((torch.tensor(1.0), [torch.ones(7)]), 7),
        (torch.ones(6, 1), 6),
    ],
)
def test_a_batch_weighs_by_its_first_tensor(batch: Any, size: int) -> None:
    assert size_of(batch) == size


@pytest.mark.filterwarnings("ignore::swiftforce.DegenerateSaliencyWarning")
def test_batches_without_a_tensor_cannot_be_averaged() -> None:
    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return model(torch.full((2, 6), float(batch))).square().mean()

    options = {"loss": None, "batch_loss": loss}
    assert prune([1, 2, 3], **options).keep == 40
    with pytest.raises(sf.BatchesError, match=r"no tensor in a batch \(a int\)"):
        prune([1, 2, 3], batches_per_step=2, **options)


def test_the_model_of_batch_loss_is_the_callers() -> None:
    model, seen = mlp(), []

    def loss(given: nn.Module, batch: Any) -> torch.Tensor:
        seen.append(given)
        return cross_entropy(given(batch[0]), batch[1])

    sft.prune(model, batches(), batch_loss=loss, sparsity=0.5, steps=2)
    assert [given is model for given in seen] == [True, True]


# ------------------------------------------------------------------------------ what a loss is


@pytest.mark.parametrize(
    ("loss", "described"),
    [
        (lambda o, y: cross_entropy(o, y, reduction="none"), r"tensor of shape \(6,\)"),
        (lambda o, y: cross_entropy(o, y).item(), "float"),
        (lambda o, y: (cross_entropy(o, y), o), "tuple of 2"),
        (lambda o, y: None, "NoneType"),
        (lambda o, y: np.float32(1), "float32"),
    ],
)
def test_a_loss_is_one_number(loss: Any, described: str) -> None:
    with pytest.raises(sf.ShapeError, match=f"one number, not a {described}"):
        prune(batches(), loss=loss)


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_a_loss_of_one_number_may_have_any_shape(shape: tuple[int, ...]) -> None:
    found = prune(batches(), loss=lambda o, y: cross_entropy(o, y).view(shape))
    assert_same(found.masks, prune(batches()).masks)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_says_so(bad: float) -> None:
    with pytest.raises(sf.NonFiniteError, match=f"the loss of a batch is {bad}") as caught:
        prune(batches(), loss=lambda o, y: cross_entropy(o, y) * bad)
    assert caught.value.tensor == "loss"


def test_grasp_says_what_to_do_about_outputs_that_cannot_be_divided() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp()

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": self.body(x)}

    def loss(output: Any, target: torch.Tensor) -> torch.Tensor:
        return cross_entropy(output["logits"], target)

    with pytest.raises(sf.StructureError, match="batch_loss"):
        sft.prune(Named(), batches(), loss=loss, method="grasp", sparsity=0.5)


@pytest.mark.parametrize("method", ["snip", "force"])
def test_a_weight_that_is_not_finite_is_named(method: str) -> None:
    model = mlp()
    with torch.no_grad():
        model[2].weight[1, 2] = float("nan")
    with pytest.raises(sf.NonFiniteError) as caught:
        sft.prune(model, batches(), loss=cross_entropy, method=method, sparsity=0.5)
    assert (caught.value.tensor, caught.value.first_index) == ("weights['2.weight']", 10)
