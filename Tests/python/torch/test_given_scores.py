"""Saliencies and rules in place of those of a method, and scores of the caller's own.

`sf.prune` finds the expected masks, from gradients that torch computes in a copy of the model.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_rank  # noqa: E402
from oracle import assert_same_masks  # noqa: E402
from ranks import Group, Member  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import batches, bits, mlp  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]


@pytest.fixture
def one_rank() -> Iterator[Any]:
    """A mesh of this process alone."""
    distributed = pytest.importorskip("torch.distributed")
    if not distributed.is_available() or distributed.is_initialized():
        pytest.skip("needs a group of processes of its own")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield distributed.init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


SALIENCIES = (None, *sf.saliencies())
RULES = (None, "nested", "free", "free_then_nested")
Arrays = dict[str, np.ndarray]


def weights_of(model: nn.Module) -> Arrays:
    return {name: one.detach().numpy().copy() for name, one in sft.prunable(model).items()}


def gradients_in(model: nn.Module) -> Callable[[Arrays], Arrays]:
    """Gradients of the next batch at masked weights, in a copy of the model."""
    twin, data = copy.deepcopy(model), itertools.cycle(batches())

    def gradients(masked: Arrays) -> Arrays:
        parameters = [twin.get_parameter(name) for name in masked]
        with torch.no_grad():
            for one, array in zip(parameters, masked.values(), strict=True):
                one.copy_(torch.from_numpy(array.copy()))
        x, y = next(data)
        found = torch.autograd.grad(cross_entropy(twin(x), y), parameters)
        return {name: one.numpy() for name, one in zip(masked, found, strict=True)}

    return gradients


def own_scores() -> Callable[[nn.Module], dict[str, torch.Tensor]]:
    """Of either sign: the weight times its gradient in the next batch, of all parameters."""
    data = itertools.cycle(batches())

    def scores(model: nn.Module) -> dict[str, torch.Tensor]:
        x, y = next(data)
        cross_entropy(model(x), y).backward()
        return {name: one * one.grad for name, one in model.named_parameters()}

    return scores


def products_in(model: nn.Module) -> Callable[[Arrays], Arrays]:
    gradients = gradients_in(model)
    return lambda masked: {n: masked[n] * slope for n, slope in gradients(masked).items()}


def assert_same(found: sft.ModelPruning, expected: sf.Pruning) -> None:
    assert_same_masks({name: mask.numpy() for name, mask in found.masks.items()}, expected.masks)
    assert (found.method, found.saliency, found.rule) == (
        expected.method,
        expected.saliency,
        expected.rule,
    )
    for one, other in zip(found.history, expected.history, strict=True):
        # A sum over arrays in another order of memory may differ in its last bits.
        assert (one.keep, one.threshold, one.revived) == (
            other.keep,
            other.threshold,
            other.revived,
        )


# ------------------------------------------------------------------------- saliency and rule


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("saliency", SALIENCIES)
@pytest.mark.parametrize("method", ["force", "snip", "magnitude"])
def test_axes_are_those_of_numpy(method: Any, saliency: Any, rule: Any) -> None:
    model = mlp()
    one_shot = method != "force"
    options = {"method": method, "saliency": saliency, "rule": rule, "keep": 17, "seed": 4}
    if not one_shot:
        options |= {"steps": 6, "schedule": "cubic"}
    found = sft.prune(model, batches(), cross_entropy, **options)
    expected = sf.prune(weights_of(model), gradients_in(model), **options)
    assert_same(found, expected)


def test_a_saliency_without_gradients_needs_no_batches() -> None:
    model = mlp()
    before = bits(model[0].weight)
    found = sft.prune(model, saliency="magnitude", keep=9, steps=5)
    assert_same(found, sf.prune(weights_of(model), saliency="magnitude", keep=9, steps=5))
    assert bits(model[0].weight) == before
    with pytest.raises(sf.MissingGradientsError, match="needs batches"):
        sft.prune(model, method="magnitude", saliency="squared_gradient", keep=9)


@pytest.mark.parametrize("method", ["grasp", "synflow"])
@pytest.mark.parametrize("axis", [{"saliency": "magnitude"}, {"rule": "free"}])
def test_methods_of_torch_have_axes_of_their_own(method: Any, axis: Any) -> None:
    with pytest.raises(sf.HyperparameterError, match=f"methods of the core, which {method} is not"):
        sft.prune(mlp(), batches(), cross_entropy, method=method, keep=9, **axis)


def test_unknown_names() -> None:
    for options, text in (
        ({"saliency": "magnitud"}, "no saliency 'magnitud'; did you mean 'magnitude'"),
        ({"rule": "neste"}, "no rule 'neste'; did you mean 'nested'"),
    ):
        with pytest.raises(sf.UnknownNameError, match=text):
            sft.prune(mlp(), batches(), cross_entropy, keep=9, **options)


# ------------------------------------------------------------------------------ given scores


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rule": "nested", "schedule": "linear"},
        {"rule": "free", "method": "iterative_snip"},
        {"allocation": "erk"},
        {"allocation": sf.Allocation(floor_per_output=1)},
        {"pattern": (2, 2)},
    ],
)
def test_scores_are_those_of_numpy(options: dict[str, Any]) -> None:
    model = mlp()
    options = {"saliency": "given", "keep": 20, "steps": 6} | options
    found = sft.prune(model, scores=own_scores(), **options)
    assert_same(found, sf.prune(weights_of(model), products_in(model), **options))
    assert any(step.threshold < 0 for step in found.history)


@pytest.mark.parametrize("method", ["snip", "random"])
def test_one_step(method: Any) -> None:
    model = mlp()
    options = {"method": method, "saliency": "given", "keep": 20}
    found = sft.prune(model, scores=own_scores(), **options)
    assert_same(found, sf.prune(weights_of(model), products_in(model), **options))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_scores_of_any_type_and_memory_format(dtype: str) -> None:
    """In the memory format of numpy, for weights that have samples innermost."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, (2, 3)), nn.Conv2d(5, 4, 2))
    wanted = {n: torch.randperm(one.numel()) - 40 for n, one in sft.prunable(model).items()}
    wanted = {n: one.view(model.get_parameter(n).shape) * 2 for n, one in wanted.items()}
    wanted["1.weight"] += 1  # Without ties.
    model.to(memory_format=torch.channels_last)

    def scores(model: nn.Module) -> dict[str, torch.Tensor]:
        return {name: one.to(getattr(torch, dtype)) for name, one in wanted.items()}

    found = sft.prune(model, saliency="given", scores=scores, rule="free", keep=30, steps=3)
    expected = sf.select({name: one.float().numpy() for name, one in wanted.items()}, keep=30)
    assert_same_masks({name: mask.numpy() for name, mask in found.masks.items()}, expected)


