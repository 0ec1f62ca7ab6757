"""One array that a caller passes: its type, its layout, and how a refusal names it.

Nothing here copies an array or converts its type: what does not fit is an error that names it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swiftforce.errors import LayoutError, UnsupportedTypeError
from swiftforce.native import Label, plain_label

Array = NDArray[Any]
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


def checked(
    value: object,
    kind: Kind,
    role: str,
    position: int = -1,
    label: Label = plain_label,
    *,
    writable: bool = False,
) -> Array:
    """The array itself, without a copy, if it can be used in place.

    Parameters
    ----------
    kind : tuple of str
        The dtypes that it may have.
    role, position, label
        What messages call it: ``label(role, position)``.

    Raises
    ------
    UnsupportedTypeError
        If it is no array, or has another dtype or byte order.
    LayoutError
        If it is not C-contiguous, not aligned, or read-only though `writable` is asked for.
    """
    # The type that nearly everybody passes needs no closer look.
    if type(value) is np.ndarray:
        array: Array = value
    else:
        array = _array_of(value, label(role, position), writable=writable)
    if name_of(array.dtype) not in kind:
        needed = " or ".join(kind)
        raise UnsupportedTypeError(
            f"{label(role, position)} has dtype {array.dtype} where {needed} is needed: "
            f"convert it with .astype({kind[-1] if len(kind) == 1 else 'float32'!r})"
        )
    flags = array.flags
    if not flags.c_contiguous:
        raise LayoutError(
            f"{label(role, position)} is not C-contiguous: copy it with np.ascontiguousarray"
        )
    if not flags.aligned:
        raise LayoutError(
            f"{label(role, position)} is not aligned in memory: copy it with np.array"
        )
    if writable and not flags.writeable:
        raise LayoutError(f"{label(role, position)} is read-only and would be written")
    return array


def _array_of(value: object, label: str, *, writable: bool) -> Array:
    """The array in what is one, or hands one out."""
    if not is_array(value):
        raise UnsupportedTypeError(f"{label} is a {type(value).__name__}, not an array")
    array: Array = np.asarray(value)
    if isinstance(value, np.ma.MaskedArray):
        raise UnsupportedTypeError(f"{label} is a masked array: pass its .data or its .filled()")
    if writable and not isinstance(value, np.ndarray):
        raise UnsupportedTypeError(
            f"{label} is a {type(value).__name__}: only a numpy array can be written"
        )
    return array


@cache
def name_of(dtype: np.dtype[Any]) -> str:
    """The name of a dtype, which numpy makes anew each time; none in a foreign byte order."""
    return dtype.name if dtype.isnative else ""


def read_only(array: Array) -> Array:
    """A view of an array that cannot be written."""
    view = array.view()
    view.flags.writeable = False
    return view


def is_array(value: object) -> bool:
    """Whether a value is an array, or hands one out."""
    # As in `checked`; an abstract class, as in `_is_mapping`, is slower still to ask.
    return type(value) is np.ndarray or (
        hasattr(value, "__array__") and not isinstance(value, type)
    )
