"""Faults of the reference implementation of FORCE that swiftforce does not have.

One test per fault that concerns torch, in the order of the table in METHOD.md.
"""

from __future__ import annotations

from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy, nll_loss  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402
from torch_models import assert_same, batches, bits, mlp, reference_search  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

Loss = Any


def line(*weights: float) -> nn.Linear:
    """A linear layer of one output with these weights."""
    model = nn.Linear(len(weights), 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([weights]))
    return model


def with_gradients(*steps: list[float]) -> Loss:
    """A loss with these gradients, one list for each step."""
    turns = iter(steps)
    return lambda model, batch: (model.weight * torch.tensor([next(turns)])).sum()


ANY = [torch.ones(1)]


def test_ties_at_the_threshold_do_not_keep_more_than_k() -> None:
    model, gradients = line(1, 2, 2, 2, 3), [1.0, 1, 1, 1, 1]
    scores = model.weight.abs()[0]
    assert (scores >= scores.topk(2).values[-1]).sum() == 4  # the reference
    found = sft.prune(model, ANY, batch_loss=with_gradients(gradients), method="snip", keep=2)
    assert found.masks["weight"].tolist() == [[False, True, False, False, True]]


def test_fewer_than_k_scores_above_zero_do_not_keep_everything() -> None:
    gradients = [0.0, 0, 1, 0, 1, 0]
    with pytest.warns(sf.DegenerateSaliencyWarning, match="2 of the 4 weights kept"):
        found = sft.prune(
            line(*[1] * 6), ANY, batch_loss=with_gradients(gradients), method="snip", keep=4
        )
    assert found.masks["weight"].tolist() == [[True, True, True, False, True, False]]
    assert found.degenerate


def test_dead_weights_do_not_tie_with_live_zeros_and_return() -> None:
    loss = with_gradients([0.0, 0, 1, 1], [1.0, 1, 0, 0])
    found = sft.prune(
        line(1, 1, 1, 1), ANY, batch_loss=loss, method="iterative_snip", schedule=[2, 2]
    )
    assert found.masks["weight"].tolist() == [[False, False, True, True]]
    assert (found.history[1].revived, found.history[1].candidates) == (0, 2)


def test_nan_is_an_error_and_not_a_short_mask() -> None:
    scores = torch.tensor([1, torch.nan, 2])
    assert not (scores >= scores.topk(1).values[-1]).any()  # the reference
    model = nn.Sequential(line(1, 1, 1))

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        found = model[0].weight[0, 1]
        return model[0].weight.sum() + (found * 0).sqrt() * 0  # finite; its derivative is not

    with pytest.raises(sf.NonFiniteError) as caught:
        sft.prune(model, ANY, batch_loss=loss, method="snip", keep=1)
    found = caught.value
    assert (found.tensor, found.count, found.first_index) == ("gradients['0.weight']", 1, 1)


def test_the_number_kept_is_rounded_and_at_least_one() -> None:
    model = line(*range(1, 101))
    assert int(100 * (1 - 0.9)) == 9  # the reference
    assert sft.prune(model, method="magnitude", sparsity=0.9).keep == 10
    assert sft.prune(model, method="magnitude", sparsity=0.9999).keep == 1
    assert sft.prune(model, method="magnitude", keep=3).keep == 3


def test_the_loss_is_the_callers() -> None:
    """The reference applies nll_loss even to raw logits."""
    model, data = mlp(), batches()
    masks = [
        sft.force(model, data, loss=loss, sparsity=0.8, steps=3).masks
        for loss in (cross_entropy, nll_loss)
    ]
    assert any(not torch.equal(masks[0][name], masks[1][name]) for name in masks[0])
    wanted, _ = reference_search(model, data, method="force", sparsity=0.8, steps=3, loss=nll_loss)
    assert_same(masks[1], wanted)


class Counted(Dataset):
    """Samples that count how often they are read."""

    def __init__(self) -> None:
        self.x, self.y = batches(sizes=(23,), dtype=torch.float64)[0]
        self.read = [0] * 23

    def __len__(self) -> int:
        return len(self.read)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.read[position] += 1
        return self.x[position], self.y[position]


def test_each_sample_is_used_once_and_a_short_batch_weighs_by_its_size() -> None:
    samples = Counted()
    loader = DataLoader(samples, batch_size=5, shuffle=True)
    model = mlp().double()
    found = sft.prune(
        model, loader, loss=cross_entropy, method="snip", sparsity=0.6, batches_per_step=5
    )
    assert samples.read == [1] * 23
    whole = sft.prune(
        model, [(samples.x, samples.y)], loss=cross_entropy, method="snip", sparsity=0.6
    )
    assert_same(found.masks, whole.masks)


