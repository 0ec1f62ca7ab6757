"""A small network engine: prune, train and evaluate with nothing but numpy installed.

Classifiers from a list of layers, trained by stochastic gradient descent on the native core. It is
small on purpose: whoever needs augmentation, other optimizers or a GPU uses a framework, and
`swiftforce` beside it.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from swiftforce import _core
from swiftforce.errors import (
    ArchitectureError,
    DivergedError,
    HyperparameterError,
    LabelError,
    ShapeError,
    UnreachableClassWarning,
    UnsupportedTypeError,
    native_call,
)
from swiftforce.progress import bar
from swiftforce.schedule import check_seed, integer
from swiftforce.selection import permutation
from swiftforce.tensors import FLOAT32, MASKS, SINGLES, Array, Arrays, Tensors, checked
from swiftforce.vocabulary import number

#: Where the streams of a seed begin that the orders of samples are drawn from: those of training
#: are not those of scoring, nor those of the initial weights, which begin at 0.
_TRAINING = 1 << 32
_SCORING = 2 << 32


@dataclass(frozen=True)
class Linear:
    """The layer ``y = W x + b``: weight of shape (outputs, inputs), bias of shape (outputs,)."""

    inputs: int
    outputs: int


@dataclass(frozen=True)
class ReLU:
    """The layer ``y = max(x, 0)``."""


AnyLayer = Linear | ReLU


@dataclass(frozen=True)
class Epoch:
    """One pass of training: mean loss and accuracy of its batches, each before its step."""

    epoch: int
    loss: float
    accuracy: float
    learning_rate: float


@dataclass(frozen=True)
class Evaluation:
    """Mean cross entropy, and how many samples have their largest output at the label."""

    loss: float
    correct: int
    count: int

    @property
    def accuracy(self) -> float:
        """Share of correct samples."""
        return self.correct / self.count


class Parameters(Mapping[str, Array]):
    """Parameters of a network by name: float32 arrays that are views of its own memory.

    Putting an array in copies its numbers into that memory.

    Examples
    --------
    >>> from swiftforce import nn
    >>> net = nn.Network([nn.Linear(2, 1)])
    >>> net.weights["0.weight"] = [[3, 4]]
    >>> net.predict(np.float32([[1, 10]]))
    array([[43.]], dtype=float32)
    """

    def __init__(self, arrays: dict[str, Array]) -> None:
        self._arrays = arrays

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        array = self._arrays[name]
        numbers = np.asarray(value)
        if numbers.shape != array.shape:
            raise ShapeError(f"{name} has shape {array.shape}, not {numbers.shape}")
        array[...] = numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        """Names and shapes."""
        return f"<Parameters { ({name: array.shape for name, array in self.items()}) }>"


class Network:
    """A feed-forward classifier whose weights can be pruned.

    Parameters
    ----------
    layers : sequence of Linear and ReLU
        From input to output; the last one gives the logits, one per class.
    seed : int
        Selects the initial weights: Kaiming-normal, ``std = sqrt(2 / inputs)``; biases are 0.

    Attributes
    ----------
    weights, biases : Parameters
        The parameters by name, ``"0.weight"`` being the weight of the first layer: views of the
        network's own memory, so writing to them changes the network.

    Raises
    ------
    ArchitectureError
        If the layers do not fit together; the message names the layer.
    SeedError

    Notes
    -----
    Two threads may share a network: single batches take turns, so two calls of `fit` mix.

    References
    ----------
    He et al., "Delving deep into rectifiers", ICCV 2015, for the initial weights.

    Examples
    --------
    >>> from swiftforce import nn
    >>> net = nn.Network([nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)], seed=1)
    >>> {name: weight.shape for name, weight in net.weights.items()}
    {'0.weight': (3, 4), '2.weight': (2, 3)}
    """

    def __init__(self, layers: Sequence[AnyLayer], *, seed: int = 0) -> None:
        self.layers = tuple(layers)
        if not self.layers:
            raise ArchitectureError("a network needs at least one layer")
        described = tuple(_described(layer, i) for i, layer in enumerate(self.layers))
        with native_call():
            self._handle = _core.network_create(described, check_seed(seed))
        self._seed = seed
        weights: dict[str, Array] = {}
        biases: dict[str, Array] = {}
        for view, layer, is_weight, shape in _core.network_parameters(self._handle):
            array = np.frombuffer(cast(Any, view), FLOAT32).reshape(shape)
            if is_weight:
                weights[f"{layer}.weight"] = array
            else:
                biases[f"{layer}.bias"] = array
        self.weights = Parameters(weights)
        self.biases = Parameters(biases)
        shapes = [weight.shape for weight in self.weights.values()]
        self.features: int = shapes[0][1]
        self.classes: int = shapes[-1][0]
        self._masks: dict[str, Array] | None = None

    @property
    def masks(self) -> dict[str, Array] | None:
        """The masks that are applied, as copies; None where there are none."""
        if self._masks is None:
            return None
        return {name: mask.copy() for name, mask in self._masks.items()}

    def gradients_on(
        self,
        x: Array,
        y: Array,
        *,
        batch_size: int | None = None,
        batches_per_step: int = 1,
        seed: int | None = None,
    ) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
        """Make the function from masked weights to gradients that `swiftforce.force` asks for.

        Parameters
        ----------
        x : array of float32, shape (n, ...)
            Samples; each is flattened.
        y : array of integers, shape (n,)
            Labels in 0 ... classes - 1.
        batch_size : int, optional
            Take the samples in batches of this size; by default all of them at every call.
        batches_per_step : int
            How many batches each call averages over. A short last batch weighs by its size.
        seed : int, optional
            Shuffle the samples anew for each pass over them; by default they come in order.

        Returns
        -------
        callable
            ``gradients(weights)`` returns the dense gradients of the mean cross entropy at those
            weights (and the network's biases), new arrays by name. Each sample is used once until
            all were used; then they start again. The function goes on where its last call ended:
            make a new one for each search. The network is not changed.

        Raises
        ------
        ShapeError, UnsupportedTypeError, LayoutError, LabelError, HyperparameterError
        """
        inputs, labels = self._samples(x, y)
        size = len(labels) if batch_size is None else _at_least_one(batch_size, "batch_size")
        together = _at_least_one(batches_per_step, "batches_per_step")
        batches = _batches(len(labels), size, None if seed is None else check_seed(seed))
        turn = threading.Lock()
        tensors = Tensors(self.weights, "weights", SINGLES)

        def gradients(weights: Mapping[str, Array]) -> dict[str, Array]:
            given = tensors.matching(weights, "weights", SINGLES)
            with turn:
                rows = np.concatenate([next(batches) for _ in range(together)])
            found = tensors.empty(FLOAT32)
            with native_call(tensors.label):
                _core.network_gradients(self._handle, given, found, inputs, labels, rows)
            result: dict[str, Array] = tensors.restore(found)
            return result

        return gradients

    def apply(self, masks: Arrays | None) -> None:
        """Remove weights: they become exactly zero, and stay so through all training.

        Parameters
        ----------
        masks : mapping of str to array of bool, or None
            True where kept, one per entry of `weights`, copied. They replace earlier masks. None
            lifts them; removed weights stay zero until training moves them.

        Raises
        ------
        ShapeError, StructureError, UnsupportedTypeError, LayoutError

        Warns
        -----
        UnreachableClassWarning
            If a class keeps no weight: its logit is its bias, whatever the sample.
        """
        tensors = Tensors(self.weights, "weights", SINGLES)
        if masks is None:
            self._apply(None)
            return
        given = tensors.matching(masks, "masks", MASKS)
        self._apply(given)
        unreachable = np.flatnonzero(~given[-1].any(axis=1))
        if unreachable.size:
            warnings.warn(
                f"{unreachable.size} of {self.classes} classes keep no weight: "
                f"{', '.join(map(str, unreachable))}",
                UnreachableClassWarning,
                stacklevel=2,
            )

    def _apply(self, masks: Sequence[Array] | None) -> None:
        copies = None
        if masks is not None:
            copies = dict(zip(self.weights, (mask.copy() for mask in masks), strict=True))
        with native_call():
            _core.network_apply(self._handle, masks)
        self._masks = copies

    def fit(
        self,
        x: Array,
        y: Array,
        *,
        epochs: int = 1,
        batch_size: int = 128,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        milestones: Sequence[int] = (),
        gamma: float = 0.1,
        seed: int = 0,
        progress: bool = False,
        on_epoch: Callable[[Epoch], object] | None = None,
    ) -> list[Epoch]:
        """Train by stochastic gradient descent on the cross entropy.

        Each step: ``v = momentum * v + g + weight_decay * w``, then ``w -= learning_rate * v``,
        for weights and biases. Every call starts with v = 0 and, for the same seed, with the same
        order of samples. Removed weights stay exactly zero.

        Parameters
        ----------
        x : array of float32, shape (n, ...)
            Samples; each is flattened.
        y : array of integers, shape (n,)
            Labels in 0 ... classes - 1.
        epochs : int
            Passes over the samples, in a new order each; 0 does nothing.
        batch_size : int
            The last batch of a pass may be smaller.
        learning_rate, momentum, weight_decay : float
            Not negative, finite.
        milestones : sequence of int
            The learning rate is multiplied by `gamma` after so many epochs.
        gamma : float
        seed : int
            Selects the order of the samples.
        progress : bool
            Show a progress bar (needs tqdm).
        on_epoch : callable, optional
            Called with each `Epoch` as it ends: to log, to evaluate, to stop by an exception.

        Returns
        -------
        list of Epoch

        Raises
        ------
        DivergedError
            If a loss is not finite, before its step is taken; or if a weight is not after a pass.
        HyperparameterError, SeedError
        ShapeError, UnsupportedTypeError, LayoutError, LabelError
        """
        inputs, labels = self._samples(x, y)
        size = _at_least_one(batch_size, "batch_size")
        if integer(epochs, "epochs", HyperparameterError) < 0:
            raise HyperparameterError(f"epochs must not be negative, not {epochs}")
        seed = check_seed(seed)
        learning_rate = _not_negative(learning_rate, "learning_rate")
        rates = (_not_negative(momentum, "momentum"), _not_negative(weight_decay, "weight_decay"))
        gamma = _not_negative(gamma, "gamma")
        ends = [integer(end, "a milestone", HyperparameterError) for end in milestones]
        with native_call():
            _core.network_reset(self._handle)
        history = []
        for epoch in range(epochs):
            rate = learning_rate * gamma ** sum(epoch >= end for end in ends)
            order = permutation(len(labels), seed, _TRAINING + epoch)
            batches = [order[i : i + size] for i in range(0, len(order), size)]
            loss, correct = 0.0, 0
            for rows in bar(batches, description=f"epoch {epoch + 1}/{epochs}", shown=progress):
                with native_call():
                    batch_loss, hits = _core.network_train(
                        self._handle, inputs, labels, rows, rate, *rates
                    )
                self._check_finite(batch_loss, epoch)
                loss += batch_loss * len(rows)
                correct += hits
            for weight in self.weights.values():
                self._check_finite(float(np.abs(weight).max()), epoch, "largest weight")
            history.append(Epoch(epoch + 1, loss / len(labels), correct / len(labels), rate))
            if on_epoch is not None:
                on_epoch(history[-1])
        return history

    def _check_finite(self, value: float, epoch: int, what: str = "loss") -> None:
        if not math.isfinite(value):
            raise DivergedError(
                f"the {what} is {value} in epoch {epoch + 1}: "
                "look for samples that are not finite, or lower the learning rate"
            )

    def evaluate(self, x: Array, y: Array) -> Evaluation:
        """Loss and accuracy on samples; nothing changes.

        Parameters
        ----------
        x : array of float32, shape (n, ...)
        y : array of integers, shape (n,)

        Raises
        ------
        ShapeError, UnsupportedTypeError, LayoutError, LabelError
        """
        inputs, labels = self._samples(x, y)
        with native_call():
            loss, correct = _core.network_evaluate(self._handle, inputs, labels, None)
        return Evaluation(loss, correct, len(labels))

    def predict(self, x: Array) -> Array:
        """Logits of samples.

        Parameters
        ----------
        x : array of float32, shape (n, ...)

        Returns
        -------
        array of float32, shape (n, classes)

        Raises
        ------
        ShapeError, UnsupportedTypeError, LayoutError
        """
        inputs = self._inputs(x)
        logits = np.empty((len(inputs), self.classes), np.float32)
        with native_call():
            _core.network_forward(self._handle, inputs, logits)
        return logits

    __call__ = predict

    def copy(self) -> Network:
        """Return a network with the same layers, parameters and masks, and no momentum."""
        twin = Network(self.layers, seed=self._seed)
        twin._apply(None if self._masks is None else tuple(self._masks.values()))
        for mine, other in ((self.weights, twin.weights), (self.biases, twin.biases)):
            for name, array in mine.items():
                other[name] = array
        return twin

    def __deepcopy__(self, memo: dict[int, object]) -> Network:
        return self.copy()

    def __repr__(self) -> str:
        """The layers, and how many weights there are."""
        size = sum(weight.size for weight in self.weights.values())
        return f"<Network {', '.join(map(repr, self.layers))}: {size} weights>"

    def _inputs(self, x: Array) -> Array:
        array = checked(x, SINGLES, "x")
        if array.ndim < 2 or len(array) == 0:
            raise ShapeError(f"x must have shape (n, ...) with n of at least 1, not {array.shape}")
        flat = array.reshape(len(array), -1)
        if flat.shape[1] != self.features:
            raise ShapeError(
                f"x has {flat.shape[1]} features per sample where the network takes {self.features}"
            )
        return flat

    def _samples(self, x: Array, y: Array) -> tuple[Array, Array]:
        inputs = self._inputs(x)
        labels = np.asarray(y)
        if labels.dtype.kind not in "iu":
            raise UnsupportedTypeError(f"y must hold integers, not {labels.dtype}")
        if labels.shape != (len(inputs),):
            raise ShapeError(f"y has shape {labels.shape} where x has {len(inputs)} samples")
        bad = np.flatnonzero((labels < 0) | (labels >= self.classes))
        if bad.size:
            raise LabelError(
                f"y[{bad[0]}] is {labels[bad[0]]}, outside 0 ... {self.classes - 1}"
                f" ({bad.size} such labels)"
            )
        return inputs, np.ascontiguousarray(labels, np.int64)


def lenet_300_100(inputs: int = 784, classes: int = 10, *, seed: int = 0) -> Network:
    """LeNet-300-100: three linear layers of 300, 100 and `classes` outputs, ReLU between them.

    Parameters
    ----------
    inputs : int
        Features of a sample; 784 for images of 28 by 28 pixels.
    classes : int
    seed : int
        Selects the initial weights.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    Examples
    --------
    >>> from swiftforce import nn
    >>> sum(weight.size for weight in nn.lenet_300_100().weights.values())
    266200
    """
    return Network(
        [Linear(inputs, 300), ReLU(), Linear(300, 100), ReLU(), Linear(100, classes)], seed=seed
    )


def _described(layer: AnyLayer, position: int) -> tuple[int, int, int]:
    match layer:
        case Linear(inputs, outputs):
            sizes = (
                integer(inputs, f"layer {position}: inputs", ArchitectureError),
                integer(outputs, f"layer {position}: outputs", ArchitectureError),
            )
            return (number("layer", "linear"), *sizes)
        case ReLU():
            return (number("layer", "relu"), 0, 0)
    raise ArchitectureError(f"layer {position} is a {type(layer).__name__}, not a layer")


def _at_least_one(value: int, name: str) -> int:
    if integer(value, name, HyperparameterError) < 1:
        raise HyperparameterError(f"{name} must be at least 1, not {value}")
    return value


def _not_negative(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < math.inf:
        raise HyperparameterError(f"{name} must be finite and not negative, not {value!r}")
    return float(value)


def _batches(n: int, size: int, seed: int | None) -> Iterator[Array]:
    """Row numbers, batch after batch, pass after pass."""
    turn = 0
    while True:
        order = np.arange(n) if seed is None else permutation(n, seed, _SCORING + turn)
        for start in range(0, n, size):
            yield order[start : start + size]
        turn += 1
