"""Allocations and patterns of models: output units where each module has them, in any format."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import axes_oracle
import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_rank  # noqa: E402
from axes_oracle import Bounds  # noqa: E402
from oracle import assert_same_masks  # noqa: E402
from ranks import Group, Member, results  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]


class Conv1D(nn.Module):
    """The linear layer of GPT-2 in transformers, whose weight is (inputs, outputs)."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf = nf
        self.weight, self.bias = nn.Parameter(torch.randn(nx, nf)), nn.Parameter(torch.zeros(nf))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + self.bias


#: The axis of output units of each weight, and that of inputs.
AXES = {"0": (0, 1), "2": (1, 0), "5": (1, 0), "7": (0, 1)}


def model(seed: int = 0, dtype: torch.dtype = torch.float32, *, last: bool = True) -> nn.Sequential:
    """With weights of few values, so that many scores are equal."""
    torch.manual_seed(seed)
    made = nn.Sequential(
        *(nn.Conv2d(4, 6, 3), nn.Tanh(), nn.ConvTranspose2d(6, 4, (1, 2)), nn.Tanh()),
        *(nn.Flatten(), Conv1D(8, 4 * 4 * 5), nn.Tanh(), nn.Linear(8, 3)),
    )
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(torch.round(weight * 16) / 16)
    return made.to(dtype, memory_format=torch.channels_last if last else torch.contiguous_format)


def batches(dtype: torch.dtype = torch.float32) -> list[Any]:
    generator = torch.Generator().manual_seed(3)
    return [
        (
            torch.randn(6, 4, 6, 6, generator=generator).to(dtype),
            torch.randint(3, (6,), generator=generator),
        )
        for _ in range(3)
    ]


def weights_of(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: one.detach() for name, one in sft.prunable(net).items()}


def order_of(weight: torch.Tensor) -> list[int]:
    return sorted(range(weight.dim()), key=lambda axis: -weight.stride(axis))


def in_memory(weight: torch.Tensor, like: torch.Tensor) -> np.ndarray:
    """The elements in the order in which the memory of a weight has them."""
    return weight.permute(order_of(like)).float().numpy()


def axes_of(name: str, weight: torch.Tensor) -> tuple[int, int]:
    """Where output and input units are counted, in the order of memory."""
    output, beside = AXES[name[0]]
    return order_of(weight).index(output), order_of(weight).index(beside)


def bounds_of(net: nn.Module, options: dict[str, Any]) -> list[Bounds]:
    bounds = []
    for name, weight in weights_of(net).items():
        shape = in_memory(weight, weight).shape
        bounds.append(axes_oracle.bounds_of(options, name, shape, axes_of(name, weight)[0]))
    return bounds


def found_masks(net: nn.Module, found: sft.ModelPruning) -> list[np.ndarray]:
    weights = weights_of(net)
    return [in_memory(mask, weights[name]) != 0 for name, mask in found.masks.items()]


BOUNDS: dict[str, dict[str, Any]] = {
    "floors": {"floor_per_output": 2},
    "caps": {"cap_per_output": {"0.*": 5, "*": 0.25}},
    "n_m": {"n_m": (1, 4)},
    "all": {"floor_per_output": 1, "n_m": (2, 4), "cap": {"5.weight": 30}},
}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("kind", BOUNDS)
def test_masks_of_the_greedy_loop(kind: str, dtype: str, last: bool) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    net = model(dtype=getattr(torch, dtype), last=last)
    options = BOUNDS[kind]
    found = sft.prune(net, method="magnitude", keep=100, allocation=sf.Allocation(**options))
    scores = [np.abs(in_memory(one, one)) for one in weights_of(net).values()]
    expected = axes_oracle.greedy(scores, 100, bounds_of(net, options))
    assert_same_masks(found_masks(net, found), expected.masks)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("score", ["sum", "mean"])
@pytest.mark.parametrize("pattern", ["outputs", "inputs", "kernels", (2, 1)])
def test_masks_of_the_loop_over_units(pattern: Any, score: str, last: bool) -> None:
    net = model(last=last)
    scores = [np.abs(in_memory(one, one)) for one in weights_of(net).values()]
    units = [
        axes_oracle.unit_numbers(s.shape, pattern, *axes_of(name, one))
        for (name, one), s in zip(weights_of(net).items(), scores, strict=True)
    ]
    for keep in (1, 120, 500):
        found = sft.prune(net, method="magnitude", keep=keep, pattern=sf.Pattern(pattern, score))
        expected = axes_oracle.best_units(scores, units, keep, mean=score == "mean")
        assert_same_masks(found_masks(net, found), expected)


