"""The gradients of SynFlow: of the sum of the outputs on an input of ones, without data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from swiftforce.errors import NonFiniteError, UnsupportedTypeError
from swiftforce.inputs import SINGLES, Array
from swiftforce.nn.gradients import shaped
from swiftforce.nn.layers import Linear
from swiftforce.nn.network import Network

#: R times the square of two to these powers is tried, until it is in the range of float32.
_EXPONENTS = (0, -40, 40, -80, 80, -120, 120)


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
        ``gradients(weights)`` returns ``dR / d|w|`` by name, as new arrays, all of them times the
        power of two that brings R between 1/2 and 2: with 50 layers R itself leaves the range of
        float32. The order of scores stays the same, but their sums in different steps, such as
        `Step.saliency`, do not say how R falls. Threads may share the function, and it can be
        pickled.

        It raises `NonFiniteError` if R is above 2^250 or so, and `StructureError`, `ShapeError`,
        `UnsupportedTypeError` or `LayoutError` if the weights do not fit.

    Raises
    ------
    UnsupportedTypeError
        If `network` is not a network of `swiftforce.nn`.

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
    if not isinstance(network, Network):
        raise UnsupportedTypeError(
            f"network must be a swiftforce.nn.Network, not {type(network).__name__}: for a torch "
            'model call swiftforce.torch.prune(..., method="synflow")'
        )
    return _SynapticFlow(network)


class _SynapticFlow:
    """The function that `synaptic_flow` returns."""

    def __init__(self, network: Network) -> None:
        # One more layer, whose output is R.
        total = Linear(network.classes, 1, bias=False)
        self._flow = Network([*network.layers, total], input_shape=network.input_shape)
        *_, self._total = self._flow.weights
        for name, array in (*network.biases.items(), *network.statistics.items()):
            is_added = name.endswith((".bias", ".mean"))
            self._flow.parameters[name] = np.zeros_like(array) if is_added else np.abs(array)

    def __call__(self, weights: Mapping[str, Array]) -> dict[str, NDArray[np.float32]]:
        names = [name for name in self._flow.weights if name != self._total]
        shapes = self._flow.weights.shapes
        expected = shaped({name: shapes[name] for name in names})
        arrays = expected.matching(weights, "weights", SINGLES)
        absolute = dict(zip(names, map(np.abs, arrays), strict=True))
        for exponent in _EXPONENTS:
            found, total = self._at(absolute, exponent)
            if 0 < total < math.inf:
                log = math.log2(total) - 2 * exponent
                found, total = self._at(absolute, -round(log / 2))
                break
        # A search names the weight that is not finite.
        if not total < math.inf and all(np.isfinite(one).all() for one in absolute.values()):
            raise NonFiniteError(
                "the sum of the outputs at the absolute weights leaves the range of float32: scale "
                "the weights or the running statistics, or search a torch model by "
                'swiftforce.torch.prune(..., method="synflow"), in float64'
            )
        return found

    def _at(
        self, absolute: Mapping[str, Array], exponent: int
    ) -> tuple[dict[str, NDArray[np.float32]], float]:
        """The gradients times the square of two to a power, and R times that square.

        R is proportional to the input and to the weights of the last layer. Each of the two has the
        power, so that activations and their gradients lie between the power and R times it.
        """
        factor = np.float32(2.0**exponent)
        last = np.full(self._flow.weights.shapes[self._total], factor)
        ones = np.full((1, *self._flow.input_shape), factor)
        # The loss is minus the output.
        gradients = self._flow.gradients_on(ones, np.zeros(1, np.int64), mode="eval")
        found = gradients({**absolute, self._total: last})
        for one in found.values():
            np.negative(one, out=one)
        outputs = found.pop(self._total).astype(np.float64) * float(factor)
        return found, float(outputs.sum())
