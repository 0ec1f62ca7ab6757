"""The number of samples in a batch, whatever it is made of."""

from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from swiftforce.torch.batch_parts import size_of, with_tensors  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

Pair = namedtuple("Pair", "x y")


@dataclass
class Sample:
    image: torch.Tensor
    label: int = 0


class Graphs:
    """A batch of graphs, as PyG has it: nodes of all graphs in one tensor."""

    def __init__(self, count: int) -> None:
        self.x, self.num_graphs = torch.ones(9, 2), count


def images(count: int) -> list[torch.Tensor]:
    return [torch.ones(3, 8, 8) for _ in range(count)]


def texts(*lengths: int) -> list[torch.Tensor]:
    return [torch.ones(length, dtype=torch.long) for length in lengths]


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (torch.ones(6, 2), 6),
        ((torch.ones(3, 2), torch.ones(5)), 3),
        ([torch.ones(3, 2), torch.ones(3, 2)], 3),
        ([torch.ones(3, 2), torch.ones(3, 2), torch.ones(3)], 3),
        (Pair(torch.ones(4, 2), torch.ones(4)), 4),
        ((images(5), [{"boxes": torch.ones(2, 4)} for _ in range(5)]), 5),
        ((images(3), list(torch.ones(3))), 3),
        ((images(1), list(torch.ones(1))), 1),
        ((images(4), torch.ones(4)), 4),
        (([torch.ones(4, 2), torch.ones(4, 7)], torch.ones(4)), 4),
        ((texts(5, 7), torch.ones(2)), 2),
        (texts(5, 7, 2), 3),
        ([{"image": torch.ones(3, 8, 8), "label": 1} for _ in range(5)], 5),
        ([Sample(torch.ones(3, 8, 8)) for _ in range(4)], 4),
        ([(torch.ones(3, 8, 8), 1) for _ in range(4)], 4),
        (Sample(torch.ones(7, 3)), 7),
        (Graphs(4), 4),
        ({"mask": None, "ids": torch.ones(4, 9)}, 4),
        (UserDict(ids=torch.ones(4, 9)), 4),
        ({"inner": {"ids": torch.ones(5, 9)}}, 5),
        ({"images": images(5), "labels": torch.ones(5)}, 5),
        ((["a text", "another"], torch.ones(2)), 2),
        ((torch.tensor(1.0), [torch.ones(7)]), 7),
    ],
)
def test_the_number_of_samples(batch: Any, size: int) -> None:
    assert size_of(batch) == size


@pytest.mark.parametrize(
    "batch", [images(4), ([torch.ones(8), torch.ones(8)], None), object(), 3, (1.5, None)]
)
def test_an_unknown_number_is_an_error_that_says_what_to_do(batch: Any) -> None:
    with pytest.raises(sf.BatchesError, match=r"return \(loss, number of samples\)"):
        size_of(batch)


def test_a_batch_without_samples_is_named() -> None:
    with pytest.raises(sf.BatchesError, match=r"no samples \(a tensor of shape \(0, 2\)\)"):
        size_of((torch.ones(0, 2), torch.ones(0)))


def test_batch_loss_may_say_the_number_of_samples() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 2, bias=False).double()
    x = torch.randn(4, 4, dtype=torch.float64)

    def loss(net: nn.Module, rows: Any) -> tuple[torch.Tensor, int]:
        return net(torch.stack(rows)).square().mean(), len(rows)

    options = {"batch_loss": loss, "method": "snip", "sparsity": 0.5}
    whole = sft.prune(model, [list(x)], **options)
    split = sft.prune(model, [list(x[:3]), list(x[3:])], batches_per_step=2, **options)
    assert torch.equal(whole.masks["weight"], split.masks["weight"])
    assert whole.history[0].gradient_norm == pytest.approx(split.history[0].gradient_norm)


@pytest.mark.parametrize(
    "batch",
    [
        {"a": torch.ones(2), "b": 3},
        OrderedDict(a=torch.ones(2)),
        UserDict(a=torch.ones(2)),
        Sample(torch.ones(2)),
        Pair(torch.ones(2), [torch.ones(2)]),
    ],
)
def test_tensors_are_replaced_in_a_batch_of_the_same_type(batch: Any) -> None:
    changed = with_tensors(batch, lambda one: one + 1)
    assert type(changed) is type(batch)
    first = changed[0] if isinstance(changed, tuple) else getattr(changed, "image", None)
    assert (changed["a"] if first is None else first).tolist() == [2, 2]
    before = batch[0] if isinstance(batch, tuple) else getattr(batch, "image", None)
    assert (batch["a"] if before is None else before).tolist() == [1, 1]