def test_what_the_function_sees_and_what_it_leaves() -> None:
    """The masked model without gradients; afterwards, the model is as it was."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)).eval()
    model[0].weight.grad = torch.ones(8, 6)
    model[3].weight.requires_grad_(False)
    state = copy.deepcopy(model.state_dict())
    random, scores, seen = torch.get_rng_state(), own_scores(), []

    def noted(given: nn.Module) -> dict[str, torch.Tensor]:
        assert given is model and given.training and torch.is_grad_enabled()
        assert all(one.grad is None for one in given.parameters())
        seen.append(int(given[0].weight.count_nonzero() + given[3].weight.count_nonzero()))
        torch.rand(3)
        return scores(given)

    found = sft.prune(
        model, saliency="given", scores=noted, keep=10, steps=3, include=["0.weight", "3.weight"]
    )
    assert seen == [80, *(step.keep for step in found.history[:-1])]
    assert [bits(one) for one in model.state_dict().values()] == [bits(o) for o in state.values()]
    assert torch.equal(model[0].weight.grad, torch.ones(8, 6))
    assert model[3].weight.grad is None and not model[3].weight.requires_grad
    assert not model.training
    assert torch.equal(torch.get_rng_state(), random)


def test_a_search_in_eval_mode_that_begins_at_masks() -> None:
    model = mlp()
    masks = {"0.weight": torch.ones(8, 6) > 0, "2.weight": torch.arange(32).view(4, 8) < 20}
    options = {"saliency": "given", "keep": 12, "steps": 3, "rule": "nested"}
    found = sft.prune(model, scores=own_scores(), initial_masks=masks, mode="eval", **options)
    begins = {name: mask.numpy() for name, mask in masks.items()}
    expected = sf.prune(weights_of(model), products_in(model), initial_masks=begins, **options)
    assert_same(found, expected)


def test_ranks_average_their_scores() -> None:
    nets = [mlp() for _ in range(2)]
    parts = [{n: torch.randn(w.shape) for n, w in sft.prunable(nets[0]).items()} for _ in range(2)]

    def work(member: Member) -> Any:
        return sft.prune(
            nets[member.rank],
            saliency="given",
            scores=lambda model: parts[member.rank],
            keep=20,
            steps=1,
            communicator=member,
        )

    expected = sf.select({n: ((parts[0][n] + parts[1][n]) / 2).numpy() for n in parts[0]}, keep=20)
    for found in Group(2).run(work):
        assert_same_masks({name: mask.numpy() for name, mask in found.masks.items()}, expected)
    # The caller's tensors are not what is averaged in place.
    assert not torch.equal(parts[0]["0.weight"], parts[1]["0.weight"])


def test_a_rank_whose_scores_fail_makes_all_raise() -> None:
    nets = [torch_rank.model() for _ in range(2)]

    def work(member: Member) -> Any:
        return sft.prune(
            nets[member.rank],
            saliency="given",
            scores=lambda model: dict(model.named_parameters()) if member.rank else None,
            keep=20,
            communicator=member,
        )

    outcomes = [type(one) for one in Group(2).run(work)]
    assert outcomes == [sf.MissingGradientsError, sf.RankFailedError]


def test_a_checkpoint_knows_the_axes(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    path = tmp_path / "search"
    options = {"saliency": "given", "keep": 12, "steps": 4}
    whole = sft.prune(mlp(), scores=own_scores(), rule="nested", **options)
    calls, scores = itertools.count(), own_scores()

    def stopped(model: nn.Module) -> dict[str, torch.Tensor]:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return scores(model)

    with pytest.raises(KeyboardInterrupt):
        sft.prune(mlp(), scores=stopped, rule="nested", checkpoint=path, **options)
    for other in ({"rule": "free"}, {}):
        with pytest.raises(sf.SearchFileError, match="rule"):
            sft.prune(mlp(), scores=scores, checkpoint=path, **options, **other)
    found = sft.prune(mlp(), scores=scores, rule="nested", checkpoint=path, **options)
    assert_same_masks(
        {name: mask.numpy() for name, mask in found.masks.items()},
        {name: mask.numpy() for name, mask in whole.masks.items()},
    )
    assert (found.saliency, found.rule, found.history) == ("given", "nested", whole.history)


# ---------------------------------------------------------------------------- what is refused


def test_scores_of_a_sharded_model_are_refused(one_rank: Any) -> None:
    from torch.distributed.tensor import Shard, distribute_tensor

    model = mlp()
    model[0].weight = nn.Parameter(distribute_tensor(model[0].weight.data, one_rank, [Shard(0)]))
    with pytest.raises(sf.UnsupportedTypeError, match="saliency='given' does not work on sharded"):
        sft.prune(model, saliency="given", scores=own_scores(), keep=9, include="0.weight")


def test_arguments_that_contradict_each_other() -> None:
    data = {"batches": batches(), "loss": cross_entropy}
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({}, sf.MissingGradientsError, r"pass a function scores\(model\)"),
        ({"scores": own_scores(), **data}, sf.HyperparameterError, "batches has no use"),
        ({"scores": own_scores(), "batch_loss": len}, sf.HyperparameterError, "batch_loss has no"),
        (
            {"scores": own_scores(), "batches_per_step": 2},
            sf.HyperparameterError,
            "batches_per_step has no use",
        ),
        ({"scores": own_scores(), "objective": True}, sf.HyperparameterError, "objective is for"),
        ({"scores": own_scores(), "momentum": 0.5}, sf.HyperparameterError, "momentum must be 0"),
        ({"scores": own_scores(), "temperature": 2.0}, sf.HyperparameterError, "grasp"),
        ({"scores": own_scores(), "saliency": None}, sf.HyperparameterError, "saliency='given'"),
        ({"scores": own_scores(), "method": "grasp"}, sf.HyperparameterError, "grasp is not"),
    ]
    for options, error, text in cases:
        with pytest.raises(error, match=text):
            sft.prune(mlp(), **({"saliency": "given", "keep": 9} | options))


def test_scores_that_are_refused() -> None:
    model = mlp()
    before = [bits(one) for one in model.parameters()]
    good = {name: one.detach().clone() for name, one in model.named_parameters()}
    bad = good["2.weight"].clone()
    bad[1, 2] = torch.inf
    cases: list[tuple[Any, type[Exception], str]] = [
        (None, sf.MissingGradientsError, "returned None"),
        (list(good.values()), sf.StructureError, "a mapping of names .* not list"),
        ({"0.weight": good["0.weight"]}, sf.StructureError, "returned none of 2.weight"),
        ({**good, "3.weight": bad}, sf.StructureError, "'3.weight', and Sequential has no"),
        ({**good, "2.weight": bad.T}, sf.ShapeError, r"scores of 2.weight have shape \(8, 4\)"),
        ({**good, "2.weight": bad > 0}, sf.UnsupportedTypeError, "dtype torch.bool"),
        ({**good, "2.weight": bad.numpy()}, sf.UnsupportedTypeError, "a tensor, not ndarray"),
        ({**good, "2.weight": bad}, sf.NonFiniteError, r"scores\['2.weight'\] has 1 value"),
    ]
    for returned, error, text in cases:
        with pytest.raises(error, match=text):
            sft.prune(
                model, saliency="given", scores=lambda _, value=returned: value, keep=9, steps=2
            )
        assert [bits(one) for one in model.parameters()] == before
    assert sft.prune(model, saliency="given", scores=lambda _: good, keep=9).keep == 9
