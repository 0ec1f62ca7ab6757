"""When `swiftforce.torch` selects on the device of the parameters, and how it refuses there.

The parameters lie on the CPU here: `on_device` makes the search run as on another device.
"""

from __future__ import annotations

from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from device_steps import on_device  # noqa: E402
from swiftforce.torch.device import search as device_search  # noqa: E402
from swiftforce.torch.device import selection as device_selection  # noqa: E402
from swiftforce.torch.device.choice import computes_as_core, selects_on_device  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import batches, bits, mlp  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


# ------------------------------------------------------------------------------ errors


def test_a_weight_that_is_not_finite_is_named_and_all_is_restored() -> None:
    model, data = mlp(), batches()
    with torch.no_grad():
        model[0].weight[3, 2] = torch.inf
    before = bits(model[0].weight)
    texts = []
    for forced in (False, True):
        for options in ({"method": "force", "steps": 2}, {"method": "random"}):
            with on_device(forced=forced), pytest.raises(sf.NonFiniteError) as raised:
                sft.prune(model, data, cross_entropy, keep=9, **options)  # type: ignore[arg-type]
            texts.append(str(raised.value))
            assert bits(model[0].weight) == before
    assert texts[:2] == texts[2:]
    assert texts[0].startswith("weights['0.weight'] has 1 value that is not finite; the first, inf")


def test_a_gradient_that_is_not_finite_is_named() -> None:
    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        output.register_hook(lambda slope: slope * torch.inf)
        return cross_entropy(output, target)

    model, texts = mlp(), []
    before = bits(model[0].weight)
    for forced in (False, True):
        with on_device(forced=forced), pytest.raises(sf.NonFiniteError) as raised:
            sft.force(model, batches(), loss, keep=9, steps=2)
        texts.append(str(raised.value))
        assert bits(model[0].weight) == before
    assert texts[0] == texts[1]
    assert texts[0].startswith("gradients['0.weight'] has ")


@pytest.mark.parametrize(
    "options",
    [
        {"sparsity": 1.5},
        {"keep": 0},
        {"keep": 10, "sparsity": 0.5},
        {},
        {"keep": 10, "steps": 0},
        {"keep": 10, "schedule": [5, 20]},
        {"keep": 10, "schedule": "no such"},
        {"keep": 10, "nested_from": 3},
        {"keep": 10, "momentum": 1},
        {"keep": 10, "removed_factor": 0.5},
        {"keep": 10, "method": "force", "nested_from": 9, "steps": 4},
        {"keep": 10, "seed": -1, "method": "random"},
        {"keep": 1.5, "method": "grasp"},
        {"method": "grasp"},
    ],
)
def test_arguments_are_refused_in_the_same_words(options: dict[str, Any]) -> None:
    texts = []
    for forced in (False, True):
        with on_device(forced=forced), pytest.raises(sf.SwiftForceError) as raised:
            sft.prune(mlp(), batches(), cross_entropy, **{"method": "iterative_snip", **options})
        texts.append((type(raised.value), str(raised.value)))
    assert texts[0] == texts[1]


def test_parameters_that_share_memory_are_refused() -> None:
    model = mlp()
    memory = torch.randn(100)
    model[0].weight = nn.Parameter(memory[:48].view(8, 6))
    model[2].weight = nn.Parameter(memory[40:72].view(4, 8))
    texts = []
    for forced in (False, True):
        with on_device(forced=forced), pytest.raises(sf.OverlapError) as raised:
            sft.force(model, batches(), cross_entropy, keep=9, steps=2)
        texts.append(str(raised.value))
    assert texts[0] == texts[1]


# ------------------------------------------------------------------------------ the choice


@pytest.mark.parametrize(
    "options",
    [
        {"allocation": "uniform"},
        {"allocation": "global"},
        {"allocation": sf.Allocation(cost={"*": 2})},
        {"pattern": "outputs"},
        {"saliency": "squared_gradient"},
        {"rule": "nested"},
        {"checkpoint": "search.safetensors"},
    ],
    ids=str,
)
def test_the_core_does_what_the_device_cannot(options: dict[str, Any], tmp_path: Any) -> None:
    if "checkpoint" in options:
        options = {"checkpoint": tmp_path / options["checkpoint"]}
    with on_device() as ran:
        sft.prune(mlp(), batches(), cross_entropy, method="force", sparsity=0.5, steps=2, **options)
    assert ran == ["core"]


def test_the_core_does_searches_by_scores_of_the_caller_s_own() -> None:
    model = mlp()

    def scores(masked: nn.Module) -> dict[str, torch.Tensor]:
        return {name: masked.get_parameter(name).detach() for name in sft.prunable(masked)}

    with on_device() as ran:
        pruning = sft.prune(
            model, method="iterative_snip", saliency="given", scores=scores, keep=20, steps=2
        )
    assert (ran, pruning.keep) == (["core"], 20)


def test_a_device_without_memory_leaves_the_model_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, steps = mlp(), []

    def full(*args: Any, **options: Any) -> Any:
        steps.append(len(steps))
        if len(steps) == 2:
            assert not same_weights()  # They are masked.
            raise torch.OutOfMemoryError("out of memory")
        return device_selection.select(*args, **options)

    def same_weights() -> bool:
        return list(map(bits, model.parameters())) == before

    before = list(map(bits, model.parameters()))
    monkeypatch.setattr(device_search, "select", full)
    with on_device() as ran, pytest.raises(torch.OutOfMemoryError):
        sft.force(model, batches(), cross_entropy, sparsity=0.5, steps=3)
    assert (ran, len(steps)) == (["device"], 2)
    assert same_weights()


def test_parameters_on_the_cpu_and_those_without_values_go_to_the_core() -> None:
    own = {"w": nn.Parameter(torch.ones(3))}
    empty = {"v": nn.Parameter(torch.ones(3, device="meta"))}
    with torch._subclasses.FakeTensorMode() as mode:
        fake = {"w": nn.Parameter(mode.from_tensor(torch.ones(3)))}
    for forced in (False, True):
        with on_device(forced=forced):
            assert selects_on_device(own, is_plain=True) is forced
            assert not selects_on_device(own, is_plain=False)
            for other in (empty, fake, {**own, **empty}, {}):
                assert not selects_on_device(other, is_plain=True)


def test_a_device_must_compute_as_the_core_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert computes_as_core.__wrapped__("cpu")
    # There are no such devices here, or they hold no values.
    assert not computes_as_core.__wrapped__("meta")
    assert not computes_as_core.__wrapped__("mps")
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor always keeps subnormal numbers")
    try:
        assert not computes_as_core.__wrapped__("cpu")
    finally:
        torch.set_flush_denormal(False)
