"""The demonstration: find masks before training, train with them, and compare the methods."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from swiftforce.datasets import Dataset
from swiftforce.experiments.runs import DENSE, Run, perform
from swiftforce.search import DEFAULT_STEPS
from swiftforce.show import WorkProgress


@dataclass(frozen=True)
class Settings:
    """Settings of a demonstration.

    Attributes
    ----------
    network : str
        One of `swiftforce.experiments.architectures.NETWORKS`.
    sparsities : sequence of float
        Shares of weights to remove, each in [0, 1).
    methods : sequence of str
        Names of `swiftforce.experiments.runs.compared_methods`.
    steps : int
        Steps of the progressive methods, one batch each. One-shot methods average their gradients
        over as many batches, so that all methods use the same samples.
    epochs : int
        Passes over the training set, the same for every network.
    seed : int
        Selects initial weights, batches and random masks.
    """

    network: str = "small_vgg"
    sparsities: Sequence[float] = (0.9, 0.99)
    methods: Sequence[str] = (DENSE, "force", "iterative_snip", "snip", "random")
    steps: int = DEFAULT_STEPS
    epochs: int = 1
    seed: int = 0


@dataclass
class Outcome:
    """Test accuracies and seconds of training by method and sparsity, notes, and seconds of all."""

    accuracy: dict[tuple[str, float], float] = field(default_factory=dict)
    training: dict[tuple[str, float], float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run(data: Dataset, settings: Settings) -> Outcome:
    """Prune, train and test every combination of method and sparsity, from the same weights.

    The dense network is trained once and reported at every sparsity.
    """
    start = time.perf_counter()
    outcome = Outcome()
    pruned = [method for method in settings.methods if method != DENSE]
    runs = [_run(data, settings, DENSE, 0.0)] if DENSE in settings.methods else []
    runs += [_run(data, settings, method, s) for method in pruned for s in settings.sparsities]
    with WorkProgress(len(runs) * settings.epochs) as work:
        for each in runs:
            work.begin(each.name)
            result = perform(each, data, on_epoch=work.advance)
            shares = settings.sparsities if each.method == DENSE else (each.sparsity,)
            outcome.accuracy |= {(each.method, share): result.accuracy for share in shares}
            outcome.training |= {(each.method, share): result.train_seconds for share in shares}
            outcome.notes += [f"{each.name}: {text}" for text in result.warnings]
    outcome.seconds = time.perf_counter() - start
    return outcome


def _run(data: Dataset, settings: Settings, method: str, sparsity: float) -> Run:
    return Run(
        network=settings.network,
        method=method,
        sparsity=sparsity,
        seed=settings.seed,
        steps=settings.steps,
        epochs=settings.epochs,
        batch_size=128,
        learning_rate=0.1,
        samples=len(data.train_x),
    )


def rows(outcome: Outcome, settings: Settings) -> list[list[str]]:
    """The table of test accuracies in percent: a row per method, a column per sparsity."""
    percent = {key: f"{100 * accuracy:.2f}" for key, accuracy in outcome.accuracy.items()}
    return _table(percent, settings)


def speed_rows(outcome: Outcome, settings: Settings) -> list[list[str]]:
    """The same table of how many times as fast training was as that of the dense network."""
    times = {
        (method, share): f"{outcome.training[DENSE, share] / max(seconds, 1e-9):.1f}"
        for (method, share), seconds in outcome.training.items()
    }
    return _table(times, settings)


def _table(cells: Mapping[tuple[str, float], str], settings: Settings) -> list[list[str]]:
    heading = ["method", *(f"{100 * sparsity:.4g} %" for sparsity in settings.sparsities)]
    body = [
        [method, *(cells[method, share] for share in settings.sparsities)]
        for method in settings.methods
    ]
    return [heading, *body]
