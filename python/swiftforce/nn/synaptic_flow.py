"""The gradients of SynFlow: of the sum of the outputs on an input of ones, without data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from swiftforce.inputs import FLOAT32, SINGLES, Array
from swiftforce.nn.gradients import shaped
from swiftforce.nn.network import Network

#: Powers of two that inputs are tried at, until the outputs are finite.
_EXPONENTS = (0, -40, -80, -120)


def synaptic_flow(
    network: Network,
) -> Callable[[Mapping[str, Array]], dict[str, NDArray[np.float32]]]:
    """Make the function from masked weights to the gradients that SynFlow scores by.

    R is the sum of the outputs for an input of ones, at the absolute weights. SynFlow is Iterative
    SNIP by the gradients of R, in 100 steps. Batch normalisation uses the running statistics, as in
    evaluation. What is added has no part in it, as before training: biases and running means
    count as zero.

    Parameters
    ----------
    network : Network
        It is not changed. The function keeps a copy of its own.

    Returns
    -------
    callable
        ``gradients(weights)`` returns ``dR / d|w|`` by name, all of them times one positive factor:
        R is a product over all layers, and for 50 of them it leaves the range of float32. The
        factor differs from call to call. It does not change the order of the scores. It raises
        `StructureError`, `ShapeError` or `UnsupportedTypeError` for other weights.

    References
    ----------
    Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively
    conserving synaptic flow", NeurIPS 2020, equation 2.

    Examples
    --------
    >>> import swiftforce as sf
    >>> from swiftforce import nn
    >>> net = nn.lenet_300_100(seed=1)
    >>> flow = nn.synaptic_flow(net)
    >>> pruning = sf.prune(net.weights, flow, method="iterative_snip", steps=100, keep=300)
    >>> [layer.kept > 0 for layer in pruning.layers]
    [True, True, True]
    """
    flow = network.copy()
    flow.apply(None)
    for parameters in (flow.biases, flow.statistics):
        for name in parameters:
            added = name.endswith((".bias", ".mean"))
            parameters[name] = np.zeros_like(parameters[name]) if added else abs(parameters[name])
    *_, last = flow.weights
    expected = shaped(flow.weights)

    def gradients(weights: Mapping[str, Array]) -> dict[str, NDArray[np.float32]]:
        arrays = expected.matching(weights, "weights", SINGLES)
        absolute = dict(zip(flow.weights, map(np.abs, arrays), strict=True))
        for name, array in absolute.items():
            flow.weights[name] = array
        # R is proportional to the input and to the last weights. Where each takes half of its
        # exponent away, neither the activations nor their gradients leave the range.
        factor = np.float32(2.0 ** _half_exponent(flow))
        absolute[last] *= factor
        inputs = np.full((flow.classes, *flow.input_shape), factor)
        # The mean of minus each class's logit: R, but for the factor.
        of_classes = flow.gradients_on(inputs, np.arange(flow.classes), mode="eval")
        found = {name: np.negative(one) for name, one in of_classes(absolute).items()}
        found[last] *= factor
        return found

    return gradients


def _half_exponent(flow: Network) -> int:
    """The power of two that is the root of 1 / R, or 0 where R is zero."""
    for exponent in _EXPONENTS:
        logits = flow.predict(np.full((1, *flow.input_shape), 2.0**exponent, FLOAT32))
        total = float(logits.sum(dtype=np.float64))
        if 0 < total < math.inf:
            return -round((math.log2(total) - exponent) / 2)
    return 0
