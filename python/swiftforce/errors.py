"""All errors and warnings of swiftforce.

Each error derives from `SwiftForceError` and from the built-in exception that fits, so
``except ValueError`` works as well as ``except sf.SwiftForceError``.
"""

from __future__ import annotations

__all__ = [
    "AllocationError",
    "ArchitectureError",
    "ArraysChangedError",
    "BatchesError",
    "BoundsError",
    "CheckpointError",
    "DatasetError",
    "DegenerateSaliencyWarning",
    "DeltaFileError",
    "DivergedError",
    "EnvironmentVariableError",
    "ExchangeError",
    "HyperparameterError",
    "InUseError",
    "KeepError",
    "LabelError",
    "LayerCollapseWarning",
    "LayoutError",
    "MaskFileError",
    "MaskedGradientsWarning",
    "MasksChangedError",
    "MasksLostWarning",
    "MissingGradientsError",
    "NetworkFileError",
    "NonFiniteError",
    "OverlapError",
    "PackedFileError",
    "PartlySearchedWarning",
    "RankFailedError",
    "RanksDifferError",
    "RemovedWeightsError",
    "RemovedWeightsWarning",
    "RunsFileError",
    "ScheduleError",
    "SearchDoneError",
    "SearchFileError",
    "SeedError",
    "ShapeError",
    "SparsityError",
    "StepsError",
    "StepsIgnoredWarning",
    "StructureError",
    "SwiftForceError",
    "SwiftForceWarning",
    "ThreadsError",
    "UnknownNameError",
    "UnreachableClassWarning",
    "UnsupportedTypeError",
    "WeightsDifferError",
]


