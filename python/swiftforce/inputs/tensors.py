"""The ways to pass arrays (one array, or structures of mappings and sequences), checks and names.

Arrays are used in place; only `Tensors.matching` copies, and only if its caller allows it. No type
is converted: an array that does not fit is an error that names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from swiftforce.errors import StructureError, UnsupportedTypeError
from swiftforce.inputs.arrays import FLOATS, Array, Arrays, Kind, checked_arrays, is_array
from swiftforce.inputs.frameworks import hint_for
from swiftforce.inputs.nesting import Node, is_mapping, is_sequence, listed, node_of

#: Bytes from which numpy asks the system for large pages.
LARGE = 1 << 22
#: Bytes of the largest element.
WIDEST = 8
#: Bytes: a cache line.
ALIGNMENT = 64


class Tensors:
    """Arrays in the order given, and the structure they came in.

    Parameters
    ----------
    value : mapping, sequence or array
        The arrays: C-contiguous, of any shapes. Some may be empty; together they have at least
        one element. Mappings and sequences may hold others.
    role : str
        How messages name them, for example ``weights``.
    kind : tuple of str
        The dtypes that each may have.
    may_be_empty : bool
        Whether there may be no elements, or no arrays, because other ranks have some.

    Attributes
    ----------
    arrays : tuple of array
    sizes : tuple of int
        Elements of each.
    size : int
        Elements of all.
    names : tuple of str
    """

    def __init__(
        self, value: Arrays, role: str, kind: Kind = FLOATS, *, may_be_empty: bool = False
    ) -> None:
        self.role = role
        #: The structure; None for one array.
        self._node: Node | None = None
        items: Sequence[Any]
        if is_array(value):
            items = (value,)
        elif is_mapping(value) or is_sequence(value):
            self._node = node_of(value, role)
            items = self._node.leaves(value, role, role)
        else:
            raise UnsupportedTypeError(
                f"{role} must be an array, a sequence of arrays or a mapping of names to arrays, "
                f"not {type(value).__name__}{hint_for(value)}"
            )
        self.arrays = checked_arrays(items, kind, role, self.label)
        self.sizes = tuple([array.size for array in self.arrays])
        self.size = sum(self.sizes)
        if self.size == 0 and not may_be_empty:
            raise StructureError(f"{role} hold no elements")
        if self._node is not None and not self._node.has_distinct_names:
            self._check_names()

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each tensor in reports: the keys that lead to it, with slashes between."""
        return (self.role,) if self._node is None else self._node.names

    def _check_names(self) -> None:
        if len(set(self.names)) == len(self.names):
            return
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        raise StructureError(
            f"two of the names of {self.role} are equal as text: {listed(twice)}; keys of nested "
            "mappings are joined with '/': rename one of them"
        )

    @property
    def structure(self) -> Any:  # noqa: ANN401 - JSON
        """The structure as JSON: its kind, or for a nested one what is at each key."""
        return "array" if self._node is None else self._node.described()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor by its name."""
        return dict(zip(self.names, (array.shape for array in self.arrays), strict=True))

    def label(self, role: str, position: int) -> str:
        """How messages name the array at a position, in the role given."""
        # The core calls tensors weights that are scores here.
        role = self.role if role == "weights" else role
        if position < 0 or self._node is None:
            return role
        return role + "".join(f"[{key!r}]" for key in self._node.path(position))

    def matching(
        self,
        value: Arrays,
        role: str,
        kind: Kind = FLOATS,
        *,
        writable: bool = False,
        copies: bool = False,
    ) -> tuple[Array, ...]:
        """The arrays of another argument that has this structure, in this order.

        Parameters
        ----------
        writable : bool
            Whether they are going to be written.
        copies : bool
            Whether an array that is not C-contiguous, or not aligned, is copied and not refused.

        Raises
        ------
        StructureError
            If names differ, or there are more or fewer arrays.
        ShapeError, UnsupportedTypeError, LayoutError
            If an array has another shape, another dtype, or another layout.
        """
        return checked_arrays(
            self._items(value, role),
            kind,
            role,
            self.label,
            like=(self.role, self.arrays),
            writable=writable,
            copies=copies,
        )

    def _items(self, value: Arrays, role: str) -> Sequence[Any]:
        if self._node is not None:
            return self._node.leaves(value, role, self.role)
        if not is_array(value):
            raise StructureError(
                f"{role} must be one array, as {self.role} is, not {type(value).__name__}"
            )
        return (value,)

    def restore(self, arrays: Iterable[Array]) -> Arrays:
        """Arrays in this order, put into the structure that came in."""
        return next(iter(arrays)) if self._node is None else self._node.restore(iter(arrays))

    def empty(self, dtype: np.dtype[Any] | None = None) -> tuple[Array, ...]:
        """New uninitialised arrays of these shapes, and of these dtypes unless one is given."""
        kinds = [dtype or array.dtype for array in self.arrays]
        if self.size * (dtype.itemsize if dtype else WIDEST) < LARGE:
            return tuple(map(np.empty, [array.shape for array in self.arrays], kinds))
        sizes = [size * kind.itemsize for size, kind in zip(self.sizes, kinds, strict=True)]
        # One allocation: the system backs it with large pages, at a fraction of the cost.
        starts = [0, *accumulate(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)]
        memory = np.empty(starts[-1], np.uint8)
        return tuple(
            [
                np.ndarray(array.shape, kind, memory, start)
                for array, kind, start in zip(self.arrays, kinds, starts[:-1], strict=True)
            ]
        )


def differences(
    expected: Mapping[str, tuple[int, ...]], tensors: Tensors | Mapping[str, tuple[int, ...]]
) -> list[str]:
    """How names and shapes differ from those expected: one phrase for each kind of difference."""
    shapes = tensors.shapes if isinstance(tensors, Tensors) else dict(tensors)
    found = []
    missing = [name for name in expected if name not in shapes]
    if missing:
        found.append(f"{listed(missing)} missing")
    extra = [name for name in shapes if name not in expected]
    if extra:
        found.append(f"{listed(extra)} unknown")
    found += [
        f"{name!r} has shape {shapes[name]}, not {shape}"
        for name, shape in expected.items()
        if name in shapes and shapes[name] != shape
    ]
    return found
