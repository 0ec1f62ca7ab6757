"""Samples and labels that callers pass to a network: checked, and cut into batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swiftforce.errors import LabelError, ShapeError, UnsupportedTypeError
from swiftforce.inputs import SINGLES, Array, checked_array
from swiftforce.search import permutation

#: Streams of a seed that orders of samples are drawn from, one per pass over them. Initial weights
#: are drawn from the streams that begin at 0.
TRAINING_STREAM = 1 << 32
SCORING_STREAM = 2 << 32


class Samples(NamedTuple):
    """Checked samples.

    Attributes
    ----------
    inputs : array of float32, shape (n, features)
    labels : array of int64, shape (n,)
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]


def check_samples(x: Array, y: Array, input_shape: tuple[int, ...], classes: int) -> Samples:
    """Samples and labels as the core takes them.

    Raises
    ------
    ShapeError, UnsupportedTypeError, LayoutError, LabelError
        The message says what to do.
    """
    inputs = check_inputs(x, input_shape)
    return Samples(inputs, _check_labels(y, len(inputs), classes))


def check_inputs(x: Array, input_shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Samples as an array of shape (n, features), without a copy.

    Raises
    ------
    ShapeError, UnsupportedTypeError, LayoutError
    """
    array = _numpy(x, "x", ".float()")
    if getattr(array, "dtype", None) == np.uint8:
        raise UnsupportedTypeError(
            "x has dtype uint8 where float32 is needed: scale the pixels with "
            "x.astype('float32') / 255"
        )
    array = checked_array(array, SINGLES, "x")
    if array.ndim < 2 or len(array) == 0:
        raise ShapeError(f"x must have shape (n, ...) with n of at least 1, not {array.shape}")
    flat: NDArray[np.float32] = array.reshape(len(array), -1)
    features = int(np.prod(input_shape))
    if flat.shape[1] != features:
        raise ShapeError(
            f"x has {flat.shape[1]} features per sample where the network takes {features}"
        )
    sample_shape = array.shape[1:]
    if len(sample_shape) == len(input_shape) and sample_shape != input_shape:
        is_channels_last = sample_shape == (*input_shape[1:], input_shape[0])
        hint = (
            "; move the channels with np.ascontiguousarray(x.transpose(0, 3, 1, 2))"
            if is_channels_last
            else ""
        )
        raise ShapeError(
            f"x has samples of shape {sample_shape} where the network takes {input_shape}: "
            f"channels, height, width{hint}"
        )
    return flat


def _check_labels(y: Array, count: int, classes: int) -> NDArray[np.int64]:
    labels = np.asarray(_numpy(y, "y", ""))
    if labels.shape == (count, classes) and classes > 1:
        raise ShapeError(
            f"y has shape {labels.shape} where one label per sample is needed: turn one-hot "
            "labels into numbers with y.argmax(axis=1)"
        )
    if labels.dtype.kind not in "iu":
        hint = ": convert it with y.astype('int64')" if labels.dtype.kind in "fb" else ""
        raise UnsupportedTypeError(f"y must hold integers, not {labels.dtype}{hint}")
    if labels.shape != (count,):
        hint = ": flatten it with y.ravel()" if labels.size == count and labels.ndim else ""
        raise ShapeError(f"y has shape {labels.shape} where x has {count} samples{hint}")
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if bad.size:
        hint = ""
        if labels.min() == 1 and labels.max() == classes:
            hint = ": labels start at 0, so pass y - 1"
        raise LabelError(
            f"y[{bad[0]}] is {labels[bad[0]]}, outside 0 ... {classes - 1}"
            f" ({bad.size} such labels){hint}"
        )
    return np.ascontiguousarray(labels, np.int64)


def _numpy(value: Any, name: str, convert: str) -> Any:  # noqa: ANN401 - what callers pass
    """The value; a tensor of torch as a numpy array.

    Raises
    ------
    UnsupportedTypeError
        If it is a tensor whose memory numpy cannot read, or does not hold the type needed.
    """
    if type(value).__module__.partition(".")[0] != "torch":
        return value
    try:
        array = np.asarray(value)
    except (TypeError, RuntimeError):
        array = None
    if array is None or (convert and array.dtype != np.float32):
        raise UnsupportedTypeError(
            f"{name} is a torch.{type(value).__name__}, not a numpy array: "
            f"pass {name}.detach().cpu(){convert}.numpy()"
        )
    return array


@dataclass
class Batches:
    """Batches for scoring, without end: one pass over the samples after the other.

    Attributes
    ----------
    count : int
        Number of samples.
    size : int
        Of a batch; the last batch of a pass may be smaller.
    seed : int, optional
        Selects a new order for each pass; by default rows come in order.
    """

    count: int
    size: int
    seed: int | None
    #: A pass, and the order of its samples.
    _order: tuple[int, NDArray[np.int64]] | None = field(default=None, repr=False)

    def rows(self, position: int) -> NDArray[np.int64]:
        """Row numbers of the batch at a position."""
        number, index = divmod(position, -(-self.count // self.size))
        return self._rows_of_pass(number)[index * self.size : (index + 1) * self.size]

    def _rows_of_pass(self, number: int) -> NDArray[np.int64]:
        order = self._order
        if self.seed is None:
            order = order or (0, np.arange(self.count))
        elif order is None or order[0] != number:
            order = (number, permutation(self.count, self.seed, SCORING_STREAM + number))
        self._order = order
        return order[1]
