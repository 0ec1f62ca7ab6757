"""Calls of the native core: each of its errors becomes a public one."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from swiftforce import _core
from swiftforce.errors import (
    AllocationError,
    ArchitectureError,
    ArraysChangedError,
    BoundsError,
    EnvironmentVariableError,
    ExchangeError,
    HyperparameterError,
    InUseError,
    KeepError,
    LabelError,
    LayoutError,
    MasksChangedError,
    MissingGradientsError,
    NonFiniteError,
    OverlapError,
    RankFailedError,
    ScheduleError,
    SearchDoneError,
    ShapeError,
    SparsityError,
    StepsError,
    StructureError,
    SwiftForceError,
    ThreadsError,
    UnknownNameError,
    UnsupportedTypeError,
)

#: The exception for each status of the core, by the status's name.
_EXCEPTIONS: dict[str, type[SwiftForceError]] = {
    "BAD_COUNT": ShapeError,
    "MISALIGNED": LayoutError,
    "OVERLAP": OverlapError,
    "UNSUPPORTED_TYPE": UnsupportedTypeError,
    "SIZE_MISMATCH": ShapeError,
    "UNKNOWN_NAME": UnknownNameError,
    "BAD_SPARSITY": SparsityError,
    "BAD_KEEP": KeepError,
    "BAD_STEPS": StepsError,
    "BAD_SCHEDULE": ScheduleError,
    "MISSING_GRADIENTS": MissingGradientsError,
    "SEARCH_DONE": SearchDoneError,
    "MASKS_CHANGED": MasksChangedError,
    "ARRAYS_CHANGED": ArraysChangedError,
    "BAD_LABEL": LabelError,
    "BAD_ROW": ShapeError,
    "BAD_ARCHITECTURE": ArchitectureError,
    "BAD_HYPERPARAMETER": HyperparameterError,
    "BAD_BOUNDS": BoundsError,
    "BAD_THREADS": ThreadsError,
    "BAD_ENVIRONMENT": EnvironmentVariableError,
    "NO_MEMORY": AllocationError,
    "BAD_START": StructureError,
    "RANK_FAILED": RankFailedError,
    "EXCHANGE_FAILED": ExchangeError,
    "IN_USE": InUseError,
}

#: From an operand ("weights") and a position to the user's name of that tensor.
Label = Callable[[str, int], str]


def plain_label(operand: str, tensor: int) -> str:
    """The name of a tensor that the user has not named."""
    if operand == "none":
        return "memory of the network's parameters"
    return f"{operand}[{tensor}]" if tensor >= 0 else operand


def public_error(error: _core.NativeError, label: Label = plain_label) -> SwiftForceError:
    """The public error for one of the core, whose arguments are the fields of its error struct.

    Parameters
    ----------
    error : NativeError
    label : callable
        Returns the user's name of a tensor, given the operand and the position.
    """
    code, operand, position, index, count, value, message = error.args
    status = _core.STATUSES[code]
    tensor = label(_core.OPERANDS[operand].lower(), position)
    if status == "NON_FINITE":
        return non_finite_error(tensor, count, index, value)
    if status == "BAD_BOUNDS" and position >= 0:
        return BoundsError(message.replace(f"weights[{position}]", tensor, 1))
    if status == "OVERLAP":
        return OverlapError(f"{message} ({tensor}): pass arrays of their own")
    return _EXCEPTIONS.get(status, SwiftForceError)(message)


def non_finite_error(tensor: str, count: int, index: int, value: float) -> NonFiniteError:
    """The public error about values of a tensor that are NaN or infinite.

    Parameters
    ----------
    tensor : str
        The user's name of it.
    count : int
        How many of its values are not finite.
    index : int
        The position of the first.
    value : float
        The first.
    """
    noun = "value that is" if count == 1 else "values that are"
    return NonFiniteError(
        f"{tensor} has {count} {noun} not finite; the first, {value}, is at element {index}",
        tensor=tensor,
        count=count,
        first_index=index,
        value=value,
    )


class native_call:  # noqa: N801 - read as the statement it makes
    """Turn an error of the core inside the block into the public one.

    Code that every small search runs catches `NativeError` itself, which is cheaper.

    Parameters
    ----------
    label : callable
        Returns the user's name of a tensor, given the operand and the position.
    """

    def __init__(self, label: Label = plain_label) -> None:
        self._label = label

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raise the public error in place of the core's."""
        if isinstance(error, _core.NativeError):
            raise public_error(error, self._label) from None
