"""One trial of an experiment: find masks before training, measure them, train, test.

The demonstration and the figure share this module; each chooses its own trials.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from swiftforce import checks, nn
from swiftforce.comparison import DENSE, Trial
from swiftforce.datasets import Dataset
from swiftforce.errors import DivergedError
from swiftforce.experiments.architectures import NETWORKS
from swiftforce.experiments.random_masks import erk_random, uniform_random
from swiftforce.experiments.variants import ERK_RANDOM, SYNFLOW, UNIFORM_RANDOM, Variant
from swiftforce.inputs import Array, LossName, method_info, method_name
from swiftforce.result import Pruning, Step
from swiftforce.search import DEFAULT_STEPS, prune

#: Seed of the batches that the objective is measured on: no search has it.
FRESH = 1 << 40
#: Number of those batches.
OBJECTIVE_BATCHES = 8
#: Steps of SynFlow, as in its paper. They need no images.
SYNFLOW_STEPS = 100


@dataclass(frozen=True)
class Settings:
    """What the results of a trial depend on besides method, sparsity, seed and images.

    Attributes
    ----------
    network : str
        One of `swiftforce.experiments.architectures.NETWORKS`.
    loss : str
        The loss that scores weights; training is by the cross entropy.
    steps : int
        Batches of the search: a progressive method uses one per step, a one-shot method averages
        the gradients of all of them, so that all methods use the same images. SynFlow takes none,
        and 100 steps.
    epochs, batch_size, learning_rate : int, int, float
        Of training: passes over the images, images per batch (also of the search), and the initial
        learning rate. It is divided by 10 after half and after three quarters of the epochs. With
        0 epochs masks are searched and measured alone.
    samples : int
        Number of training images; 0 is all that the data set has.
    """

    network: str = "small_vgg"
    loss: LossName = "target_logit"
    steps: int = DEFAULT_STEPS
    epochs: int = 6
    batch_size: int = 128
    learning_rate: float = 0.1
    samples: int = 0

    @property
    def milestones(self) -> tuple[int, int]:
        """Epochs after which the learning rate falls, at least 1."""
        return max(1, self.epochs // 2), max(1, self.epochs * 3 // 4)


@dataclass(frozen=True)
class FoundMasks:
    """Masks by layer, and the steps of the search, if there was one."""

    masks: Mapping[str, Array]
    history: tuple[Step, ...] = ()


def perform(trial: Trial, data: Dataset, settings: Settings) -> dict[str, Any]:
    """Find masks, measure them, train and test. Divergence is part of the result, not an error.

    Returns
    -------
    dict of str to value
        ``accuracy``, ``test_loss`` : on the test images; if training diverged, of the weights at
        that time. ``train_accuracy`` : share of correct training images in the last complete epoch,
        measured before each step. None without training.

        ``objective`` : S(c) of the masks by the cross entropy, the mean over fresh batches of the
        same images. ``keep``, ``effective`` : kept weights, and those of them on a path from input
        to output. ``empty_classes``, ``empty_layers`` : classes that no such path leads to, and
        names of layers that keep nothing. ``churn`` : the share of kept weights that the last step
        brought back. ``diverged`` : whether training ended with numbers that are not finite.

        ``search_seconds``, ``train_seconds``; ``density`` : share of weights kept, by layer;
        ``removed``, ``revived`` : number of weights that each step removed and brought back.

    Raises
    ------
    SwiftForceError
        As raised by `swiftforce.prune` and `swiftforce.nn.Network`.
    """
    network = NETWORKS[settings.network].build(
        data.train_x.shape[1:], data.classes, seed=trial.seed
    )
    start = time.perf_counter()
    found = find_masks(network, data, trial, settings)
    searched = time.perf_counter()
    effective = checks.effective_density(network, found.masks)
    objective = objective_of(network, data, settings, found.masks)
    if not trial.is_dense:
        network.apply(found.masks)
    began = time.perf_counter()
    trained = _train(network, data, trial, settings)
    ended = time.perf_counter()
    last = found.history[-1] if found.history else None
    return {
        **trained,
        "objective": objective,
        "keep": effective.kept,
        "effective": effective.effective,
        "empty_classes": _empty_classes(effective.masks),
        "empty_layers": [name for name, mask in found.masks.items() if not mask.any()],
        "churn": last.revived / last.keep if last else 0.0,
        "search_seconds": round(searched - start, 3),
        "train_seconds": round(ended - began, 3),
        "density": {name: int(mask.sum()) / mask.size for name, mask in found.masks.items()},
        "removed": [step.removed for step in found.history],
        "revived": [step.revived for step in found.history],
    }


def _empty_classes(effective: Mapping[str, Array]) -> int:
    """How many classes no weight of the last layer leads to."""
    *_, last = effective.values()
    return int((~last.any(axis=1)).sum())


def _train(network: nn.Network, data: Dataset, trial: Trial, settings: Settings) -> dict[str, Any]:
    """Accuracies and loss; None without epochs."""
    measured = dict.fromkeys(("accuracy", "test_loss", "train_accuracy"))
    if not settings.epochs:
        return {**measured, "diverged": False}
    history: list[nn.Epoch] = []
    diverged = False
    try:
        network.fit(
            data.train_x,
            data.train_y,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            milestones=settings.milestones,
            seed=trial.seed,
            on_epoch=history.append,
        )
    except DivergedError:
        diverged = True
    tested = network.evaluate(data.test_x, data.test_y)
    return {
        "accuracy": tested.accuracy,
        "test_loss": tested.loss,
        "train_accuracy": history[-1].accuracy if history else math.nan,
        "diverged": diverged,
    }


def objective_of(
    network: nn.Network, data: Dataset, settings: Settings, masks: Mapping[str, Array]
) -> float:
    """S(c), the paper's objective, by the cross entropy: the mean over some fresh batches."""
    masked = {name: np.where(masks[name], w, 0) for name, w in network.weights.items()}
    gradients = network.gradients_on(
        data.train_x,
        data.train_y,
        batch_size=settings.batch_size,
        seed=FRESH,
        loss="cross_entropy",
    )
    sums = []
    for _ in range(OBJECTIVE_BATCHES):
        found = gradients(masked)
        sums.append(sum(float(np.abs(w * found[name]).sum()) for name, w in masked.items()))
    return float(np.mean(sums))


