"""The three ways to pass arrays (a mapping, a sequence, one array), their checks and their names.

Nothing here copies an array or converts its type: what does not fit is an error that names it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from swiftforce import _core
from swiftforce.errors import (
    Label,
    LayoutError,
    OverlapError,
    ShapeError,
    StructureError,
    UnsupportedTypeError,
    plain_label,
)

Array = NDArray[Any]
#: A mapping from name to array, a sequence of arrays, or one array.
Arrays = Any

FLOAT32 = np.dtype(np.float32)
MASK = np.dtype(np.bool_)
BFLOAT16 = "bfloat16"

#: Bytes from which numpy asks the system for large pages.
LARGE = 1 << 22
#: Bytes of the largest element.
WIDEST = 8
#: Bytes: a cache line.
ALIGNMENT = 64

#: Names of the dtypes that each kind of array may have. bfloat16 is that of ml_dtypes, by name:
#: the package is not needed.
Kind = tuple[str, ...]
FLOATS: Kind = ("float16", BFLOAT16, "float32", "float64")
SINGLES: Kind = ("float32",)
MASKS: Kind = ("bool",)


class Tensors:
    """Arrays in the order given, and the structure they came in.

    Parameters
    ----------
    value : mapping, sequence or array
        The arrays: C-contiguous, any shapes, some may be empty, at least one
        element in all.
    role : str
        What messages call them, for example ``weights``.
    kind : tuple of str
        The dtypes that each may have.
    may_be_empty : bool
        Whether there may be no element, or no array, because others have some.

    Attributes
    ----------
    arrays : tuple of array
    keys : tuple
        The name, or the position, of each.
    sizes : tuple of int
        Elements of each.
    size : int
        Elements of all.
    """

    def __init__(
        self, value: Arrays, role: str, kind: Kind = FLOATS, *, may_be_empty: bool = False
    ) -> None:
        self.role = role
        self.keys: tuple[Hashable, ...]
        if _is_mapping(value):
            self.structure = "mapping"
            self.keys = tuple(value)
            items: Iterable[Any] = value.values()
        elif _is_array(value):
            self.structure = "array"
            self.keys = (role,)
            items = (value,)
        elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            self.structure = "tuple" if isinstance(value, tuple) else "list"
            self.keys = tuple(range(len(value)))
            items = value
        else:
            raise UnsupportedTypeError(
                f"{role} must be an array, a sequence of arrays or a mapping of names to arrays, "
                f"not {type(value).__name__}"
            )
        self.arrays = tuple(
            checked(item, kind, role, i, self.label) for i, item in enumerate(items)
        )
        self.sizes = tuple([array.size for array in self.arrays])
        self.size = sum(self.sizes)
        if self.size == 0 and not may_be_empty:
            raise StructureError(f"{role} hold no elements")
        if len(self.keys) > 1 and len(set(self.names)) != len(self.names):
            raise StructureError(f"two of the names of {role} are equal as text: {self.names}")

    @property
    def names(self) -> tuple[str, ...]:
        """What each tensor is called in reports."""
        return tuple([str(key) for key in self.keys])

    def label(self, role: str, position: int) -> str:
        """What messages call the array at a position, in the role given."""
        if position < 0 or self.structure == "array":
            return role
        return f"{role}[{self.keys[position]!r}]"

    def matching(
        self, value: Arrays, role: str, kind: Kind = FLOATS, *, writable: bool = False
    ) -> tuple[Array, ...]:
        """The arrays of another argument that has this structure, in this order.

        Raises
        ------
        StructureError
            If names differ, or there are more or fewer arrays.
        ShapeError, UnsupportedTypeError, LayoutError
            If an array has another shape, another dtype, or another layout.
        """
        items = self._items(value, role)
        found = []
        for position, (item, mine) in enumerate(zip(items, self.arrays, strict=True)):
            array = checked(item, kind, role, position, self.label, writable=writable)
            if array.shape != mine.shape:
                raise ShapeError(
                    f"{self.label(role, position)} has shape {array.shape} where "
                    f"{self.label(self.role, position)} has {mine.shape}"
                )
            found.append(array)
        return tuple(found)

    def _items(self, value: Arrays, role: str) -> Sequence[Any]:
        if self.structure == "mapping":
            return self._mapped(value, role)
        if self.structure == "array":
            if not _is_array(value):
                raise StructureError(
                    f"{role} must be one array, as {self.role} is, not {type(value).__name__}"
                )
            return (value,)
        if isinstance(value, (Mapping, str, bytes)) or not isinstance(value, Sequence):
            raise StructureError(
                f"{role} must be a sequence of arrays, as {self.role} is, "
                f"not {type(value).__name__}"
            )
        if len(value) != len(self.arrays):
            raise StructureError(
                f"{role} hold {len(value)} arrays where {self.role} hold {len(self.arrays)}"
            )
        return value

    def _mapped(self, value: Arrays, role: str) -> Sequence[Any]:
        if not _is_mapping(value):
            raise StructureError(
                f"{role} must be a mapping of names to arrays, as {self.role} is, "
                f"not {type(value).__name__}"
            )
        missing = [key for key in self.keys if key not in value]
        if missing:
            raise StructureError(f"{role} lack {_listed(missing)}, which {self.role} have")
        if len(value) != len(self.keys):
            known = set(self.keys)
            extra = [key for key in value if key not in known]
            raise StructureError(f"{role} have {_listed(extra)}, which {self.role} lack")
        return [value[key] for key in self.keys]

    def restore(self, arrays: Iterable[Array]) -> Arrays:
        """Arrays of this order in the structure that came in."""
        if self.structure == "mapping":
            return dict(zip(self.keys, arrays, strict=True))
        if self.structure == "array":
            return next(iter(arrays))
        return tuple(arrays) if self.structure == "tuple" else list(arrays)

    def empty(self, dtype: np.dtype[Any] | None = None) -> tuple[Array, ...]:
        """New arrays of these shapes, not filled; of these dtypes, too, if none is given."""
        if self.size < LARGE // WIDEST:
            return tuple([np.empty(array.shape, dtype or array.dtype) for array in self.arrays])
        dtypes = [dtype or array.dtype for array in self.arrays]
        sizes = [size * kind.itemsize for size, kind in zip(self.sizes, dtypes, strict=True)]
        # In one piece: the system hands out large pages for it, at a fraction of the cost.
        starts = [0, *accumulate(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)]
        memory = np.empty(starts[-1], np.uint8)
        return tuple(
            memory[start : start + size].view(kind).reshape(array.shape)
            for array, kind, start, size in zip(
                self.arrays, dtypes, starts[:-1], sizes, strict=True
            )
        )


def differences(expected: Mapping[str, tuple[int, ...]], tensors: Tensors) -> list[str]:
    """How names and shapes differ from those expected, a phrase for each kind of difference."""
    shapes = dict(zip(tensors.names, (array.shape for array in tensors.arrays), strict=True))
    found = []
    missing = [name for name in expected if name not in shapes]
    if missing:
        found.append(f"{_listed(missing)} missing")
    extra = [name for name in shapes if name not in expected]
    if extra:
        found.append(f"{_listed(extra)} unknown")
    found += [
        f"{name!r} has shape {shapes[name]}, not {shape}"
        for name, shape in expected.items()
        if name in shapes and shapes[name] != shape
    ]
    return found


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
    if not _is_array(value):
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


#: Where an array lies: its first byte, the byte after its last, its position in a list.
Span = tuple[int, int, int]


def spans(arrays: Sequence[Array]) -> list[Span]:
    """Where contiguous arrays lie, in the order of memory; empty ones lie nowhere."""
    return sorted(
        (start, start + array.nbytes, position)
        for position, (start, array) in enumerate(zip(_core.addresses(arrays), arrays, strict=True))
        if array.size
    )


def lies_in(array: Array, places: Sequence[Span]) -> bool:
    """Whether a contiguous array lies, even in part, in one of `spans` that do not overlap."""
    if not array.size:
        return False
    (start,) = _core.addresses((array,))
    before = bisect_left(places, (start + array.nbytes,))
    return before > 0 and places[before - 1][1] > start


def check_distinct(tensors: Tensors) -> None:
    """Refuse weights that share memory, even in part: they would be counted twice."""
    if len(tensors.arrays) == 1:
        return
    for (_, end, first), (start, _, second) in pairwise(spans(tensors.arrays)):
        if start < end:
            raise OverlapError(
                f"{tensors.label(tensors.role, second)} shares memory with "
                f"{tensors.label(tensors.role, first)}: pass a shared tensor once"
            )


def read_only(array: Array) -> Array:
    """A view of an array that cannot be written."""
    view = array.view()
    view.flags.writeable = False
    return view


def _is_array(value: object) -> bool:
    # As in `checked`; an abstract class, as in `_is_mapping`, is slower still to ask.
    return type(value) is np.ndarray or (
        hasattr(value, "__array__") and not isinstance(value, type)
    )


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return type(value) is dict or (type(value) is not np.ndarray and isinstance(value, Mapping))


def _listed(keys: Sequence[Hashable], most: int = 3) -> str:
    text = ", ".join(repr(key) for key in keys[:most])
    return f"{text} and {len(keys) - most} more" if len(keys) > most else text
