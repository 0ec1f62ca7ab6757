"""Searches for masks of a model find the masks of an independent search, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import oracle  # noqa: E402
import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import NETWORKS, assert_same, batches, mlp, reference_search  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

#: Narrow networks sometimes lose a layer, and so do the oracle's masks.
collapses = pytest.mark.filterwarnings("ignore::swiftforce.LayerCollapseWarning")


def both(model: nn.Module, data: Any, **options: Any) -> tuple[sf.Pruning, Any]:
    """What the package finds, and what the reference finds."""
    wanted = reference_search(model, data, **options)
    if options["method"] in {"snip", "magnitude", "random"}:
        options.pop("steps", None)
    return sft.prune(model, data, loss=cross_entropy, **options), wanted


@collapses
@pytest.mark.parametrize("method", list(oracle.METHODS))
@pytest.mark.parametrize("network", list(NETWORKS))
@pytest.mark.slow
def test_masks_are_those_of_the_oracle(network: str, method: str) -> None:
    build, shape = NETWORKS[network]
    steps = 1 if oracle.METHODS[method][2] else 5
    found, (masks, history) = both(
        build(), batches(shape), method=method, sparsity=0.9, steps=steps, seed=11
    )
    assert_same(found.masks, masks)
    assert found.method == method
    for fact in ("keep", "candidates", "removed", "revived", "layer_kept", "zero_scores"):
        assert [getattr(step, fact) for step in found.history] == [
            getattr(step, fact) for step in history
        ], fact


@collapses
@pytest.mark.parametrize(
    ("network", "method"),
    [
        ("LeNet-5", "force"),
        ("LeNet-5", "snip"),
        ("ResNet18", "iterative_snip"),
        ("ResNet18", "force"),
        ("transformer", "grasp_it"),
    ],
)
@pytest.mark.slow
def test_a_step_averages_the_gradients_of_its_batches(network: str, method: str) -> None:
    """In float64, so that the order of sums does not change a mask; the last batch is short."""
    build, shape = NETWORKS[network]
    data = batches(shape, sizes=(6, 6, 3), dtype=torch.float64)
    steps = 1 if method == "snip" else 3
    options = {"method": method, "sparsity": 0.85, "steps": steps}
    found, (masks, _) = both(build().double(), data, batches_per_step=3, **options)
    assert_same(found.masks, masks)
    alone = sft.prune(build().double(), data, loss=cross_entropy, **options)
    assert any(not torch.equal(alone.masks[name], masks[name]) for name in masks)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("method", ["force", "iterative_snip", "grasp_it"])
def test_a_search_may_be_short(method: str, steps: int) -> None:
    found, (masks, history) = both(mlp(), batches(), method=method, sparsity=0.8, steps=steps)
    assert_same(found.masks, masks)
    assert [step.gradient_norm for step in found.history] == pytest.approx(
        [step.gradient_norm for step in history], rel=1e-6
    )


@pytest.mark.parametrize("per_step", [2, 3, 4])
def test_steps_go_on_where_the_last_one_stopped(per_step: int) -> None:
    data = batches(sizes=(6, 5, 4), dtype=torch.float64)
    found, (masks, _) = both(
        mlp().double(), data, method="force", sparsity=0.7, steps=5, batches_per_step=per_step
    )
    assert_same(found.masks, masks)


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")  # eval leaves dead units
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.slow
def test_batch_norm_is_scored_in_the_mode_asked_for(mode: str) -> None:
    model, data = torch_models.resnet18(), batches((3, 16, 16))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    found, (masks, _) = both(model, data, method="force", sparsity=0.8, steps=4, mode=mode)
    assert_same(found.masks, masks)
    other, _ = reference_search(
        model,
        data,
        method="force",
        sparsity=0.8,
        steps=4,
        mode="eval" if mode == "train" else "train",
    )
    assert any(not torch.equal(other[name], masks[name]) for name in masks)


def test_the_mode_is_train_whatever_the_model_is_in() -> None:
    model, data = torch_models.resnet18().eval(), batches((3, 16, 16))
    options = {"method": "force", "sparsity": 0.8, "steps": 3}
    found = sft.prune(model, data, loss=cross_entropy, **options)
    assert_same(found.masks, reference_search(model, data, mode="train", **options)[0])


def test_dropout_draws_the_numbers_of_the_callers_seed() -> None:
    model, data = torch_models.transformer(dropout=0.2), batches((5, 8))
    options = {"method": "force", "sparsity": 0.7, "steps": 4}
    torch.manual_seed(5)
    masks, _ = reference_search(model, data, **options)
    torch.manual_seed(5)
    assert_same(sft.prune(model, data, loss=cross_entropy, **options).masks, masks)


@pytest.mark.parametrize("schedule", ["exponential", "linear", "cubic", "cosine"])
def test_schedules_are_those_of_the_oracle(schedule: str) -> None:
    found, (masks, _) = both(
        mlp(), batches(), method="force", sparsity=0.8, steps=7, schedule=schedule
    )
    assert_same(found.masks, masks)


def test_a_schedule_may_be_a_list() -> None:
    found = sft.prune(mlp(), batches(), loss=cross_entropy, schedule=[60, 33, 20])
    assert [step.keep for step in found.history] == [60, 33, 20]
    assert found.keep == 20


def test_a_schedule_of_synflow_may_be_a_list() -> None:
    found = sft.prune(mlp(), batches(), method="synflow", schedule=[60, 33, 20])
    assert [step.keep for step in found.history] == [60, 33, 20]


def test_one_step_of_force_is_snip() -> None:
    data = batches()
    one = sft.prune(mlp(), data, loss=cross_entropy, method="force", sparsity=0.5, steps=1)
    snip = sft.prune(mlp(), data, loss=cross_entropy, method="snip", sparsity=0.5)
    assert_same(one.masks, snip.masks)


def test_the_result_is_in_terms_of_the_model() -> None:
    model = torch_models.lenet5()
    found = sft.prune(model, batches((1, 16, 16)), loss=cross_entropy, keep=2000, steps=3)
    weights = torch_models.matrices(model)
    assert [layer.name for layer in found.layers] == list(weights)
    assert [layer.shape for layer in found.layers] == [tuple(w.shape) for w in weights.values()]
    assert [layer.kept for layer in found.layers] == [int(m.sum()) for m in found.masks.values()]
    assert found.keep == 2000
    assert (found.steps, found.schedule) == (3, "exponential")
    assert {mask.dtype for mask in found.masks.values()} == {torch.bool}


def test_masks_are_memory_of_their_own() -> None:
    model = mlp()
    found = sft.prune(model, batches(), loss=cross_entropy, sparsity=0.5, steps=2)
    before = {name: mask.clone() for name, mask in found.masks.items()}
    sft.prune(model, batches(seed=9), loss=cross_entropy, sparsity=0.9, steps=3)
    assert_same(found.masks, before)
    next(iter(found.masks.values())).fill_(True)  # They may be written.


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize("method", ["force", "snip", "grasp", "synflow"])
def test_warnings_point_to_the_caller(method: str) -> None:
    model = mlp()
    with torch.no_grad():
        model[2].weight.zero_()
    options = {} if method in {"snip", "grasp"} else {"steps": 3}
    with pytest.warns(sf.LayerCollapseWarning, match=r"2\.weight") as caught:
        sft.prune(model, batches(), loss=cross_entropy, method=method, keep=20, **options)
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"method": "froce"}, sf.UnknownNameError, "no method 'froce'.*grasp, synflow"),
        ({"mode": "training"}, sf.UnknownNameError, "no mode 'training'"),
        ({"method": "synflow", "mode": "train"}, sf.UnknownNameError, "eval"),
        ({"sparsity": 1.0}, sf.SparsityError, "1.0"),
        ({"sparsity": None}, sf.SwiftForceError, "keep"),
        ({"keep": 10}, sf.SwiftForceError, "keep"),
        ({"sparsity": None, "keep": 81}, sf.KeepError, "81"),
        ({"steps": 0}, sf.StepsError, "at least one"),
        ({"method": "snip", "steps": 0}, sf.StepsError, "at least one"),
        ({"method": "grasp", "schedule": [40]}, sf.ScheduleError, "not a schedule"),
        ({"schedule": "steep"}, sf.UnknownNameError, "steep"),
        ({"batches_per_step": 0}, sf.HyperparameterError, "at least 1"),
        ({"batches_per_step": 1.5}, sf.HyperparameterError, "batches_per_step"),
        ({"temperature": 2.0}, sf.HyperparameterError, "grasp"),
        ({"method": "random", "seed": -1}, sf.SeedError, "-1"),
        ({"loss": None}, sf.MissingGradientsError, "either loss"),
        ({"batch_loss": lambda model, batch: 0}, sf.MissingGradientsError, "either loss"),
        ({"batches": None}, sf.MissingGradientsError, "'force_nested'"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    options: dict[str, Any], error: type[Exception], match: str
) -> None:
    model = mlp()
    before = [torch_models.bits(parameter) for parameter in model.parameters()]
    given = {"batches": batches(), "loss": cross_entropy, "sparsity": 0.5, **options}
    with pytest.raises(error, match=match):
        sft.prune(model, given.pop("batches"), **given)
    assert [torch_models.bits(parameter) for parameter in model.parameters()] == before


@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_methods_that_score_weights_alone_need_neither_batches_nor_loss(method: str) -> None:
    found = sft.prune(mlp(), method=method, sparsity=0.5)
    assert found.keep == 40


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_a_positive_number(temperature: float) -> None:
    with pytest.raises(sf.HyperparameterError, match="temperature"):
        sft.prune(
            mlp(),
            batches(),
            loss=cross_entropy,
            method="grasp",
            sparsity=0.5,
            temperature=temperature,
        )


# ------------------------------------------------------------------------------ pruned before


def test_a_model_with_masks_is_searched_with_dense_gradients() -> None:
    """Hooks that clear gradients of removed weights would keep FORCE from reviving any."""
    model, data = mlp(), batches()
    plain = mlp()
    sft.apply(model, torch_models.random_masks(model))
    with torch.no_grad():  # as at the start of another run, where the masks are there already
        for mine, theirs in zip(model.parameters(), plain.parameters(), strict=True):
            mine.copy_(theirs)
    options = {"method": "force", "sparsity": 0.7, "steps": 6}
    found = sft.prune(model, data, loss=cross_entropy, **options)
    masks, history = reference_search(plain, data, **options)
    assert_same(found.masks, masks)
    assert sum(step.revived for step in history) > 0


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")  # half the weights are zero
def test_applied_masks_are_untouched_by_a_search() -> None:
    model = mlp()
    masks = torch_models.random_masks(model)
    sft.apply(model, masks)
    sft.prune(model, batches(), loss=cross_entropy, sparsity=0.7, steps=3)
    assert_same(sft.masks(model), masks)
    cross_entropy(model(batches()[0][0]), batches()[0][1]).backward()
    assert not model[0].weight.grad[~masks["0.weight"]].any()
