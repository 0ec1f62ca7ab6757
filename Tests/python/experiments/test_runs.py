"""One run: masks of its method, training, and its result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from oracle import assert_same_masks
from swiftforce import nn
from swiftforce.datasets.idx import idx_dataset
from swiftforce.datasets.images import Dataset
from swiftforce.experiments.architectures import NETWORKS
from swiftforce.experiments.runs import Run, compared_methods, find_masks, perform, uniform_random


@pytest.fixture
def data(idx_folder: Path) -> Dataset:
    return idx_dataset(idx_folder, name="tiny")


@pytest.fixture
def run(small_network: str) -> Run:
    return Run(small_network, "force", 0.8, 4, 3, 2, 32, 0.05, 160)


def built(run: Run) -> nn.Network:
    return NETWORKS[run.network].build((1, 4, 4), 4, run.seed)


@pytest.mark.filterwarnings("ignore::swiftforce.UnreachableClassWarning")
def test_a_result_is_what_the_steps_by_hand_give(data: Dataset, run: Run) -> None:
    result = perform(run, data)
    net = built(run)
    gradients = net.gradients_on(data.train_x, data.train_y, batch_size=32, seed=4)
    pruning = sf.force(net.weights, gradients, sparsity=0.8, steps=3)
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
    assert (result.accuracy, result.loss) == (tested.accuracy, tested.loss)
    assert result.train_accuracy == history[-1].accuracy
    assert result.keep == pruning.keep == 80
    assert result.density == {layer.name: layer.density for layer in pruning.layers}
    assert result.removed == tuple(step.removed for step in pruning.history)
    assert result.revived == tuple(step.revived for step in pruning.history)
    assert sum(result.removed) - sum(result.revived) == 400 - 80
    assert result.versions == {"swiftforce": sf.__version__, "numpy": np.__version__}
    assert 0 <= result.search_seconds < 60
    assert 0 <= result.train_seconds < 60
    assert not result.diverged


@pytest.mark.parametrize(
    ("epochs", "milestones"), [(1, (1, 1)), (2, (1, 1)), (4, (2, 3)), (10, (5, 7))]
)
def test_milestones(run: Run, epochs: int, milestones: tuple[int, int]) -> None:
    assert replace(run, epochs=epochs).milestones == milestones


def test_the_dense_network_keeps_all(data: Dataset, run: Run) -> None:
    result = perform(replace(run, method="dense", sparsity=0.0, steps=0), data)
    assert result.keep == 400
    assert set(result.density.values()) == {1.0}
    assert (result.removed, result.revived, result.empty_layers) == ((), (), ())
    assert result.accuracy > 0.6  # chance: 0.25


@pytest.mark.parametrize("method", compared_methods())
def test_every_method_is_reproducible(data: Dataset, run: Run, method: str) -> None:
    run = replace(run, method=method, sparsity=0.0 if method == "dense" else 0.8)
    first, second = (
        replace(perform(run, data), search_seconds=0, train_seconds=0) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("method", ["snip", "grasp_it", "iterative_snip", "magnitude", "random"])
def test_masks_are_those_of_the_package(data: Dataset, run: Run, method: str) -> None:
    net = built(run)
    found = find_masks(net, data, replace(run, method=method))
    one_shot = method in ("snip", "magnitude", "random")
    gradients = net.gradients_on(
        data.train_x,
        data.train_y,
        batch_size=32,
        # As many samples as the progressive methods use.
        batches_per_step=3 if one_shot else 1,
        seed=4,
    )
    pruning = sf.prune(
        net.weights,
        gradients,
        method=method,
        sparsity=0.8,
        steps=1 if one_shot else 3,
        seed=4,
    )
    assert_same_masks(found.masks, pruning.masks)


# ------------------------------------------------------------------------- uniform random


WEIGHTS = {"a": np.zeros((30, 10)), "b": np.zeros(1000, np.float32), "c": np.zeros((3, 1))}


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.995])
def test_uniform_random_keeps_the_same_density_in_each_layer(sparsity: float) -> None:
    masks = uniform_random(WEIGHTS, sparsity=sparsity, seed=1)
    assert {name: mask.shape for name, mask in masks.items()} == {
        name: weight.shape for name, weight in WEIGHTS.items()
    }
    for name, mask in masks.items():
        assert mask.sum() == sf.keep_count(WEIGHTS[name].size, sparsity) >= 1


def test_uniform_random_is_random_by_seed_and_layer() -> None:
    weights = {"a": np.zeros(1000), "b": np.zeros(1000)}
    masks = uniform_random(weights, sparsity=0.9, seed=1)
    other = uniform_random(weights, sparsity=0.9, seed=2)
    assert not np.array_equal(masks["a"], masks["b"])
    assert not np.array_equal(masks["a"], other["a"])
    assert_same_masks(masks, uniform_random(weights, sparsity=0.9, seed=1))
    assert 0 < np.flatnonzero(masks["a"])[0] < 100
    assert np.flatnonzero(masks["a"])[-1] > 900


def test_uniform_random_is_not_random(data: Dataset, run: Run) -> None:
    uniform = perform(replace(run, method="uniform_random", steps=0), data)
    assert uniform.density == {"0.weight": 0.2, "2.weight": 0.2}
    assert (uniform.removed, uniform.revived) == ((320,), (0,))
    assert perform(replace(run, method="random", steps=0), data).density != uniform.density


# ------------------------------------------------------------------------- what goes wrong


def test_a_network_that_diverges_is_a_result(data: Dataset, run: Run) -> None:
    ended = []
    run = replace(run, learning_rate=1e30, epochs=5)
    result = perform(run, data, on_epoch=lambda: ended.append(1))
    assert result.diverged
    assert result.warnings[-1].startswith("training diverged: the ")
    assert 0 <= result.accuracy <= 0.6
    assert len(ended) == 5


def test_warnings_are_written_down(data: Dataset, run: Run) -> None:
    result = perform(replace(run, method="random", sparsity=0.997, steps=0), data)
    assert result.keep == 1
    assert len(result.empty_layers) == 1
    assert result.warnings[0].startswith(f"no weight is kept in {result.empty_layers[0]}")
    assert not result.diverged


@pytest.mark.parametrize("method", compared_methods())
def test_no_run_ignores_its_steps(data: Dataset, run: Run, method: str) -> None:
    run = replace(run, method=method, sparsity=0.0 if method == "dense" else 0.5)
    assert [text for text in perform(run, data).warnings if "step" in text] == []


def test_another_number_of_images_is_refused(data: Dataset, run: Run) -> None:
    with pytest.raises(ValueError, match="the run needs 161 training images, not 160"):
        perform(replace(run, samples=161), data)