def test_the_network_is_not_copied() -> None:
    seen = []

    def loss(given: nn.Module, batch: Any) -> torch.Tensor:
        seen.append([one.data_ptr() for one in given.parameters()])
        return cross_entropy(given(batch[0]), batch[1])

    model = mlp()
    own = [one.data_ptr() for one in model.parameters()]
    sft.prune(model, batches(), batch_loss=loss, sparsity=0.5, steps=4)
    assert seen == [own] * 4


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_momentum_does_not_move_a_removed_weight(optimizer: str) -> None:
    options = {"SGD": {"lr": 0.1, "momentum": 0.99}, "Adam": {"lr": 0.1}}[optimizer]
    x, y = batches()[0]

    def trained(masked: Any) -> nn.Module:
        model = mlp()
        optimizing = getattr(torch.optim, optimizer)(model.parameters(), **options)
        for turn in range(6):
            optimizing.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizing.step()
            if turn == 2:
                found = sft.prune(model, method="random", sparsity=0.5)
                masked(model, found, optimizing)
        model.removed = model[0].weight[~found.masks["0.weight"]]
        return model

    def by_hooks_alone(model: nn.Module, found: sf.Pruning, _: Any) -> None:  # the reference
        for name, mask in found.masks.items():
            weight = model.get_parameter(name)
            weight.data[~mask] = 0
            weight.register_hook(lambda gradient, mask=mask: gradient * mask)

    assert trained(by_hooks_alone).removed.any()
    assert not trained(sft.apply).removed.any()


def test_the_mode_is_an_option_and_statistics_are_restored() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 4)).eval()
    model[1].running_var.uniform_(0.1, 3)
    before = [bits(one) for one in model.buffers()]
    masks = {}
    for mode in ("train", "eval"):
        options = {"method": "force", "sparsity": 0.6, "steps": 3, "mode": mode}
        masks[mode] = sft.prune(
            model, batches(), loss=cross_entropy, include=["[03].weight"], **options
        ).masks
        wanted, _ = reference_search(model, batches(), names=["0.weight", "3.weight"], **options)
        assert_same(masks[mode], wanted)
        assert not any(module.training for module in model.modules())
        assert [bits(one) for one in model.buffers()] == before
    assert any(not torch.equal(masks["train"][name], masks["eval"][name]) for name in wanted)


def test_all_kinds_of_convolution_are_pruned() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv1d(2, 3, 3), nn.Tanh(), nn.ConvTranspose1d(3, 2, 3), nn.Flatten()),
        nn.Linear(12, 4),
    )
    data = batches((2, 6))
    found = sft.force(model, data, loss=cross_entropy, sparsity=0.5, steps=3)
    assert list(found.masks) == ["0.weight", "2.weight", "4.weight"]
    wanted, _ = reference_search(model, data, method="force", sparsity=0.5, steps=3)
    assert_same(found.masks, wanted)


def test_a_tied_weight_counts_once() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    found = sft.prune(model, batches(), loss=cross_entropy, keep=10, steps=3)
    assert (found.size, found.keep) == (36, 10)
    sft.apply(model, found)
    assert model[2].weight.count_nonzero() == 10


def test_a_layer_can_be_left_out() -> None:
    model, data = mlp(), batches()
    found = sft.force(model, data, loss=cross_entropy, sparsity=0.5, steps=3, exclude="2.*")
    wanted, _ = reference_search(
        model, data, method="force", sparsity=0.5, steps=3, names=["0.weight"]
    )
    assert_same(found.masks, wanted)


def test_masks_select_and_never_multiply() -> None:
    assert (torch.tensor(torch.nan) * 0).isnan()  # the reference
    model = line(torch.nan, -1, 2)
    sft.apply(model, {"weight": torch.tensor([[False, False, True]])})
    assert bits(model.weight) == bits(torch.tensor([[0.0, 0.0, 2.0]]))
    seen = []

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        seen.append(bits(model.weight))
        return (model.weight - 1).square().sum()

    sft.prune(line(-1, -2), ANY, batch_loss=loss, schedule=[1, 1])
    assert seen[1] == bits(torch.tensor([0.0, -2.0]))  # +0, not -1 * 0