def printable(text: str) -> str:
    r"""Escape the characters of a text that do not print, such as line ends and colour codes.

    Names of tensors and files may hold any characters, and a terminal obeys some of them.

    Examples
    --------
    >>> from swiftforce.errors import printable
    >>> printable("größe\x1b[1m")
    'größe\\x1b[1m'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


class SwiftForceError(Exception):
    """Base of every error that swiftforce raises."""

    def __str__(self) -> str:
        """The message, without characters that a terminal would obey."""
        return printable(super().__str__())


class NonFiniteError(SwiftForceError, ValueError):
    """A weight, gradient or score is NaN or infinite.

    Attributes
    ----------
    tensor : str
        The tensor at fault, as the message names it, for example ``gradients['fc1']``.
    count : int
        How many of its values are not finite.
    first_index : int
        Position of the first one, counted in memory order.
    value : float
        The first one.
    """

    def __init__(
        self,
        message: str,
        *,
        tensor: str = "",
        count: int = 0,
        first_index: int = -1,
        value: float = float("nan"),
    ) -> None:
        super().__init__(message)
        self.tensor = tensor
        self.count = count
        self.first_index = first_index
        self.value = value


class SparsityError(SwiftForceError, ValueError):
    """A sparsity is not a number in [0, 1)."""


class KeepError(SwiftForceError, ValueError):
    """A number of weights to keep is not an integer in 1 ... n."""


class StepsError(SwiftForceError, ValueError):
    """A number of steps is below one, or a schedule has several for a one-shot method."""


class ScheduleError(SwiftForceError, ValueError):
    """A schedule keeps more weights than the step before, has another end, or is not a schedule."""


class ShapeError(SwiftForceError, ValueError):
    """Arrays that belong together differ in shape or length."""


class StructureError(SwiftForceError, ValueError):
    """Arrays are not in the structure of the weights: names differ, or some are missing."""


class LayoutError(SwiftForceError, ValueError):
    """An array is not C-contiguous, not aligned, or read-only where it is written."""


class OverlapError(SwiftForceError, ValueError):
    """Two arrays that must be distinct share memory."""


class UnsupportedTypeError(SwiftForceError, TypeError):
    """An array has an element type that is not supported, or an object is not an array."""


class UnknownNameError(SwiftForceError, ValueError):
    """There is no method, saliency, schedule or layer of that name."""


class ThreadsError(SwiftForceError, ValueError):
    """A number of threads is not an integer in 1 ... 4096."""


class EnvironmentVariableError(SwiftForceError, ValueError):
    """An environment variable of swiftforce has an invalid value."""


class SeedError(SwiftForceError, ValueError):
    """A seed is not an integer in 0 ... 2**64 - 1."""


class MissingGradientsError(SwiftForceError, TypeError):
    """The method scores weights by their gradients, and there are none for a step."""


class SearchDoneError(SwiftForceError, RuntimeError):
    """The search has taken all its steps, or has no result because it has taken none."""


class ArraysChangedError(SwiftForceError, RuntimeError):
    """Weights, gradients or scores changed during a call: another thread writes them."""


class MasksChangedError(SwiftForceError, RuntimeError):
    """The masks of a search are not those that its previous step left."""


class RankFailedError(SwiftForceError, RuntimeError):
    """Another rank failed and raises its own error, or the ranks are not at the same step."""


class InUseError(SwiftForceError, RuntimeError):
    """A call was made from within another on the same object: by a callback or a signal handler."""


class ExchangeError(SwiftForceError, RuntimeError):
    """A communicator returned numbers that cannot be sums over all ranks."""


class ArchitectureError(SwiftForceError, ValueError):
    """The layers of a network do not fit together."""


class LabelError(SwiftForceError, ValueError):
    """A label is not in 0 ... classes - 1."""


class HyperparameterError(SwiftForceError, ValueError):
    """A learning rate, momentum, weight decay, batch size or number of epochs is out of range."""


class BatchesError(SwiftForceError, ValueError):
    """There are no batches, too few for a search, or none in a step; or a batch is empty."""


class BoundsError(SwiftForceError, ValueError):
    """No masks respect the floors and caps on kept weights; or one of these is out of range."""


class DivergedError(SwiftForceError, ArithmeticError):
    """The loss is not a finite number: training diverged."""


class DatasetError(SwiftForceError, ValueError):
    """A data set is missing, or one of its files is corrupt, truncated or of another kind."""


class MaskFileError(SwiftForceError, ValueError):
    """A file does not hold masks of swiftforce, or is damaged."""


class CheckpointError(SwiftForceError, ValueError):
    """A file of tensors is damaged or of another kind, or files do not form one checkpoint."""


class SearchFileError(SwiftForceError, ValueError):
    """A file does not hold a search of swiftforce, or is damaged."""


class WeightsDifferError(SwiftForceError, ValueError):
    """Weights differ from those that a file was written for, in names, shapes, types or values."""


class RunsFileError(SwiftForceError, ValueError):
    """A file does not hold results of trials, has other columns, or one of its lines is damaged."""


class MeasuresError(SwiftForceError, ValueError):
    """What a trial of a comparison returned cannot be a row of its table."""


class PackedFileError(SwiftForceError, ValueError):
    """A file does not hold a packed model, or is damaged."""


class DeltaFileError(SwiftForceError, ValueError):
    """A file does not hold the trained weights of a model, or is damaged."""


class RemovedWeightsError(SwiftForceError, ValueError):
    """A weight that a mask removes is not zero, so that a packed model would lose its value."""


class NetworkFileError(SwiftForceError, ValueError):
    """A file does not hold a network of swiftforce, or is damaged."""


class RanksDifferError(SwiftForceError, ValueError):
    """Ranks that search together hold different weights, or found different masks."""


class AllocationError(SwiftForceError, MemoryError):
    """The core could not allocate memory."""


class SwiftForceWarning(UserWarning):
    """Base of every warning that swiftforce issues."""

    def __str__(self) -> str:
        """The message, without characters that a terminal would obey."""
        return printable(super().__str__())


class DegenerateSaliencyWarning(SwiftForceWarning):
    """Fewer weights have a saliency above zero than are kept: their positions decide the rest."""


class MaskedGradientsWarning(SwiftForceWarning):
    """Removed weights never had a gradient, so a method that may bring them back could not."""


class LayerCollapseWarning(SwiftForceWarning):
    """No weight of a layer is kept."""


class PartlySearchedWarning(SwiftForceWarning):
    """Less than half of a model's matrices were searched, and not because of the patterns given."""


class UnreachableClassWarning(SwiftForceWarning):
    """No path of kept weights leads from a network's input to a class: it is never predicted."""


class MasksLostWarning(SwiftForceWarning):
    """Masks do not keep the weights that act at zero, or a saved state lacks them."""


class RemovedWeightsWarning(SwiftForceWarning):
    """A state that is loaded has values other than zero where masks remove weights."""


class DenseLayerWarning(SwiftForceWarning):
    """A layer that was made sparse computes over all of its weights, since it has to."""


class StepsIgnoredWarning(SwiftForceWarning):
    """A one-shot method was given a number of steps: it takes one step and ignores it."""
