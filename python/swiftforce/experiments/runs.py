"""One run of an experiment: find masks before training, train with them, test.

The demonstration and the figure share this module; each chooses its own runs.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

import swiftforce
from swiftforce import nn
from swiftforce.datasets import Dataset
from swiftforce.errors import DivergedError, SwiftForceWarning
from swiftforce.experiments.architectures import NETWORKS
from swiftforce.inputs import Array, method_info, method_name, methods
from swiftforce.search import keep_count, prune, saliency, select

#: The method name of the network that is not pruned.
DENSE = "dense"
#: The method name of random masks with the same density in every layer. The package's method
#: ``random`` draws from the weights of all layers together.
UNIFORM_RANDOM = "uniform_random"


def compared_methods() -> tuple[str, ...]:
    """Names of the methods that can be compared: the dense network and every way to find masks."""
    return (DENSE, *methods(), UNIFORM_RANDOM)


@dataclass(frozen=True)
class Run:
    """Everything that a run depends on besides the images: equal runs have equal results.

    Attributes
    ----------
    network : str
        One of `swiftforce.experiments.architectures.NETWORKS`.
    method : str
        One of `compared_methods`.
    sparsity : float
        Share of weights to remove, in [0, 1); 0 for the dense network.
    seed : int
        Selects initial weights, batches and random masks. The initial weights are the same for
        all methods.
    steps : int
        Batches of the search: a progressive method uses one per step, a one-shot method averages
        the gradients of all of them. Methods without gradients use none.
    epochs, batch_size, learning_rate : int, int, float
        Of training: passes over the images, images per batch (also of the search), and the initial
        learning rate. It is divided by 10 after half and after three quarters of the epochs.
    samples : int
        Number of training images.
    """

    network: str
    method: str
    sparsity: float
    seed: int
    steps: int
    epochs: int
    batch_size: int
    learning_rate: float
    samples: int

    @property
    def name(self) -> str:
        """Method and sparsity."""
        return DENSE if self.method == DENSE else f"{self.method} {self.sparsity:.4g}"

    @property
    def milestones(self) -> tuple[int, int]:
        """Epochs after which the learning rate falls, at least 1."""
        return max(1, self.epochs // 2), max(1, self.epochs * 3 // 4)


@dataclass(frozen=True)
class Result:
    """The result of a run.

    Attributes
    ----------
    run : Run
    keep : int
        Weights kept.
    accuracy, loss : float
        On the test images. If training diverged, of the weights at that time: about chance.
    train_accuracy : float
        Share of correct training images in the last complete epoch, measured before each step; NaN
        if there was none.
    search_seconds, train_seconds : float
    density : mapping of str to float
        Share of weights kept, by layer.
    removed, revived : tuple of int
        Numbers of weights that each step removed, and that it brought back.
    warnings : tuple of str
        Texts of the warnings, and of a divergence of training.
    versions : mapping of str to str
        Versions of swiftforce and numpy.
    """

    run: Run
    keep: int
    accuracy: float
    loss: float
    train_accuracy: float
    search_seconds: float
    train_seconds: float
    density: Mapping[str, float]
    removed: tuple[int, ...]
    revived: tuple[int, ...]
    warnings: tuple[str, ...]
    versions: Mapping[str, str]

    @property
    def empty_layers(self) -> tuple[str, ...]:
        """Names of the layers that keep no weight."""
        return tuple(name for name, density in self.density.items() if density == 0)

    @property
    def diverged(self) -> bool:
        """Whether training ended with numbers that are not finite."""
        return any(text.startswith(_DIVERGED) for text in self.warnings)


_DIVERGED = "training diverged: "


@dataclass(frozen=True)
class FoundMasks:
    """Masks by layer, and how many weights each step removed and revived."""

    masks: Mapping[str, Array]
    removed: tuple[int, ...]
    revived: tuple[int, ...]


def perform(run: Run, data: Dataset, on_epoch: Callable[[], object] = lambda: None) -> Result:
    """Find masks, train and test. Divergence is part of the result, not an error.

    Parameters
    ----------
    run : Run
    data : Dataset
        With `run.samples` training images.
    on_epoch : callable
        Called once per epoch, also for those left out after a divergence.

    Raises
    ------
    ValueError
        If the data set has another number of training images.
    SwiftForceError
        As raised by `swiftforce.prune` and `swiftforce.nn.Network`.
    """
    if len(data.train_x) != run.samples:
        raise ValueError(f"the run needs {run.samples} training images, not {len(data.train_x)}")
    network = NETWORKS[run.network].build(data.train_x.shape[1:], data.classes, seed=run.seed)
    masks: Mapping[str, Array] = {
        name: np.ones(weight.shape, bool) for name, weight in network.weights.items()
    }
    removed: tuple[int, ...] = ()
    revived: tuple[int, ...] = ()
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SwiftForceWarning)
        if run.method != DENSE:
            found = find_masks(network, data, run)
            masks, removed, revived = found.masks, found.removed, found.revived
            network.apply(masks)
    searched = time.perf_counter()
    history, divergence = _train(network, data, run, on_epoch)
    trained = time.perf_counter()
    tested = network.evaluate(data.test_x, data.test_y)
    return Result(
        run=run,
        keep=sum(int(mask.sum()) for mask in masks.values()),
        accuracy=tested.accuracy,
        loss=tested.loss,
        train_accuracy=history[-1].accuracy if history else math.nan,
        search_seconds=round(searched - start, 3),
        train_seconds=round(trained - searched, 3),
        density={name: int(mask.sum()) / mask.size for name, mask in masks.items()},
        removed=removed,
        revived=revived,
        warnings=(*(str(warning.message) for warning in caught), *divergence),
        versions={"swiftforce": swiftforce.__version__, "numpy": np.__version__},
    )


def _train(
    network: nn.Network, data: Dataset, run: Run, on_epoch: Callable[[], object]
) -> tuple[list[nn.Epoch], tuple[str, ...]]:
    """The complete epochs, and the text of a divergence, if there was one."""
    history: list[nn.Epoch] = []

    def ended(epoch: nn.Epoch) -> None:
        history.append(epoch)
        on_epoch()

    try:
        network.fit(
            data.train_x,
            data.train_y,
            epochs=run.epochs,
            batch_size=run.batch_size,
            learning_rate=run.learning_rate,
            milestones=run.milestones,
            seed=run.seed,
            progress=False,
            on_epoch=ended,
        )
    except DivergedError as error:
        for _ in range(run.epochs - len(history)):
            on_epoch()
        return history, (f"{_DIVERGED}{error}",)
    return history, ()


def find_masks(network: nn.Network, data: Dataset, run: Run) -> FoundMasks:
    """Find masks for a network by the method of a run. The network is not changed.

    Raises
    ------
    SwiftForceError
        As `swiftforce.prune`.

    Warns
    -----
    DegenerateSaliencyWarning, LayerCollapseWarning, MaskedGradientsWarning
    """
    if run.method == UNIFORM_RANDOM:
        masks = uniform_random(network.weights, sparsity=run.sparsity, seed=run.seed)
        return FoundMasks(masks, (sum(int((~mask).sum()) for mask in masks.values()),), (0,))
    info = method_info(run.method)
    gradients = None
    if info["needs_gradients"]:
        gradients = network.gradients_on(
            data.train_x,
            data.train_y,
            batch_size=run.batch_size,
            batches_per_step=run.steps if info["one_shot"] else 1,
            seed=run.seed,
        )
    pruning = prune(
        network.weights,
        gradients,
        method=method_name(run.method),
        sparsity=run.sparsity,
        steps=None if info["one_shot"] else run.steps,
        seed=run.seed,
        progress=False,
    )
    return FoundMasks(
        pruning.masks,
        tuple(step.removed for step in pruning.history),
        tuple(step.revived for step in pruning.history),
    )


def uniform_random(weights: Mapping[str, Array], *, sparsity: float, seed: int) -> dict[str, Array]:
    """Random masks of the same density in every layer.

    Parameters
    ----------
    weights : mapping of str to array
        Only their shapes are used.
    sparsity : float
        Share to remove of each layer, in [0, 1). A layer of n weights keeps
        ``keep_count(n, sparsity)``, at least one.
    seed : int

    Returns
    -------
    dict of str to array of bool

    Raises
    ------
    SparsityError, SeedError

    Examples
    --------
    >>> import numpy as np
    >>> masks = uniform_random({"a": np.zeros((2, 5)), "b": np.zeros(20)}, sparsity=0.9, seed=0)
    >>> {name: int(mask.sum()) for name, mask in masks.items()}
    {'a': 1, 'b': 2}
    """
    scores = saliency(dict(weights), criterion="random", seed=seed)
    return {
        name: select(score, keep=keep_count(score.size, sparsity)) for name, score in scores.items()
    }
