"""One array that a caller passes: its type, its layout, and how a refusal names it.

Nothing here converts the type of an array. An array is copied only if the caller of
`checked_array` allows it; otherwise one that cannot be used in place is an error that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swiftforce.errors import LayoutError, ShapeError, UnsupportedTypeError
from swiftforce.inputs.frameworks import conversion_of, hint_for
from swiftforce.native import Label, plain_label

Array = NDArray[Any]
#: An array of bool: True where a weight is kept.
Mask = NDArray[np.bool_]
#: A mapping from name to array, a sequence of arrays, or one array.
Arrays = Any

FLOAT32 = np.dtype(np.float32)
MASK = np.dtype(np.bool_)
BFLOAT16 = "bfloat16"

#: Names of the dtypes that each kind of array may have. bfloat16 is that of ml_dtypes, by name:
#: the package is not needed.
Kind = tuple[str, ...]
FLOATS: Kind = ("float16", BFLOAT16, "float32", "float64")
SINGLES: Kind = ("float32",)
MASKS: Kind = ("bool",)


def checked_array(
    value: object,
    kind: Kind,
    role: str,
    position: int = -1,
    label: Label = plain_label,
    *,
    like: tuple[str, Array] | None = None,
    writable: bool = False,
    copies: bool = False,
) -> Array:
    """The array itself, without a copy, if the core can use it in place.

    Parameters
    ----------
    kind : tuple of str
        The dtypes that it may have.
    role, position, label
        How messages name it: ``label(role, position)``.
    like : (str, array), optional
        The role and the array of its counterpart, whose shape it must have.
    writable : bool
        Whether it is going to be written.
    copies : bool
        Whether an array that is not C-contiguous, or not aligned, is copied and not refused.

    Raises
    ------
    UnsupportedTypeError
        If it is not an array, or has another dtype or byte order.
    ShapeError
        If its shape is not that of its counterpart.
    LayoutError
        If it is not C-contiguous, not aligned, or read-only though it is to be written.
    """
    # The type that nearly every caller passes needs no further check.
    if type(value) is np.ndarray:
        array: Array = value
    else:
        array = _array_of(value, partial(label, role, position), writable=writable)
    if name_of(array.dtype) not in kind:
        raise UnsupportedTypeError(_wrong_dtype(array, kind, label(role, position)))
    # Before the layout: to copy an array of another shape would not help.
    if like is not None and array.shape != like[1].shape:
        raise ShapeError(_wrong_shape(array, like, role, position, label))
    flags = array.flags
    if flags.carray:  # Contiguous, aligned, and writable.
        return array
    if not (flags.c_contiguous and flags.aligned):
        if copies:
            return array.copy(order="C")
        raise LayoutError(f"{label(role, position)} {_wrong_layout(array)}")
    if writable and not flags.writeable:
        raise LayoutError(
            f"{label(role, position)} is read-only and would be written: pass a writable copy"
        )
    return array


def _may_be_read(array: Array) -> bool:
    return array.flags.c_contiguous and array.flags.aligned


def _may_be_written(array: Array) -> bool:
    return array.flags.carray  # Contiguous, aligned, and writable.


def checked_arrays(
    items: Sequence[Any],
    kind: Kind,
    role: str,
    label: Label,
    *,
    like: tuple[str, Sequence[Array]] | None = None,
    writable: bool = False,
    copies: bool = False,
) -> tuple[Array, ...]:
    """The arrays of an argument: as `checked_array`, of each of them and its counterpart."""
    if len(items) == 1:
        other = None if like is None else (like[0], like[1][0])
        one = checked_array(
            items[0], kind, role, 0, label, like=other, writable=writable, copies=copies
        )
        return (one,)
    # Of many small arrays, a call for each would take longer than to search them.
    if (
        set(map(type, items)) == {np.ndarray}
        and all(name_of(dtype) in kind for dtype in {item.dtype for item in items})
        and all(map(_may_be_written if writable else _may_be_read, items))
        and (like is None or [item.shape for item in items] == [one.shape for one in like[1]])
    ):
        return tuple(items)
    others: Iterable[Any] = repeat(None) if like is None else like[1]
    return tuple(
        [
            checked_array(
                item,
                kind,
                role,
                position,
                label,
                like=None if like is None else (like[0], other),
                writable=writable,
                copies=copies,
            )
            for position, (item, other) in enumerate(zip(items, others, strict=like is not None))
        ]
    )


def _array_of(value: object, label: Callable[[], str], *, writable: bool) -> Array:
    """The numpy array of a value that is one, or that converts to one."""
    if not is_array(value):
        nested = ": its counterpart is an array" if isinstance(value, Mapping) else ""
        raise UnsupportedTypeError(
            f"{label()} is a {type(value).__name__}, not an array{nested or hint_for(value)}"
        )
    if isinstance(value, np.ma.MaskedArray):
        raise UnsupportedTypeError(f"{label()} is a masked array: pass its .data or its .filled()")
    if writable and not isinstance(value, np.ndarray):
        raise UnsupportedTypeError(
            f"{label()} is a {type(value).__name__}: only a numpy array can be written"
        )
    try:
        array: Array = np.asarray(value)
    # Each framework has its own exceptions for this: torch alone raises three.
    except Exception as error:
        raise UnsupportedTypeError(
            f"{label()} is a {type(value).__name__} that numpy cannot read{conversion_of(value)}"
        ) from error
    return array


def _wrong_dtype(array: Array, kind: Kind, label: str) -> str:
    """The message for an array whose dtype is not of a kind."""
    dtype = array.dtype
    if dtype.names is not None:
        return f"{label} has dtype {dtype}: pass each of its fields as an array of its own"
    if dtype.kind == "O" and array.size and is_array(array.flat[0]):
        return f"{label} has dtype object and holds arrays: pass a list of them, with list(...)"
    needed = " or ".join(kind)
    if dtype.kind == "c" and kind is not MASKS:
        real = f"float{4 * dtype.itemsize}"
        return (
            f"{label} has dtype {dtype}, and complex numbers are not supported: pass the real and "
            f"the imaginary parts as real arrays, for example as .view({real!r})"
        )
    return (
        f"{label} has dtype {dtype} where {needed} is needed: "
        f"convert it with .astype({kind[-1] if len(kind) == 1 else 'float32'!r})"
    )


def _wrong_shape(
    array: Array, like: tuple[str, Array], role: str, position: int, label: Label
) -> str:
    """The message for an array whose shape is not that of its counterpart."""
    like_role, other = like
    transposed = array.shape == other.shape[::-1]
    return (
        f"{label(role, position)} has shape {array.shape} where {label(like_role, position)} has "
        f"{other.shape}{': it looks transposed, pass its transpose' if transposed else ''}"
    )


def _wrong_layout(array: Array) -> str:
    """The end of the message for an array that the core cannot use in place."""
    if not array.flags.c_contiguous:
        return "is not C-contiguous: copy it with np.ascontiguousarray"
    return "is not aligned in memory: copy it with np.array"


@cache
def name_of(dtype: np.dtype[Any]) -> str:
    """The name of a dtype; empty if its byte order is not the machine's. numpy makes it anew."""
    return dtype.name if dtype.isnative else ""


def read_only(array: Array) -> Array:
    """A view of an array that cannot be written."""
    view = array.view()
    view.flags.writeable = False
    return view


def is_array(value: object) -> bool:
    """Whether a value is an array, or converts to one."""
    # `isinstance` of an abstract class would be slower.
    return type(value) is np.ndarray or (
        hasattr(value, "__array__") and not isinstance(value, type)
    )
