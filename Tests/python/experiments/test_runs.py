"""One trial: masks of its method, their measures, training, and its result."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from oracle import assert_same_masks
from swiftforce import checks, nn
from swiftforce.comparison import Trial
from swiftforce.datasets.idx import idx_dataset
from swiftforce.datasets.images import Dataset
from swiftforce.experiments import NETWORKS, Settings, compared_methods, perform
from swiftforce.experiments.runs import find_masks, objective_of
from swiftforce.nn.paths import unreachable_classes

TRIAL = Trial("force", 0.8, 4)

#: The networks are so small that masks can leave a class without weights.
pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.UnreachableClassWarning")


@pytest.fixture
def data(idx_folder: Path) -> Dataset:
    return idx_dataset(idx_folder, name="tiny")


@pytest.fixture
def settings(small_network: str) -> Settings:
    return Settings(small_network, "target_logit", 3, 2, 32, 0.05, 160)


def built(settings: Settings, trial: Trial = TRIAL) -> nn.Network:
    return NETWORKS[settings.network].build((1, 4, 4), 4, trial.seed)


@pytest.mark.parametrize("loss", ["target_logit", "cross_entropy"])
def test_a_result_is_what_the_steps_by_hand_give(
    data: Dataset, settings: Settings, loss: str
) -> None:
    settings = replace(settings, loss=loss)
    result = perform(TRIAL, data, settings)
    net = built(settings)
    gradients = net.gradients_on(data.train_x, data.train_y, batch_size=32, seed=4, loss=loss)
    pruning = sf.force(net.weights, gradients, sparsity=0.8, steps=3)
    objective = objective_of(net, data, settings, pruning.masks)
    effective = checks.effective_density(net, pruning)
    net.apply(pruning.masks)
    history = net.fit(
        data.train_x,
        data.train_y,
        epochs=2,
        batch_size=32,
        learning_rate=0.05,
        momentum=0.9,
        weight_decay=5e-4,
        milestones=(1, 1),
        gamma=0.1,
        seed=4,
    )
    tested = net.evaluate(data.test_x, data.test_y)
    last = pruning.history[-1]
    assert 0 <= result.pop("search_seconds") < 60
    assert 0 <= result.pop("train_seconds") < 60
    assert result == {
        "accuracy": tested.accuracy,
        "test_loss": tested.loss,
        "train_accuracy": history[-1].accuracy,
        "diverged": False,
        "objective": objective,
        "keep": 80,
        "effective": effective.effective,
        "empty_classes": len(unreachable_classes(net.layers, (16,), pruning.masks)),
        "empty_layers": [],
        "churn": last.revived / 80,
        "density": {layer.name: layer.density for layer in pruning.layers},
        "removed": [step.removed for step in pruning.history],
        "revived": [step.revived for step in pruning.history],
    }


def test_the_objective_is_that_of_the_paper(data: Dataset, settings: Settings) -> None:
    net = built(settings)
    masks = checks.shuffle(
        {name: np.arange(w.size).reshape(w.shape) % 3 == 0 for name, w in net.weights.items()},
        seed=1,
    )
    found = objective_of(net, data, settings, masks)
    gradients = net.gradients_on(
        data.train_x, data.train_y, batch_size=32, seed=1 << 40, loss="cross_entropy"
    )
    net.apply(masks)
    kept = net.weights
    sums = []
    for _ in range(8):
        by_name = gradients(kept)
        sums.append(sum(np.abs(w * by_name[name])[masks[name]].sum() for name, w in kept.items()))
    assert found == pytest.approx(np.mean(sums), rel=1e-5)


@pytest.mark.parametrize(
    ("epochs", "milestones"), [(1, (1, 1)), (2, (1, 1)), (4, (2, 3)), (10, (5, 7))]
)
def test_milestones(settings: Settings, epochs: int, milestones: tuple[int, int]) -> None:
    assert replace(settings, epochs=epochs).milestones == milestones


def test_the_dense_network_keeps_all(data: Dataset, settings: Settings) -> None:
    result = perform(Trial("dense", 0.0, 4), data, settings)
    assert result["keep"] == result["effective"] == 400
    assert set(result["density"].values()) == {1.0}
    assert (result["removed"], result["revived"], result["empty_layers"]) == ([], [], [])
    assert result["accuracy"] > 0.6  # chance: 0.25


@pytest.mark.parametrize("method", [*compared_methods(), "force momentum=0.5 shuffled"])
def test_every_method_is_reproducible_and_a_row(
    data: Dataset, settings: Settings, method: str
) -> None:
    trial = Trial(method, 0.0 if method == "dense" else 0.8, 4)
    first, second = (perform(trial, data, settings) for _ in range(2))
    for seconds in ("search_seconds", "train_seconds"):
        del first[seconds], second[seconds]
    assert first == second
    assert json.loads(json.dumps(first)) == first


@pytest.mark.parametrize(
    ("method", "damping"),
    [
        *((name, {}) for name in ("snip", "grasp_it", "iterative_snip", "magnitude", "random")),
        ("force", {"nested_from": 0.5}),
        ("iterative_snip", {"momentum": 0.5}),
    ],
)
def test_masks_are_those_of_the_package(
    data: Dataset, settings: Settings, method: str, damping: dict[str, float]
) -> None:
    net = built(settings)
    words = [f"{name}={value}" for name, value in damping.items()]
    trial = Trial(" ".join([method, *words]), 0.8, 4)
    found = find_masks(net, data, trial, settings)
    one_shot = method in ("snip", "magnitude", "random")
    gradients = net.gradients_on(
        data.train_x,
        data.train_y,
        batch_size=32,
        # As many samples as the progressive methods use.
        batches_per_step=3 if one_shot else 1,
        seed=4,
        loss="target_logit",
    )
    pruning = sf.prune(
        net.weights,
        gradients,
        method=method,
        sparsity=0.8,
        steps=1 if one_shot else 3,
        seed=4,
        **damping,
    )
    assert_same_masks(found.masks, pruning.masks)
    shuffled = find_masks(net, data, replace(trial, method=f"{trial.method} shuffled"), settings)
    assert_same_masks(shuffled.masks, checks.shuffle(pruning, seed=4))
    assert shuffled.history == found.history


def test_random_masks_differ_in_their_densities(data: Dataset, settings: Settings) -> None:
    density = {
        method: perform(Trial(method, 0.8, 4), data, settings)["density"]
        for method in ("uniform_random", "erk_random", "random")
    }
    assert density["uniform_random"] == {"0.weight": 0.2, "2.weight": 0.2}
    assert density["erk_random"]["2.weight"] > 0.3 > density["erk_random"]["0.weight"]
    assert density["random"] != density["uniform_random"]


def test_without_epochs_masks_are_measured_alone(data: Dataset, settings: Settings) -> None:
    result = perform(TRIAL, data, replace(settings, epochs=0))
    assert result["accuracy"] is result["test_loss"] is result["train_accuracy"] is None
    assert result["objective"] == perform(TRIAL, data, settings)["objective"] > 0


# ------------------------------------------------------------------------- what goes wrong


def test_a_network_that_diverges_is_a_result(data: Dataset, settings: Settings) -> None:
    result = perform(TRIAL, data, replace(settings, learning_rate=1e30, epochs=5))
    assert result["diverged"]
    assert 0 <= result["accuracy"] <= 0.6


def test_empty_layers_and_classes_are_counted(data: Dataset, settings: Settings) -> None:
    with pytest.warns(sf.LayerCollapseWarning):
        result = perform(Trial("random", 0.997, 4), data, settings)
    assert result["keep"] == 1
    assert len(result["empty_layers"]) == 1
    assert (result["effective"], result["empty_classes"]) == (0, 4)


@pytest.mark.parametrize("method", compared_methods())
def test_no_trial_ignores_its_steps(
    data: Dataset, settings: Settings, method: str, recwarn: pytest.WarningsRecorder
) -> None:
    perform(Trial(method, 0.0 if method == "dense" else 0.5, 4), data, settings)
    assert [each for each in recwarn if "step" in str(each.message)] == []
