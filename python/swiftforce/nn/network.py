"""Networks on the native core: their parameters, gradients, training and evaluation."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from numbers import Real
from typing import Any, Literal, cast, get_args

import numpy as np

from swiftforce import _core
from swiftforce.errors import (
    ArchitectureError,
    DivergedError,
    HyperparameterError,
    LabelError,
    ShapeError,
    UnreachableClassWarning,
    UnsupportedTypeError,
)
from swiftforce.inputs import (
    FLOAT32,
    MASK,
    MASKS,
    SINGLES,
    Array,
    Arrays,
    Tensors,
    case_names,
    check_seed,
    checked_array,
    integer,
)
from swiftforce.native import native_call
from swiftforce.nn.layers import AnyLayer, Flattened
from swiftforce.nn.parameters import Parameters
from swiftforce.nn.paths import Paths
from swiftforce.search import permutation
from swiftforce.show import Training

#: Where the streams of a seed begin that the orders of samples are drawn from: those of training
#: are not those of scoring, nor those of the initial weights, which begin at 0.
_TRAINING = 1 << 32
_SCORING = 2 << 32

#: Where parameters go, by their role.
_GROUPS = {
    "weight": "weights",
    "bias": "biases",
    "scale": "biases",
    "mean": "statistics",
    "variance": "statistics",
}

#: What batch normalisation may take its statistics from.
Mode = Literal["train", "eval"]


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


class Network:
    """A feed-forward classifier whose weights can be pruned.

    Parameters
    ----------
    layers : sequence of layers
        From input to output; the last one gives the logits, one per class.
    input_shape : sequence of int, optional
        (channels, height, width) or (features,) of a sample. By default the inputs of the first
        linear layer, where that is the first layer with a size.
    seed : int
        Selects the initial weights: Kaiming-normal, ``std = sqrt(2 / fan_in)``; biases are 0,
        scales 1.

    Attributes
    ----------
    weights : Parameters
        What can be pruned, by name, ``"0.weight"`` being the weight of the first layer and
        ``"3.body.0.weight"`` that of the first layer in a residual: views of the network's own
        memory, so writing to them changes the network.
    biases : Parameters
        What is trained besides: biases, and the scales and biases of batch normalisation.
    statistics : Parameters
        The running means and variances of batch normalisation, ``"1.mean"`` and ``"1.variance"``.
    input_shape : tuple of int
        Shape of a sample.
    features, classes : int
        Numbers of a sample, and of its logits.

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

    def __init__(
        self,
        layers: Sequence[AnyLayer],
        *,
        input_shape: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        self.layers = tuple(layers)
        if not self.layers:
            raise ArchitectureError("a network needs at least one layer")
        flattened = Flattened(self.layers)
        shape = None if input_shape is None else _shape(input_shape)
        try:
            self._handle = _core.network_create(flattened.native, shape, check_seed(seed))
        except _core.NativeError as error:
            raise flattened.public_error(error) from None
        self._seed = seed
        found: dict[str, dict[str, Array]] = {"weights": {}, "biases": {}, "statistics": {}}
        for view, layer, role, extents in _core.network_parameters(self._handle):
            kind = case_names("role")[role]
            array = np.frombuffer(cast(Any, view), FLOAT32).reshape(extents)
            found[_GROUPS[kind]][f"{flattened.names[layer]}.{kind}"] = array
        self.weights = Parameters(found["weights"])
        self.biases = Parameters(found["biases"])
        self.statistics = Parameters(found["statistics"])
        features, self.classes = _core.network_sizes(self._handle)
        self.input_shape: tuple[int, ...] = shape or (features,)
        self.features: int = features
        self._masks: dict[str, Array] | None = None

    @property
    def parameters(self) -> Parameters:
        """Weights, biases and statistics together."""
        return Parameters({**self.weights, **self.biases, **self.statistics})

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
        mode: Mode = "train",
    ) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
        """Make the function from masked weights to gradients that `swiftforce.force` asks for.

        Parameters
        ----------
        x : array of float32, shape (n, *input_shape) or (n, features)
            Samples.
        y : array of integers, shape (n,)
            Labels in 0 ... classes - 1.
        batch_size : int, optional
            Take the samples in batches of this size; by default all of them at every call. With
            batch normalisation, memory grows with it.
        batches_per_step : int
            How many batches each call averages over. A short last batch weighs by its size.
        seed : int, optional
            Shuffle the samples anew for each pass over them; by default they come in order.
        mode : {"train", "eval"}
            Whether batch normalisation takes the statistics of each batch, as the paper does, or
            the running ones. These stay as they are in either case.

        Returns
        -------
        callable
            ``gradients(weights)`` returns the dense gradients of the mean cross entropy at those
            weights (and the network's other parameters), new arrays by name. Each sample is used
            once until all were used; then they start again. The function goes on where its last
            call ended: make a new one for each search. The network is not changed.

        Raises
        ------
        ShapeError, UnsupportedTypeError, LayoutError, LabelError, HyperparameterError
        AllocationError
            If there is not so much memory.
        """
        inputs, labels = self._samples(x, y)
        size = len(labels) if batch_size is None else _at_least_one(batch_size, "batch_size")
        together = _at_least_one(batches_per_step, "batches_per_step")
        batches = _batches(len(labels), size, None if seed is None else check_seed(seed))
        running = _is_running(mode)
        turn = threading.Lock()
        tensors = Tensors(self.weights, "weights", SINGLES)

        def gradients(weights: Mapping[str, Array]) -> dict[str, Array]:
            given = tensors.matching(weights, "weights", SINGLES)
            with turn:
                step = [next(batches) for _ in range(together)]
            found = self._gradients(tensors, given, (inputs, labels), step, running)
            result: dict[str, Array] = tensors.restore(found)
            return result

        return gradients

    def _gradients(
        self,
        tensors: Tensors,
        weights: Sequence[Array],
        samples: tuple[Array, Array],
        batches: Sequence[Array],
        running: bool,
    ) -> Sequence[Array]:
        """Gradients of the mean loss over batches, each of which is normalised by itself.

        Only batches of one size can be handed over together: a short one, where a pass over the
        samples ended, goes by itself.
        """
        alike = [list(group) for _, group in groupby(batches, key=len)]
        if running or not self.statistics:
            alike = [list(batches)]
        total = sum(map(len, batches))
        parts = []
        for group in alike:
            rows = np.concatenate(group)
            found = tensors.empty(FLOAT32)
            with native_call(tensors.label):
                _core.network_gradients(
                    self._handle, weights, found, *samples, rows, len(group[0]), running
                )
            parts.append((len(rows) / total, found))
        if len(parts) == 1:
            return parts[0][1]
        means = tensors.empty(FLOAT32)
        for i in range(len(means)):
            np.multiply(parts[0][1][i], np.float32(parts[0][0]), out=means[i])
            for share, found in parts[1:]:
                np.add(means[i], np.float32(share) * found[i], out=means[i])
        return means

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
            If no path of kept weights leads from the input to a class: its logit is the same for
            every sample.
        """
        tensors = Tensors(self.weights, "weights", SINGLES)
        if masks is None:
            self._apply(None)
            return
        given = tensors.matching(masks, "masks", MASKS)
        self._apply(given)
        paths = Paths(dict(zip(self.weights, given, strict=True)))
        reached = paths.forward(self.layers, np.ones(self.input_shape, MASK))
        unreachable = np.flatnonzero(~reached)
        if unreachable.size:
            warnings.warn(
                f"no path of kept weights leads from the input to {unreachable.size} of "
                f"{self.classes} classes: {', '.join(map(str, unreachable))}",
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
        x : array of float32, shape (n, *input_shape) or (n, features)
            Samples.
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
            Show a bar with loss, accuracy, images per second and time left (needs tqdm).
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
            seen = 0
            text = f"epoch {epoch + 1}/{epochs}"
            with Training(len(order), description=text, shown=progress) as bar:
                for rows in batches:
                    with native_call():
                        batch_loss, hits = _core.network_train(
                            self._handle, inputs, labels, rows, rate, *rates
                        )
                    self._check_finite(batch_loss, epoch)
                    loss += batch_loss * len(rows)
                    correct += hits
                    seen += len(rows)
                    bar.advance(len(rows), loss=loss / seen, accuracy=correct / seen)
            for name, array in self.parameters.items():
                self._check_finite(float(np.abs(array).max()), epoch, f"largest of {name}")
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
        x : array of float32, shape (n, *input_shape) or (n, features)
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
        x : array of float32, shape (n, *input_shape) or (n, features)

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
        twin = Network(self.layers, input_shape=self.input_shape, seed=self._seed)
        twin._apply(None if self._masks is None else tuple(self._masks.values()))
        for name, array in self.parameters.items():
            twin.parameters[name] = array
        return twin

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, object]) -> Network:
        return self.copy()

    def __repr__(self) -> str:
        """The layers, and how many weights there are."""
        size = sum(weight.size for weight in self.weights.values())
        return f"<Network {', '.join(map(repr, self.layers))}: {size} weights>"

    def _inputs(self, x: Array) -> Array:
        array = checked_array(x, SINGLES, "x")
        if array.ndim < 2 or len(array) == 0:
            raise ShapeError(f"x must have shape (n, ...) with n of at least 1, not {array.shape}")
        flat = array.reshape(len(array), -1)
        if flat.shape[1] != self.features:
            raise ShapeError(
                f"x has {flat.shape[1]} features per sample where the network takes {self.features}"
            )
        if len(self.input_shape) == array.ndim - 1 and array.shape[1:] != self.input_shape:
            raise ShapeError(
                f"x has samples of shape {array.shape[1:]} where the network takes "
                f"{self.input_shape}: channels, height, width"
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


def _shape(sizes: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(sizes, Sequence) or len(sizes) not in (1, 3):
        raise ArchitectureError(
            f"input_shape must be (channels, height, width) or (features,), not {sizes!r}"
        )
    return tuple(integer(size, "a size of input_shape", ArchitectureError) for size in sizes)


def _is_running(mode: Mode) -> bool:
    if mode not in get_args(Mode):
        raise HyperparameterError(f"mode must be one of {', '.join(get_args(Mode))}, not {mode!r}")
    return mode == "eval"


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
