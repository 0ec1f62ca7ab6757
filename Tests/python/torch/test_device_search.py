"""`swiftforce.torch` selects on the device of the parameters, and finds the same masks.

The parameters lie on the CPU here: `_FORCED` makes the search run as on another device.
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from device_steps import on_device  # noqa: E402
from pretended_device import OnDevice, PretendedDevice  # noqa: E402
from swiftforce.search import planned  # noqa: E402
from swiftforce.torch.device import search as device_search  # noqa: E402
from swiftforce.torch.device.buffers import DeviceBuffers  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import NETWORKS, assert_same, batches, bits, mlp  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def both(call: Callable[[], sf.Pruning]) -> tuple[sf.Pruning, sf.Pruning]:
    """The result by the core and that on the device, with the same warnings at the same lines."""
    found = []
    for forced in (False, True):
        with on_device(forced=forced) as ran, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found.append((call(), [(str(one.message), one.filename) for one in caught]))
        assert ran == ["device" if forced else "core"]
    (core, before), (device, after) = found
    assert before == after
    assert {file for _, file in after} <= {__file__}
    return core, device


def assert_equal(core: sf.Pruning, device: sf.Pruning) -> None:
    """Assert that two results are the same but for passes, and sums in the last bits."""
    assert_same(device.masks, core.masks)
    assert (device.layers, device.seed, device.schedule) == (
        core.layers,
        core.seed,
        core.schedule,
    )
    assert (device.zeros, device.damping, device.scope) == (core.zeros, core.damping, core.scope)
    assert (device.method, len(device.history)) == (core.method, len(core.history))
    for wanted, step in zip(core.history, device.history, strict=True):
        # Of scores of either sign, such as GraSP's, the sum of all may be small beside them.
        rounding = 2**-18 * abs(wanted.saliency)
        for name, value in dataclasses.asdict(wanted).items():
            found = getattr(step, name)
            is_sum = name in {"saliency", "total_saliency", "gradient_norm", "objective"}
            assert (
                found == value
                or name == "passes"
                or (is_sum and found == pytest.approx(value, rel=2**-21, abs=rounding))
            ), name


def in_turn() -> list[tuple[str, str]]:
    """Each method with a network in turn, and the default method with each network."""
    names = list(NETWORKS)
    found = [(one, names[place % len(names)]) for place, one in enumerate(sft.methods())]
    return sorted({*found, *(("force_nested", name) for name in names)})


@pytest.mark.parametrize(("method", "network"), in_turn())
def test_every_method_finds_the_core_s_masks(method: str, network: str) -> None:
    make, shape = NETWORKS[network]
    model, data = make(), batches(shape)
    before = {name: bits(one) for name, one in model.state_dict().items()}
    options: dict[str, Any] = {"sparsity": 0.8, "method": method, "objective": False}
    if method in {"force", "iterative_snip", "grasp_it", "force_nested"}:
        options |= {"steps": 4, "objective": True}
    elif method == "synflow":
        options |= {"steps": 5}
    assert_equal(*both(lambda: sft.prune(model, data, cross_entropy, **options)))
    assert {name: bits(one) for name, one in model.state_dict().items()} == before


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("method", ["force_nested", "snip", "magnitude", "random"])
def test_other_types(method: str, dtype: Any) -> None:
    model, data = mlp().to(dtype), batches(dtype=dtype)
    steps = 3 if method == "force_nested" else None
    assert_equal(
        *both(
            lambda: sft.prune(model, data, cross_entropy, method=method, keep=20, steps=steps)  # type: ignore[arg-type]
        )
    )


def test_memory_formats() -> None:
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 5, 3), nn.Tanh(), nn.Conv2d(5, 3, 2), nn.Flatten(), nn.Linear(27, 4)
    model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    model[4].weight = nn.Parameter(model[4].weight.detach().t().contiguous().t())
    data = batches((2, 6, 6))
    core, device = both(lambda: sft.force(model, data, cross_entropy, sparsity=0.7, steps=3))
    assert_equal(core, device)
    for name, mask in device.masks.items():
        assert mask.stride() == core.masks[name].stride()


def test_it_begins_at_masks_and_leaves_them_alone() -> None:
    model, data = mlp(), batches()
    first = sft.prune(model, data, cross_entropy, method="snip", sparsity=0.3)
    before = {name: mask.clone() for name, mask in first.masks.items()}
    assert_equal(
        *both(
            lambda: sft.force(
                model, data, cross_entropy, sparsity=0.7, steps=3, initial_masks=first
            )
        )
    )
    assert_same(first.masks, before)


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.9},
        {"removed_factor": 0.5},
        {"momentum": 0.3, "removed_factor": 0},
        {"momentum": 0.5, "nested_from": 3},
    ],
    ids=str,
)
def test_damped_searches(options: dict[str, Any]) -> None:
    model, data = mlp(), batches()
    asked = {"sparsity": 0.7, "steps": 5, "objective": True, **options}
    assert_equal(*both(lambda: sft.force(model, data, cross_entropy, **asked)))


def test_gradients_in_the_memory_of_parameters() -> None:
    """A backward pass may return another parameter, which the step writes."""

    class Rotating(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *given: torch.Tensor) -> torch.Tensor:
            ctx.rotated = tuple(one.detach() for one in (*given[1:], given[0]))
            return torch.stack(given).sum()

        @staticmethod
        def backward(ctx: Any, slope: torch.Tensor) -> Any:
            return ctx.rotated

    class Three(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.weights = nn.ParameterList(torch.randn(20, 15) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return Rotating.apply(*self.weights)

    model, data = Three(), batches()
    options: dict[str, Any] = {"include": "*", "keep": 50, "steps": 3}
    assert_equal(*both(lambda: sft.force(model, data, lambda output, _: output, **options)))


def test_layers_without_a_score() -> None:
    model, data = mlp(), batches()
    with torch.no_grad():
        model[2].weight.zero_()
    core, device = both(lambda: sft.force(model, data, cross_entropy, sparsity=0.7, steps=3))
    assert device.zeros is not None and device.zeros.layers == ("0.weight", "2.weight")
    assert_equal(core, device)
    assert_equal(*both(lambda: sft.prune(model, data, cross_entropy, method="grasp", keep=30)))


def test_experts_that_keep_nothing() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.weight = nn.Parameter(
                torch.randn(3, 6, 20) * torch.tensor([1, 1, 1e-3])[:, None, None]
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.einsum("bi,eio->bo", x, self.weight)

    model, data = Experts(), batches()
    core, device = both(
        lambda: sft.prune(model, data, cross_entropy, include="*", method="magnitude", keep=60)
    )
    assert device.layers[0].lost == (2,)
    assert_equal(core, device)


# ------------------------------------------------------------------------------ what moves


def test_a_step_moves_counts_and_sums_alone() -> None:
    """With the buffers of a search, and parameters that lie on a device that is pretended."""
    sizes = {"a": 300, "b": 0, "c": 1000}
    with PretendedDevice() as device:
        parameters: Any = {name: OnDevice(torch.randn(size)) for name, size in sizes.items()}
        gradients = [OnDevice(torch.randn(size)) for size in sizes.values()]
        dense = {name: one.clone() for name, one in parameters.items()}
        buffers: Any = object.__new__(DeviceBuffers)
        buffers.dense, buffers.masked = dense, parameters
        plan = planned(
            list(sizes.values()),
            method="force_nested",
            sparsity=None,
            keep=None,
            steps=None,
            schedule=[700, 400, 100, 10],
            seed=0,
            nested_from=None,
            initial=None,
        )
        run = device_search._Run(buffers, plan, None)
        for position in (1, 2, 3, 4):
            run.step(gradients, position)
        run.objective(gradients)
    assert len(device.copied) == 9
    assert {dtype for dtype, _ in device.copied} == {torch.int64}
    assert max(count for _, count in device.copied) < 12
    kept = sum(int(one.host.count_nonzero()) for one in parameters.values())
    assert kept == 10


def test_results_lie_where_the_parameters_lie() -> None:
    model = mlp()
    with on_device():
        pruning = sft.prune(model, method="magnitude", keep=20)
    for name, mask in pruning.masks.items():
        assert (mask.device, mask.dtype) == (model.get_parameter(name).device, torch.bool)
    assert_same(copy.deepcopy(pruning).masks, pruning.masks)
    sft.apply(model, pruning)
    assert int(model[0].weight.detach().count_nonzero()) == pruning.layers[0].kept