def test_an_output_axis_of_the_caller() -> None:
    net = model()
    options = {"output_axis": {"0.weight": 1, "7.weight": -1}, "floor_per_output": 3}
    found = sft.prune(net, method="magnitude", keep=110, allocation=sf.Allocation(**options))
    masks = {name: mask.int() for name, mask in found.masks.items()}
    assert masks["0.weight"].sum((0, 2, 3)).min() >= 3
    assert masks["7.weight"].sum(0).min() >= 3
    assert masks["2.weight"].sum((0, 2, 3)).min() >= 3
    assert masks["5.weight"].sum(0).min() >= 3


def test_two_of_four_in_the_rows_of_a_linear_layer() -> None:
    """As the semi-structured tensors of torch want it; without a sparsity exactly two."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 8))
    data = [(torch.randn(8, 32), torch.randint(8, (8,)))]
    for amount in ({}, {"sparsity": 0.8}):
        found = sft.prune(
            net,
            data,
            functional.cross_entropy,
            steps=4,
            allocation=sf.Allocation(n_m=(2, 4)),
            **amount,
        )
        for mask in found.masks.values():
            groups = mask.reshape(mask.shape[0], -1, 4).sum(2)
            assert groups.max() <= 2
            assert amount or groups.min() == 2
        assert found.keep == (128 if amount else 320)


@pytest.mark.parametrize("method", ["force", "iterative_snip", "force_nested", "grasp_it"])
@pytest.mark.parametrize("kind", ["floors", "n_m"])
def test_every_step_of_a_search(kind: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = model()
    bounds, seen = bounds_of(net, BOUNDS[kind]), []
    step = sf.MaskSearch.step

    def noted(self: Any, *arguments: Any, **named: Any) -> sf.Step:
        done = step(self, *arguments, **named)
        shapes = [in_memory(one, one).shape for one in weights_of(net).values()]
        pairs = zip(self.masks.values(), shapes, strict=True)
        seen.append(axes_oracle.respected([mask.reshape(shape) for mask, shape in pairs], bounds))
        return done

    monkeypatch.setattr(sf.MaskSearch, "step", noted)
    found = sft.prune(
        net,
        batches(),
        functional.cross_entropy,
        method=method,
        sparsity=0.9,
        steps=3,
        allocation=sf.Allocation(**BOUNDS[kind]),
    )
    assert seen == [True] * 3
    assert axes_oracle.respected(found_masks(net, found), bounds)


@pytest.mark.parametrize("method", ["grasp", "synflow", "snip", "random"])
def test_methods_of_models(method: str) -> None:
    net = model()
    options: dict[str, Any] = {"method": method, "steps": 5 if method == "synflow" else None}
    call = (net, batches(), functional.cross_entropy)
    bounds = bounds_of(net, {"floor_per_output": 1})
    allocation = sf.Allocation("uniform", floor_per_output=1)
    found = sft.prune(*call, sparsity=0.9, allocation=allocation, **options)
    assert axes_oracle.respected(found_masks(net, found), bounds)
    sizes = [one.numel() for one in weights_of(net).values()]
    counts = [layer.kept for layer in found.layers]
    assert sum(counts) == round(sum(sizes) / 10)
    units = [one.shape[AXES[name[0]][0]] for name, one in weights_of(net).items()]
    ranges = list(zip(units, sizes, strict=True))
    assert axes_oracle.follows_shares(counts, [float(n) for n in sizes], [np.e] * 4, ranges)
    whole = sft.prune(*call, sparsity=0.7, pattern="outputs", **options)
    for name, mask in whole.masks.items():
        rows = mask.movedim(AXES[name[0]][0], 0).flatten(1)
        assert (rows.all(1) == rows.any(1)).all()
    assert found.allocation == allocation
    assert whole.pattern == sf.Pattern("outputs")


def test_a_refusal_leaves_the_model_unchanged() -> None:
    net = model()
    before = copy.deepcopy(net.state_dict())
    call = (net, batches(), functional.cross_entropy)
    for options, text in (
        ({"keep": 9, "allocation": sf.Allocation(floor_per_output=1)}, "the floors demand 21"),
        ({"keep": 9, "allocation": {"0": 3}}, "leave out|no tensor is called"),
        ({"keep": 9, "pattern": "outputs", "allocation": sf.Allocation(cap=3)}, "single weights"),
        (
            {"keep": 99, "allocation": sf.Allocation(floor={"5.weight": 10_000})},
            "5.weight.*10000 weights must be kept, and at most 640",
        ),
    ):
        with pytest.raises(sf.BoundsError, match=text):
            sft.prune(*call, steps=2, **options)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.stride() == before[name].stride()


# ------------------------------------------------------------------------------ checkpoints


class StoppedError(Exception):
    """What stops a search on the way."""


@pytest.mark.parametrize(
    "options",
    [
        {"sparsity": 0.9, "allocation": sf.Allocation("erk", floor_per_output=1)},
        {"allocation": sf.Allocation({"5.*": 0.05, "*": 10}, n_m=(2, 4))},
        {"sparsity": 0.7, "pattern": "outputs", "allocation": "uniform"},
    ],
)
def test_a_checkpoint_goes_on(options: dict[str, Any], tmp_path: Path) -> None:
    calls: list[int] = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 4:
            raise StoppedError
        return functional.cross_entropy(output, target)

    more = {"steps": 6, "method": "force", "checkpoint": tmp_path / "c"}
    whole = sft.prune(
        model(), batches(), functional.cross_entropy, **{**more, "checkpoint": None}, **options
    )
    with pytest.raises(StoppedError):
        sft.prune(model(), batches(), loss, **more, **options)
    for changed in ({"allocation": "erk", "sparsity": 0.9}, {"pattern": "inputs", "sparsity": 0.7}):
        with pytest.raises(sf.SearchFileError, match="is of another search"):
            sft.prune(model(), batches(), functional.cross_entropy, **more, **changed)
    found = sft.prune(model(), batches(), functional.cross_entropy, **more, **options)
    for name, mask in whole.masks.items():
        assert torch.equal(found.masks[name], mask)
    assert (found.allocation, found.pattern) == (whole.allocation, whole.pattern)
    assert [step.layer_kept for step in found.history] == [s.layer_kept for s in whole.history]


# ------------------------------------------------------------------------------ ranks


def test_copies_of_a_model_find_the_masks_of_one() -> None:
    options = {"loss": functional.cross_entropy, "steps": 3, "sparsity": 0.8}
    options["allocation"] = sf.Allocation("erk", floor_per_output=1)
    nets = [torch_rank.model() for _ in range(2)]

    def work(member: Member) -> sft.ModelPruning:
        own = torch_rank.share(member.rank, 2)
        return sft.prune(nets[member.rank], own, communicator=member, **options)

    alone = sft.prune(torch_rank.model(), torch_rank.batches(), **options)
    for found in results(Group(2).run(work)):
        for name, mask in alone.masks.items():
            assert torch.equal(found.masks[name], mask)


def test_ranks_that_ask_for_other_allocations_are_refused() -> None:
    nets = [torch_rank.model() for _ in range(2)]

    def work(member: Member) -> sft.ModelPruning:
        allocation = sf.Allocation(floor_per_output=member.rank)
        return sft.prune(
            nets[member.rank],
            torch_rank.share(member.rank, 2),
            functional.cross_entropy,
            steps=2,
            sparsity=0.8,
            allocation=allocation,
            communicator=member,
        )

    assert [type(one) for one in Group(2).run(work)] == [sf.StructureError] * 2


# ------------------------------------------------------------------------------ smaller models


def test_output_units_make_a_smaller_model() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(
        *(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 12, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 20), nn.ReLU(), nn.Linear(20, 4)),
    ).double()
    x = torch.randn(5, 3, 9, 9, dtype=torch.float64)
    data = [(x, torch.randint(4, (5,)))]
    found = sft.prune(
        net, data, functional.cross_entropy, steps=4, sparsity=0.5, pattern="outputs", exclude="9.*"
    )
    sft.apply(net, found)
    net.eval()
    small = sft.compact(net, x, inference=True)
    torch.testing.assert_close(small(x), net(x))
    widths = [found.masks[f"{place}.weight"].flatten(1).any(1).sum().item() for place in (0, 3, 7)]
    shapes = [tuple(small.get_submodule(place).weight.shape) for place in ("0", "3", "7")]
    assert all(shape[0] <= width for shape, width in zip(shapes, widths, strict=True))
    dense = sum(one.numel() for one in net.parameters())
    # Input channels of what was removed go, too.
    assert sum(one.numel() for one in small.parameters()) < 0.5 * dense
