"""Types of elements: their names in safetensors files and in numpy."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from swiftforce.inputs import BFLOAT16

#: The dtypes of weights that can be pruned: their names in safetensors files and in numpy.
PRUNABLE_DTYPES = {"F16": "float16", "BF16": BFLOAT16, "F32": "float32", "F64": "float64"}

_NUMPY = {
    **PRUNABLE_DTYPES,
    **{f"I{8 * size}": f"int{8 * size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"uint{8 * size}" for size in (1, 2, 4, 8)},
    **{"BOOL": "bool", "C64": "complex64"},
}
_IN_FILES = {name: dtype for dtype, name in _NUMPY.items()}


def numpy_name(dtype: str) -> str | None:
    """The name in numpy of a type in safetensors files; None if numpy does not have it."""
    return _NUMPY.get(dtype)


def name_in_file(dtype: np.dtype[Any]) -> str | None:
    """The name in safetensors files of a type of numpy; None if they do not have it."""
    return _IN_FILES.get(dtype.name)


@cache
def dtype_of(name: str) -> np.dtype[Any]:
    """The numpy dtype of a name; bfloat16 is that of ml_dtypes.

    Raises
    ------
    ImportError
        If the name is bfloat16 and ml_dtypes is not installed.
    """
    if name != BFLOAT16:
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        raise ImportError(
            "arrays of bfloat16 need ml_dtypes: pip install 'swiftforce[files]'"
        ) from None
    found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return found
