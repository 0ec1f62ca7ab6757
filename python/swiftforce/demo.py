"""The demonstration: masks on LeNet-300-100, found before training, trained on Fashion-MNIST."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from swiftforce import nn
from swiftforce.datasets import Dataset
from swiftforce.errors import SwiftForceWarning
from swiftforce.progress import Work
from swiftforce.pruning import prune
from swiftforce.search import DEFAULT_STEPS
from swiftforce.tensors import Array
from swiftforce.vocabulary import method_info

#: What the table calls the network that is not pruned.
DENSE = "dense"
BATCH_SIZE = 128


@dataclass(frozen=True)
class Settings:
    """What a demonstration runs.

    Attributes
    ----------
    sparsities : sequence of float
        Shares of weights to remove, each in [0, 1).
    methods : sequence of str
        ``dense``, or names of `swiftforce.methods`.
    steps : int
        Steps of the progressive methods, one batch each. One-shot methods that need gradients
        average them over as many batches, so that every method sees the same samples.
    epochs : int
        Passes over the training set, the same for every network.
    seed : int
        Selects initial weights, batches and the random method.
    """

    sparsities: Sequence[float] = (0.9, 0.98, 0.99, 0.995)
    methods: Sequence[str] = (DENSE, "force", "iterative_snip", "snip", "random")
    steps: int = DEFAULT_STEPS
    epochs: int = 6
    seed: int = 0


@dataclass
class Outcome:
    """Test accuracies by method and sparsity, and what is to be said about them."""

    accuracy: dict[tuple[str, float], float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run(data: Dataset, settings: Settings) -> Outcome:
    """Find, train and test every combination; all start from the same weights.

    The dense network is trained once and stands at every sparsity.
    """
    start = time.perf_counter()
    outcome = Outcome()
    network = nn.lenet_300_100(data.train_x[0].size, data.classes, seed=settings.seed)
    pruned = [method for method in settings.methods if method != DENSE]
    runs = len(pruned) * len(settings.sparsities) + (DENSE in settings.methods)
    with Work(runs * settings.epochs) as work:
        if DENSE in settings.methods:
            work.begin("dense")
            accuracy = _trained_accuracy(network.copy(), data, settings, work)
            outcome.accuracy |= {(DENSE, share): accuracy for share in settings.sparsities}
        for method in pruned:
            for sparsity in settings.sparsities:
                name = f"{method} {sparsity:.4g}"
                work.begin(name)
                sparse = network.copy()
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always", SwiftForceWarning)
                    sparse.apply(_masks(sparse, data, settings, method, sparsity))
                outcome.notes += [f"{name}: {warning.message}" for warning in caught]
                outcome.accuracy[method, sparsity] = _trained_accuracy(sparse, data, settings, work)
    outcome.seconds = time.perf_counter() - start
    return outcome


def _masks(
    network: nn.Network, data: Dataset, settings: Settings, method: str, sparsity: float
) -> dict[str, Array]:
    info = method_info(method)
    gradients = network.gradients_on(
        data.train_x,
        data.train_y,
        batch_size=BATCH_SIZE,
        batches_per_step=settings.steps if info["one_shot"] else 1,
        seed=settings.seed,
    )
    masks: dict[str, Array] = prune(
        network.weights,
        gradients if info["needs_gradients"] else None,
        method=method,
        sparsity=sparsity,
        steps=None if info["one_shot"] else settings.steps,
        seed=settings.seed,
    ).masks
    return masks


def _trained_accuracy(network: nn.Network, data: Dataset, settings: Settings, work: Work) -> float:
    network.fit(
        data.train_x,
        data.train_y,
        epochs=settings.epochs,
        batch_size=BATCH_SIZE,
        milestones=(settings.epochs // 2, settings.epochs * 3 // 4),
        seed=settings.seed,
        on_epoch=lambda _: work.advance(),
    )
    return network.evaluate(data.test_x, data.test_y).accuracy


def rows(outcome: Outcome, settings: Settings) -> list[list[str]]:
    """The table: a row per method, a column per sparsity, test accuracy in percent."""
    heading = ["method", *(f"{100 * sparsity:.4g} %" for sparsity in settings.sparsities)]
    body = [
        [method, *(f"{100 * outcome.accuracy[method, share]:.2f}" for share in settings.sparsities)]
        for method in settings.methods
    ]
    return [heading, *body]
