"""Networks on the native core: their parameters, gradients, training and evaluation."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swiftforce import _core
from swiftforce.errors import (
    ArchitectureError,
)
from swiftforce.inputs import (
    Array,
    LossName,
    Mask,
    check_seed,
    integer,
)
from swiftforce.native import native_call
from swiftforce.nn.gradients import GradientFunction
from swiftforce.nn.layers import AnyLayer, Flattened
from swiftforce.nn.masks import (
    AppliedMasks,
    Kernels,
    masks_for,
    warn_of_unreachable_classes,
)
from swiftforce.nn.parameters import Parameters, parameter_groups
from swiftforce.nn.plan import NetworkPlan, layer_plans
from swiftforce.nn.records import Epoch, Evaluation
from swiftforce.nn.samples import Batches, Samples, check_inputs, check_samples
from swiftforce.nn.settings import (
    Mode,
    ScoringLoss,
    TrainingSettings,
    at_least_one,
    uses_running_statistics,
)
from swiftforce.nn.training import train
from swiftforce.result import PruningRecord
from swiftforce.search import Turns


class Network:
    """A feed-forward classifier whose weights can be pruned.

    Parameters
    ----------
    layers : sequence of layers
        From input to output; the last one gives the logits, one per class.
    input_shape : sequence of int, optional
        (channels, height, width) or (features,) of a sample. May be left out if the first layer
        with a size is linear.
    seed : int
        Selects the initial weights: Kaiming-normal, ``std = sqrt(2 / fan_in)``; biases are 0,
        scales 1.

    Attributes
    ----------
    layers : tuple of layers
    weights : Parameters
        The parameters that can be pruned, by name: ``"0.weight"`` is the weight of the first layer,
        ``"3.body.0.weight"`` that of the first layer in a residual. They are views of the network's
        memory: writing to them changes the network. Write to kept weights alone while masks are
        applied: what is written to a removed weight is lost, and may or may not count until then.
        A masked layer has memory for its removed weights only while you keep such a view.
    biases : Parameters
        The other trained parameters: biases, and the scales and biases of batch normalisation.
    statistics : Parameters
        The running means and variances of batch normalisation, ``"1.mean"`` and ``"1.variance"``.
    input_shape : tuple of int
        Shape of a sample.
    features, classes : int
        How many numbers a sample has, and how many logits.

    Raises
    ------
    ArchitectureError
        If the layers do not fit together; the message names the layer.
    SeedError

    Notes
    -----
    Threads may share a network. A lock is held for one batch at a time, so `predict` and the like
    run between two batches of `fit`; another call of `fit` waits for its turn. A network can be
    pickled and copied: with its parameters and masks, but no momentum. Write to parameters between
    steps: what a thread writes to them during a step of another may be lost.

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
        groups = parameter_groups(self._handle, flattened.names)
        self.weights = groups.weights
        self.biases = groups.biases
        self.statistics = groups.statistics
        self._parameters = groups.all
        features, self.classes = _core.network_sizes(self._handle)
        self.input_shape: tuple[int, ...] = shape or (features,)
        self.features: int = features
        self._masks = AppliedMasks(self._handle, self.weights.shapes)
        self._fits = Turns("call of fit on this network")

    @property
    def parameters(self) -> Parameters:
        """Weights, biases and statistics together."""
        return self._parameters

    @property
    def masks(self) -> dict[str, Mask] | None:
        """Copies of the masks that are applied; None if there are none."""
        return self._masks.copies()

    def gradients_on(
        self,
        x: Array,
        y: Array,
        *,
        batch_size: int | None = None,
        batches_per_step: int = 1,
        seed: int | None = None,
        mode: Mode = "train",
        loss: LossName = "target_logit",
        temperature: float = 1.0,
    ) -> Callable[[Mapping[str, Array]], dict[str, NDArray[np.float32]]]:
        """Make the function from masked weights to gradients that `swiftforce.force` needs.

        Parameters
        ----------
        x : array of float32, shape (n, *input_shape) or (n, features)
            Samples.
        y : array of integers, shape (n,)
            Labels in 0 ... classes - 1.
        batch_size : int, optional
            Samples in a batch. By default every call uses all samples. With batch normalisation,
            memory grows with it.
        batches_per_step : int
            How many batches each call averages over. A shorter last batch counts by its size.
        seed : int, optional
            Selects a new order of the samples for each pass over them. By default samples come in
            order.
        mode : {"train", "eval"}
            Whether batch normalisation uses the statistics of each batch, as the paper does, or
            the running statistics. Neither mode changes the running statistics.
        loss : {"target_logit", "cross_entropy"}
            The loss, of which the mean over the samples is taken: minus the logit of the label, by
            which the published code of FORCE scores weights, or the cross entropy, by which `fit`
            trains. At 98 % sparsity and more, masks scored by the cross entropy can leave classes
            without a path, and those scored by the logit kept all in our runs of plain FORCE and
            Iterative SNIP (docs/REPRODUCTION.md). Choose the cross entropy to compare with results
            that were scored by it, or to measure the objective of the loss that is trained.
        temperature : float
            Divides the logits of the cross entropy. For ``loss="cross_entropy"`` alone: it would
            only scale the other loss.

        Returns
        -------
        callable
            ``gradients(weights)`` returns the dense gradients of the mean loss at those
            weights (and the network's other parameters), as new arrays by name. Each call
            continues with the samples after those of the call before, unless that raised; after
            the last sample the first ones follow again. Make a new function for each search. The
            network is not changed.

        Raises
        ------
        ShapeError, UnsupportedTypeError, LayoutError, LabelError, HyperparameterError
            The message says what to do.
        UnknownNameError
            If there is no such loss.
        AllocationError
            If there is not enough memory.

        References
        ----------
        De Jorge et al., the code of "Progressive Skeletonization", github.com/naver/force, which
        applies the loss of log probabilities to logits.
        """
        samples = self._check_samples(x, y)
        count = len(samples.labels)
        size = count if batch_size is None else at_least_one(batch_size, "batch_size")
        per_step = at_least_one(batches_per_step, "batches_per_step")
        return GradientFunction(
            self,
            samples,
            Batches(count, size, None if seed is None else check_seed(seed)),
            batches_per_step=per_step,
            running=uses_running_statistics(mode),
            loss=ScoringLoss.checked(loss, temperature),
        )

    @property
    def multiply_adds(self) -> dict[str, int]:
        """How many products with one element of each weight the outputs of one sample need.

        A linear layer has one, a convolution one for each position that it writes. It is a cost for
        `swiftforce.Allocation`, with which a search keeps a share of all multiply-adds.

        Examples
        --------
        >>> from swiftforce import nn
        >>> layers = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(100, 2)]
        >>> nn.Network(layers, input_shape=(1, 5, 5)).multiply_adds
        {'0.weight': 25, '3.weight': 1}
        """
        with native_call():
            found = _core.network_plan(self._handle)
        return {name: plan[-1] for name, plan in zip(self.weights, found, strict=True)}

    def plan(self) -> NetworkPlan:
        """How each layer with a weight computes.

        Masked layers compute over their kept weights alone where that is faster: `apply` decides it
        for each layer by its density and its sizes, for all three of its products alike. The
        results are the same up to the order of sums. Gradients of fewer than 16 samples are
        computed over all weights; their outputs are not.

        Returns
        -------
        NetworkPlan
            A sequence of `LayerPlan`, which prints as a table.

        Examples
        --------
        >>> import numpy as np
        >>> from swiftforce import nn
        >>> net = nn.Network([nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 2)])
        >>> net.apply({"0.weight": np.eye(30, 40, dtype=bool), "2.weight": np.ones((2, 30), bool)})
        >>> net.plan()
        weight    kernels  why                    kept     of
        0.weight  sparse   at most 35% kept      2.50%  1,200
        2.weight  dense    more than 35% kept  100.00%     60
        """
        with native_call():
            found = _core.network_plan(self._handle)
        sizes = {name: math.prod(shape) for name, shape in self.weights.shapes.items()}
        reason = None
        if not self._masks.applied:
            reason = "no masks"
        elif self._masks.kernels == "dense":
            reason = "kernels='dense'"
        return layer_plans(sizes, found, reason)

    def apply(
        self,
        masks: PruningRecord[Any] | Mapping[str, Mask] | None,
        *,
        kernels: Kernels = "auto",
    ) -> None:
        """Remove weights: they become exactly zero and stay zero during training.

        Layers then compute over their kept weights alone where that is faster (see `plan`). An
        input that only removed weights would read has no effect then, even if it is NaN.

        Parameters
        ----------
        masks : Pruning, mapping of str to array of bool, or None
            What a search returned, or its masks: True where a weight is kept, one array for each
            of `weights`. Masks are copied and replace earlier ones. None takes the masks away;
            removed weights stay zero until training changes them.
        kernels : {"auto", "dense"}
            ``"dense"``: every layer computes over all weights, as without masks. To compare.

        Raises
        ------
        ShapeError, StructureError
            If the masks were found for another network.
        UnsupportedTypeError, LayoutError, HyperparameterError
        InUseError
            If a signal handler applies masks while this call does.

        Warns
        -----
        UnreachableClassWarning
            If no path of kept weights leads from the input to a class: its logit is the same for
            every sample. If warnings are errors, the masks are not applied.
        """
        if masks is not None:
            masks = masks_for(self.weights, masks)
            warn_of_unreachable_classes(
                self.layers, self.input_shape, self.classes, masks, stacklevel=2
            )
        self._masks.apply(masks, kernels)

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
        progress: bool | None = None,
        on_epoch: Callable[[Epoch], object] | None = None,
    ) -> list[Epoch]:
        """Train by stochastic gradient descent on the cross entropy.

        Each step: ``v = momentum * v + g + weight_decay * w``, then ``w -= learning_rate * v``,
        for weights and biases. Every call starts with v = 0. The same seed gives the same orders
        of samples. Removed weights stay exactly zero.

        Parameters
        ----------
        x : array of float32, shape (n, *input_shape) or (n, features)
            Samples.
        y : array of integers, shape (n,)
            Labels in 0 ... classes - 1.
        epochs : int
            Passes over the samples, each in a new order; 0 does nothing.
        batch_size : int
            Samples in a batch; the last batch of a pass may be smaller.
        learning_rate, momentum, weight_decay : float
            Finite, not negative.
        milestones : sequence of int
            Numbers of epochs after which the learning rate is multiplied by `gamma`.
        gamma : float
            Finite, not negative.
        seed : int
            Selects the orders of the samples.
        progress : bool, optional
            Whether to show a progress bar for each epoch, with loss, accuracy, images per second
            and time left. By default it appears once the epoch has taken two seconds, if standard
            error is a terminal or a notebook and tqdm is installed.
        on_epoch : callable, optional
            Called with each `Epoch` as it ends: to log, to evaluate, to copy the network, or to
            stop by an exception, after which the network keeps what it has learned so far.

        Returns
        -------
        list of Epoch

        Raises
        ------
        DivergedError
            If the loss of a batch is not finite, or a parameter is not finite after an epoch. All
            parameters are then as they were before the call, and so they are after any other
            error of swiftforce between two calls of `on_epoch`, and if memory is short.
        InUseError
            If `on_epoch` or a signal handler calls `fit` on this network.
        ImportError
            If `progress` is True and tqdm is not installed.
        HyperparameterError, SeedError
        ShapeError, UnsupportedTypeError, LayoutError, LabelError
            The message says what to do.

        Notes
        -----
        Where Ctrl-C interrupts it, the network keeps the steps taken. Extra memory: a copy of the
        parameters.
        """
        samples = self._check_samples(x, y)
        settings = TrainingSettings.checked(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            milestones=milestones,
            gamma=gamma,
            seed=seed,
        )
        return self._fits.take(
            lambda: train(
                self._handle,
                list(self._parameters),
                samples,
                settings,
                progress=progress,
                on_epoch=on_epoch,
            )
        )

    def evaluate(self, x: Array, y: Array) -> Evaluation:
        """Loss and accuracy on samples; the network is not changed.

        Parameters
        ----------
        x : array of float32, shape (n, *input_shape) or (n, features)
            Samples.
        y : array of integers, shape (n,)
            Labels in 0 ... classes - 1.

        Returns
        -------
        Evaluation

        Raises
        ------
        ShapeError, UnsupportedTypeError, LayoutError, LabelError
        """
        samples = self._check_samples(x, y)
        with native_call():
            loss, correct = _core.network_evaluate(self._handle, *samples, None)
        return Evaluation(loss, correct, len(samples.labels))

    def predict(self, x: Array) -> NDArray[np.float32]:
        """Logits of samples.

        Parameters
        ----------
        x : array of float32, shape (n, *input_shape) or (n, features)
            Samples.

        Returns
        -------
        array of float32, shape (n, classes)

        Raises
        ------
        ShapeError, UnsupportedTypeError, LayoutError
        """
        inputs = check_inputs(x, self.input_shape)
        logits = np.empty((len(inputs), self.classes), np.float32)
        with native_call():
            _core.network_forward(self._handle, inputs, logits)
        return logits

    __call__ = predict

    def copy(self) -> Network:
        """Return a network with the same layers, parameters and masks, and no momentum."""
        return copy.copy(self)

    def __getstate__(self) -> dict[str, Any]:
        """Layers, parameters and masks, for `pickle` and `copy`."""
        made = {"_handle", "weights", "biases", "statistics", "_masks", "_fits", "_parameters"}
        state = {name: value for name, value in vars(self).items() if name not in made}
        parameters = {name: array.copy() for name, array in self.parameters.items()}
        kept = {"masks": self.masks, "kernels": self._masks.kernels}
        return state | kept | {"parameters": parameters}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the same network anew."""
        masks, parameters = state.pop("masks"), state.pop("parameters")
        kernels = state.pop("kernels", "auto")
        Network.__init__(
            self, state["layers"], input_shape=state["input_shape"], seed=state["_seed"]
        )
        vars(self).update(state)
        self._masks.apply(masks, kernels)
        for name, array in parameters.items():
            self.parameters[name] = array

    def __repr__(self) -> str:
        """The layers, and how many weights there are."""
        return f"<Network {', '.join(map(repr, self.layers))}: {self.weights.size} weights>"

    def _repr_html_(self) -> str:
        """The card of the network, for notebooks: its size, and how each layer computes."""
        plan = self.plan()
        kept = sum(layer.kept for layer in plan)
        size = self.weights.size
        return (
            f"<div>Network: {size:,} weights, {kept:,} kept ({kept / max(size, 1):.2%})</div>"
            f"{plan._repr_html_()}"
        )

    def _check_samples(self, x: Array, y: Array) -> Samples:
        return check_samples(x, y, self.input_shape, self.classes)


def _shape(sizes: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(sizes, Sequence) or len(sizes) not in (1, 3):
        raise ArchitectureError(
            f"input_shape must be (channels, height, width) or (features,), not {sizes!r}"
        )
    return tuple(integer(size, "a size of input_shape", ArchitectureError) for size in sizes)
