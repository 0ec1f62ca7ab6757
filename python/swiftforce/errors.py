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
    "CheckpointError",
    "DatasetError",
    "DegenerateSaliencyWarning",
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
    "MissingGradientsError",
    "NetworkFileError",
    "NonFiniteError",
    "OverlapError",
    "RankFailedError",
    "RanksDifferError",
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


class SwiftForceError(Exception):
    """Base of every error that swiftforce raises."""


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
    """A number of steps is below one, or not one for a one-shot method."""


class ScheduleError(SwiftForceError, ValueError):
    """A schedule grows, ends elsewhere than asked for, or is not a schedule."""


class ShapeError(SwiftForceError, ValueError):
    """Arrays that belong together differ in shape or length."""


class StructureError(SwiftForceError, ValueError):
    """Arrays do not come in the structure of the weights: names differ, or some are missing."""


class LayoutError(SwiftForceError, ValueError):
    """An array is not C-contiguous, not aligned, or read-only where it is written."""


class OverlapError(SwiftForceError, ValueError):
    """Two arrays that must be distinct share memory."""


class UnsupportedTypeError(SwiftForceError, TypeError):
    """An array has an element type that is not supported, or is no array."""


class UnknownNameError(SwiftForceError, ValueError):
    """There is no method, saliency, schedule or layer of that name."""


class ThreadsError(SwiftForceError, ValueError):
    """A number of threads is not an integer in 1 ... 4096."""


class EnvironmentVariableError(SwiftForceError, ValueError):
    """An environment variable of swiftforce has a value that cannot be followed."""


class SeedError(SwiftForceError, ValueError):
    """A seed is not an integer in 0 ... 2**64 - 1."""


class MissingGradientsError(SwiftForceError, TypeError):
    """The method scores weights by their gradients, and none were passed."""


class SearchDoneError(SwiftForceError, RuntimeError):
    """The search has taken all its steps, or none yet where one is needed."""


class ArraysChangedError(SwiftForceError, RuntimeError):
    """Weights, gradients or scores changed while they were read: another thread writes them."""


class MasksChangedError(SwiftForceError, RuntimeError):
    """The masks of a search are not those that its previous step left."""


class RankFailedError(SwiftForceError, RuntimeError):
    """Another rank failed and raises its own error, or the ranks are not at the same step."""


class InUseError(SwiftForceError, RuntimeError):
    """A search was asked from within its own step: by a communicator, or by what interrupts it."""


class ExchangeError(SwiftForceError, RuntimeError):
    """A communicator gave back numbers that no sum over all ranks can be."""


class ArchitectureError(SwiftForceError, ValueError):
    """The layers of a network do not fit together."""


class LabelError(SwiftForceError, ValueError):
    """A label is not in 0 ... classes - 1."""


class HyperparameterError(SwiftForceError, ValueError):
    """A learning rate, momentum, weight decay, batch size or number of epochs is out of range."""


class BatchesError(SwiftForceError, ValueError):
    """There are no batches, too few for a search, or none in a step; or one has no samples."""


class DivergedError(SwiftForceError, ArithmeticError):
    """The loss is no longer a finite number: training went wrong."""


class DatasetError(SwiftForceError, ValueError):
    """A data set is missing, or a file of it is corrupt, truncated or of another kind."""


class MaskFileError(SwiftForceError, ValueError):
    """A file does not hold masks of swiftforce, or not undamaged ones."""


class CheckpointError(SwiftForceError, ValueError):
    """A file of tensors is damaged or of another kind, or files do not make one checkpoint."""


class SearchFileError(SwiftForceError, ValueError):
    """A file does not hold a search of swiftforce, or not an undamaged one."""


class WeightsDifferError(SwiftForceError, ValueError):
    """Weights are not those that a file was written for: names, shapes, types or values differ."""


class RunsFileError(SwiftForceError, ValueError):
    """A file does not hold results of runs, or a line of it is damaged."""


class NetworkFileError(SwiftForceError, ValueError):
    """A file does not hold a network of swiftforce, or not an undamaged one."""


class RanksDifferError(SwiftForceError, ValueError):
    """Ranks that search together hold different weights, or found different masks."""


class AllocationError(SwiftForceError, MemoryError):
    """The core could not allocate memory."""


class SwiftForceWarning(UserWarning):
    """Base of every warning that swiftforce issues."""


class DegenerateSaliencyWarning(SwiftForceWarning):
    """Fewer weights have a saliency above zero than are kept: positions chose the rest."""


class MaskedGradientsWarning(SwiftForceWarning):
    """Removed weights never had a gradient, so a method that may bring them back could not."""


class LayerCollapseWarning(SwiftForceWarning):
    """No weight of a layer is kept."""


class UnreachableClassWarning(SwiftForceWarning):
    """No path of kept weights leads from a network's input to a class: it cannot be told."""


class StepsIgnoredWarning(SwiftForceWarning):
    """A one-shot method was given a number of steps: it takes one."""
