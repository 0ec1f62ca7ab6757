"""Calls of the native core: what it refuses becomes the error that fits."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from swiftforce import _core
from swiftforce.errors import (
    AllocationError,
    ArchitectureError,
    ArraysChangedError,
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
    "BAD_THREADS": ThreadsError,
    "BAD_ENVIRONMENT": EnvironmentVariableError,
    "NO_MEMORY": AllocationError,
    "BAD_START": StructureError,
    "RANK_FAILED": RankFailedError,
    "EXCHANGE_FAILED": ExchangeError,
    "IN_USE": InUseError,
}

#: Names a tensor: the operand ("weights") and its position in, what the user calls it out.
Label = Callable[[str, int], str]


def plain_label(operand: str, tensor: int) -> str:
    """What a tensor is called where the user has no name for it."""
    if operand == "none":
        return "memory of the network's parameters"
    return f"{operand}[{tensor}]" if tensor >= 0 else operand


def public_error(error: _core.NativeError, label: Label = plain_label) -> SwiftForceError:
    """The error for a refusal; its arguments are the fields of the core's error struct.

    Parameters
    ----------
    label : callable
        Says what the user calls a tensor, given the operand and the position.
    """
    code, operand, position, index, count, value, message = error.args
    status = _core.STATUSES[code]
    tensor = label(_core.OPERANDS[operand].lower(), position)
    if status == "NON_FINITE":
        noun = "value that is" if count == 1 else "values that are"
        return NonFiniteError(
            f"{tensor} has {count} {noun} not finite; the first, {value}, is at element {index}",
            tensor=tensor,
            count=count,
            first_index=index,
            value=value,
        )
    if status == "OVERLAP":
        return OverlapError(f"{message} ({tensor}): pass arrays of their own")
    return _EXCEPTIONS.get(status, SwiftForceError)(message)


class native_call:  # noqa: N801 - read as the statement it makes
    """Turn what the core refuses inside the block into the public error that fits.

    What every small search comes by catches `NativeError` itself, which is cheaper.

    Parameters
    ----------
    label : callable
        Says what the user calls a tensor, given the operand and the position.
    """

    def __init__(self, label: Label = plain_label) -> None:
        self._label = label

    def __enter__(self) -> None:
        """Nothing to set up."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raise the public error in place of the core's."""
        if isinstance(error, _core.NativeError):
            raise public_error(error, self._label) from None
