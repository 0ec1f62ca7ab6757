"""How many weights tensors must and may keep, in numbers: what the core and files have of it.

What must not live here: how the numbers follow from what a caller says (``tensor_limits``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import mul
from typing import Any

import numpy as np

from swiftforce import _core
from swiftforce.inputs import Allocation, Array, Pattern, TensorValues, case_number

#: Pattern, whether scores are means, rows and columns of blocks, and the axes of all tensors.
Units = tuple[int, int, int, int, Sequence[int]]
#: Arguments of the core where nothing is limited: bounds, counts, units, costs.
NO_LIMITS: tuple[Any, Any, Any, Any] = (None, None, None, None)
#: A cap that allows every weight.
NO_CAP = (1 << 63) - 1


@dataclass(frozen=True)
class Limits:
    """How many weights each tensor must and may keep.

    Attributes
    ----------
    allocation : Allocation
    bounds : tuple of int, optional
        Eight numbers for each tensor: those of an ``sf_bounds``.
    counts : tuple of int, optional
        How many weights each tensor keeps after the last step.
    sizes : tuple of int
        Elements of each tensor.
    ends : tuple of int
        The sum of the lengths of the axes of each tensor; empty if it is no longer needed.
    pattern : Pattern
    units : tuple, optional
        Which weights live or die together: the arguments of the core.
    costs : tuple of int, optional
        What one weight of each tensor costs; numbers to keep are then budgets.
    first : int, optional
        If several ranks hold the weights, the numbers are of the tensors of all: which of them the
        first tensor of this rank is, or is a piece of.
    """

    allocation: Allocation
    bounds: tuple[int, ...] | None
    counts: tuple[int, ...] | None
    sizes: tuple[int, ...]
    ends: tuple[int, ...]
    pattern: Pattern
    units: Units | None
    costs: tuple[int, ...] | None
    first: int | None = None

    @property
    def size(self) -> int:
        """The number of all weights, or what they cost."""
        return sum(map(mul, self.costs, self.sizes)) if self.costs else sum(self.sizes)

    @property
    def most(self) -> int:
        """How many weights all tensors together may keep at most, or what those may cost."""
        if self.bounds is None:
            return self.size
        return sum(_core.bounds_range(self.sizes, self.bounds)[1])

    @property
    def wholes(self) -> tuple[int, Sequence[int]] | None:
        """What the core is told of the tensors of all ranks."""
        return None if self.first is None else (self.first, self.sizes)

    @property
    def arguments(self) -> tuple[Any, Any, Any, Any]:
        """What the core is told of them."""
        return self.bounds, self.counts, self.units, self.costs

    def allocation_of(self, names: Sequence[str]) -> Allocation:
        """The allocation of tensors with these names, for a result that has them alone.

        Its costs are those by which the search went, also if they were given for tensors of other
        ranks, or by names from before a search was saved.
        """
        if self.costs is None or all(TensorValues(self.allocation, names, ()).matches.values()):
            return self.allocation
        own = self.own_costs(len(names))
        return replace(self.allocation, cost=dict(zip(names, own, strict=True)))

    def own_costs(self, tensors: int) -> tuple[int, ...]:
        """What one weight of each of this rank's tensors costs, which are so many."""
        first = self.first or 0
        return (self.costs or ())[first : first + tensors]

    def may_keep(self, kept: Sequence[int], keep: int) -> bool:
        """Whether a step that is told to keep `keep` may keep these numbers of other sum."""
        if self.costs is not None:
            return sum(number * cost for number, cost in zip(kept, self.costs, strict=True)) <= keep
        return self.units is not None  # They may not fill the number.

    @property
    def arrays(self) -> dict[str, Array]:
        """The numbers by the names that they have in a file, from which `read` has them."""
        axes = None if self.units is None else self.units[-1]
        lists = {
            "bounds": self.bounds,
            "counts": self.counts,
            "axes": axes,
            "costs": self.costs,
        }
        return {
            f"limits.{name}": np.array(numbers, np.int64)
            for name, numbers in lists.items()
            if numbers is not None
        }

    @classmethod
    def read(
        cls,
        arrays: Mapping[str, Array],
        allocation: Allocation | None,
        pattern: Pattern | None,
        sizes: Sequence[int],
    ) -> Limits | None:
        """The limits of a search that a file holds, if it has any.

        Raises
        ------
        ValueError
            If an array is missing, or has another type or shape.
        """
        if allocation is None and pattern is None:
            return None
        allocation, pattern = allocation or Allocation(), pattern or Pattern()
        needed = {
            "limits.bounds": allocation.has_bounds,
            "limits.counts": allocation.shares != "global",
            "limits.axes": not pattern.is_plain,
            "limits.costs": allocation.cost is not None,
        }
        if wrong := [name for name, is_needed in needed.items() if (name in arrays) != is_needed]:
            raise ValueError(f"{wrong[0]} does not fit the allocation and the pattern")
        tensors = len(sizes)
        axes = _numbers(arrays, "limits.axes", None)
        if axes is not None:
            _check_axes(axes, tensors)
        costs = _numbers(arrays, "limits.costs", tensors)
        return cls(
            allocation,
            _numbers(arrays, "limits.bounds", 8 * tensors),
            _numbers(arrays, "limits.counts", tensors),
            tuple(sizes),
            (),
            pattern,
            None if axes is None else unit_numbers(pattern, axes),
            costs,
        )

    def lowered(self, keeps: Sequence[int]) -> tuple[int, ...]:
        """The numbers of a schedule as far as caps allow them."""
        most = self.most
        return tuple(max(keeps[-1], min(keep, most)) for keep in keeps)


def _numbers(arrays: Mapping[str, Array], name: str, count: int | None) -> tuple[int, ...] | None:
    if name not in arrays:
        return None
    found = arrays[name]
    if found.dtype != np.int64 or found.ndim != 1 or count not in {None, found.size}:
        raise ValueError(f"{name} is {found.dtype} of shape {found.shape}")
    return tuple(found.tolist())


def _check_axes(axes: Sequence[int], tensors: int) -> None:
    """Refuse what is no list of the axes of so many tensors, as `_axes` makes it."""
    end = 0
    for _ in range(tensors):
        left = len(axes) - end - 3
        if left < 0 or not 0 <= axes[end] <= left:
            raise ValueError("limits.axes is not that of the weights")
        end += 3 + axes[end]
    if end != len(axes):
        raise ValueError("limits.axes is not that of the weights")


def unit_numbers(pattern: Pattern, axes: Sequence[int]) -> Units:
    """The arguments of the core for a pattern and the axes of all tensors."""
    rows, columns = (1, 1) if isinstance(pattern.shape, str) else pattern.shape
    name = pattern.shape if isinstance(pattern.shape, str) else "blocks"
    return case_number("pattern", name), int(pattern.score == "mean"), rows, columns, axes