def find_masks(network: nn.Network, data: Dataset, trial: Trial, settings: Settings) -> FoundMasks:
    """Find masks for a network by the method of a trial. The network is not changed.

    Raises
    ------
    SwiftForceError
        As `swiftforce.prune`.

    Warns
    -----
    DegenerateSaliencyWarning, LayerCollapseWarning, MaskedGradientsWarning
    """
    variant = Variant.parse(trial.method)
    weights = network.weights
    draw: Mapping[str, Callable[..., Mapping[str, Array]]] = {
        UNIFORM_RANDOM: uniform_random,
        ERK_RANDOM: erk_random,
    }
    if variant.method == DENSE:
        return FoundMasks({name: np.ones(weight.shape, bool) for name, weight in weights.items()})
    if variant.method in draw:
        return FoundMasks(draw[variant.method](weights, sparsity=trial.sparsity, seed=trial.seed))
    pruning = _searched(network, data, trial, settings, variant)
    masks = checks.shuffle(pruning, trial.seed) if variant.shuffled else pruning.masks
    return FoundMasks(masks, pruning.history)


def _searched(
    network: nn.Network, data: Dataset, trial: Trial, settings: Settings, variant: Variant
) -> Pruning[Any]:
    if variant.method == SYNFLOW:
        return prune(
            network.weights,
            nn.synaptic_flow(network),
            method="iterative_snip",
            sparsity=trial.sparsity,
            steps=SYNFLOW_STEPS,
        )
    info = method_info(variant.method)
    gradients = None
    if info["needs_gradients"]:
        gradients = network.gradients_on(
            data.train_x,
            data.train_y,
            batch_size=settings.batch_size,
            batches_per_step=settings.steps if info["one_shot"] else 1,
            seed=trial.seed,
            loss=settings.loss,
        )
    return prune(
        network.weights,
        gradients,
        method=method_name(variant.method),
        sparsity=trial.sparsity,
        steps=None if info["one_shot"] else settings.steps,
        seed=trial.seed,
        **variant.arguments(network.multiply_adds),
    )
