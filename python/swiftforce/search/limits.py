"""How many weights tensors must and may keep, in numbers, from what a caller says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from operator import mul
from typing import Any

import numpy as np

from swiftforce import _core
from swiftforce.errors import BoundsError, KeepError, SparsityError
from swiftforce.inputs import (
    Allocation,
    Amount,
    Array,
    Pattern,
    Patterned,
    Tensors,
    TensorValues,
    allocation_of,
    case_number,
    integer,
    pattern_of,
)
from swiftforce.native import public_error

#: Pattern, whether scores are means, rows and columns of blocks, and the axes of all tensors.
Units = tuple[int, int, int, int, Sequence[int]]
#: Arguments of the core where nothing is limited: bounds, counts, units, costs.
NO_LIMITS: tuple[Any, Any, Any, Any] = (None, None, None, None)
#: A cap that allows every weight.
_NO_CAP = (1 << 63) - 1


@dataclass(frozen=True)
class ShapedAllocation:
    """An allocation for arrays that are flat, or whose axes mean something else: by an adapter.

    Attributes
    ----------
    allocation : Allocation
    shapes : mapping of str to tuple of int
        The lengths of the axes of each tensor; by default those of its array.
    orders : mapping of str to tuple of int
        The axes of each tensor in the order of its memory; by default that in which they are.
    output_axes : mapping of str to int
        Which axis of each tensor counts output units, unless the caller says so; by default the
        first one.
    """

    allocation: Allocation
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    orders: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    output_axes: Mapping[str, int] = field(default_factory=dict)


#: What an argument ``allocation`` may be; only adapters pass the last of these.
Allocating = Allocation | str | Mapping[str, Amount] | ShapedAllocation


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
    most : int
        How many weights all tensors together may keep at most, or what those may cost.
    size : int
        The number of all weights, or what they cost.
    shapes : tuple of tuple of int
        Of the tensors.
    pattern : Pattern
    units : tuple, optional
        Which weights live or die together: the arguments of the core.
    costs : tuple of int, optional
        What one weight of each tensor costs; numbers to keep are then budgets.
    """

    allocation: Allocation
    bounds: tuple[int, ...] | None
    counts: tuple[int, ...] | None
    most: int
    size: int
    shapes: tuple[tuple[int, ...], ...]
    pattern: Pattern
    units: Units | None
    costs: tuple[int, ...] | None

    @property
    def arguments(self) -> tuple[Any, Any, Any, Any]:
        """What the core is told of them."""
        return self.bounds, self.counts, self.units, self.costs

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
            _NO_CAP,
            sum(map(mul, costs, sizes)) if costs else sum(sizes),
            (),
            pattern,
            None if axes is None else _unit_numbers(pattern, axes),
            costs,
        )

    def lowered(self, keeps: Sequence[int]) -> tuple[int, ...]:
        """The numbers of a schedule as far as caps allow them."""
        return tuple(max(keeps[-1], min(keep, self.most)) for keep in keeps)


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


def check_one_process(limits: Limits | None) -> None:
    """Refuse limits where several ranks hold the weights.

    Raises
    ------
    BoundsError
    """
    if limits is not None:
        raise BoundsError(
            "allocations and patterns are for weights in one process: leave them out, or search "
            "before the weights are divided among ranks"
        )


def with_shapes(
    allocation: Allocating | None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    orders: Mapping[str, tuple[int, ...]] | None = None,
    output_axes: Mapping[str, int] | None = None,
) -> ShapedAllocation:
    """An allocation with what an adapter knows of its arrays; see `ShapedAllocation`."""
    if isinstance(allocation, ShapedAllocation):
        return allocation
    given = Allocation() if allocation is None else allocation_of(allocation)
    return ShapedAllocation(given, shapes or {}, orders or {}, output_axes or {})


def limits_of(
    allocation: Allocating | Limits | None,
    tensors: Tensors,
    sparsity: float | None,
    keep: int | None,
    pattern: Patterned | None = None,
    *,
    is_listed: bool = False,
) -> tuple[Limits | None, int | None]:
    """The limits of tensors, and the number to keep if it follows from them.

    Parameters
    ----------
    allocation : optional
        What a caller passes or an adapter makes of it; or limits that are known.
    is_listed : bool
        Whether the caller's schedule is a list, which ends at the number to keep: caps do not say.

    Returns
    -------
    limits : Limits or None
        None if scores alone decide. Without counts: `with_counts` adds them.
    keep : int or None
        `keep`, or what the amounts of all tensors, or their caps, add up to if neither it nor
        `sparsity` is given.

    Raises
    ------
    BoundsError, UnknownNameError, SparsityError, KeepError
    """
    if (allocation is None and pattern is None) or isinstance(allocation, Limits):
        return allocation, keep
    shaped = with_shapes(allocation)
    given, patterned = shaped.allocation, pattern_of(pattern)
    if given.is_plain and patterned.is_plain:
        return None, keep
    if given.has_bounds and not patterned.is_plain:
        raise BoundsError(
            f"floors and caps are for single weights: leave them out, or the pattern {patterned}"
        )
    if given.cost is not None and not patterned.is_plain:
        raise BoundsError(f"a cost is for single weights: leave it out, or the pattern {patterned}")
    names = tensors.names
    values = TensorValues(given, names)
    found = [shaped.shapes.get(name, shape) for name, shape in tensors.shapes.items()]
    sizes = tuple(map(prod, found))
    bounds: tuple[int, ...] | None = None
    costs = None if given.cost is None else _costs(values, names, sizes)
    size = most = sum(map(mul, costs, sizes)) if costs else sum(sizes)
    if costs and keep is not None and not 1 <= integer(keep, "keep", KeepError) <= size:
        raise KeepError(f"keep must be in 1 ... {size}, what all weights cost, not {keep}")
    if given.has_bounds:
        bounds = tuple(
            number
            for name, shape in zip(names, found, strict=True)
            for number in _bounds(shaped, values, name, shape)
        )
        try:
            most = sum(_core.bounds_range(sizes, bounds)[1])
        except _core.NativeError as error:
            raise public_error(error, tensors.label) from None
    counts = None if isinstance(given.shares, str) else _listed(values, names, sizes)
    if counts is not None:
        if sparsity is not None or keep is not None:
            name = "keep" if sparsity is None else "sparsity"
            raise (KeepError if sparsity is None else SparsityError)(
                f"the allocation says how many weights each tensor keeps, {sum(counts)} in all: "
                f"leave out {name}; if these are costs, pass Allocation(cost=...)"
            )
        keep = sum(counts)
        if keep < 1:
            raise BoundsError("the allocation keeps no weight at all")
    elif sparsity is None and keep is None and not is_listed and most < size:
        keep = most
    units = None
    if not patterned.is_plain:
        units = _unit_numbers(patterned, _axes(shaped, values, names, found))
    limits = Limits(given, bounds, counts, most, size, tuple(found), patterned, units, costs)
    return limits, keep


def with_counts(limits: Limits, keep: int, tensors: Tensors) -> Limits:
    """The same limits with what each tensor keeps of `keep` weights, if no scores decide it.

    Raises
    ------
    BoundsError
    """
    shares = limits.allocation.shares
    if limits.counts is not None or shares == "global" or not isinstance(shares, str):
        return limits
    try:
        counts = _core.allocate(
            case_number("allocation", shares),
            tuple(map(prod, limits.shapes)),
            tuple(sum(shape) if shape else 1 for shape in limits.shapes),
            limits.bounds,
            keep,
        )
    except _core.NativeError as error:
        raise public_error(error, tensors.label) from None
    return replace(limits, counts=counts)


def _listed(values: TensorValues, names: Sequence[str], sizes: Sequence[int]) -> tuple[int, ...]:
    """How many weights each tensor keeps by the caller's mapping."""
    counts: list[int] = []
    for name, size in zip(names, sizes, strict=True):
        amount: Amount | None = values.get("shares", name)
        if amount is None:
            raise BoundsError(
                f"the allocation has no number for {name!r}: add it, or '*' for all other tensors"
            )
        count = _number(amount, size)
        if count > size:
            raise BoundsError(
                f"the allocation keeps {count} weights of {name!r}, which has {size}: give fewer, "
                "or a share as a float"
            )
        counts.append(count)
    return tuple(counts)


def _costs(values: TensorValues, names: Sequence[str], sizes: Sequence[int]) -> tuple[int, ...]:
    """What one weight of each tensor costs."""
    costs = tuple(values.get("cost", name) for name in names)
    for name, cost in zip(names, costs, strict=True):
        if cost is None:
            raise BoundsError(f"cost has no number for {name!r}: add it, or '*' for all others")
    if sum(map(mul, costs, sizes)) >= 1 << 62:
        raise BoundsError("the weights cost too much: use a larger unit, so that all cost < 2**62")
    return costs


def _bounds(
    shaped: ShapedAllocation, values: TensorValues, name: str, shape: tuple[int, ...]
) -> tuple[int, ...]:
    """The fields of the ``sf_bounds`` of a tensor."""
    size = prod(shape)
    floor, cap = values.get("floor", name), values.get("cap", name)
    of_tensor = (0 if floor is None else _number(floor, size), _capped(cap, size))
    if len(shape) < 2:
        return (*of_tensor, 0, 1, 0, _NO_CAP, 0, _NO_CAP)
    axis = _output_axis(shaped, values, name, shape)
    order = shaped.orders.get(name, tuple(range(len(shape))))
    after = order[order.index(axis) + 1 :]
    outputs, inner = shape[axis], prod(shape[one] for one in after)
    length = size // outputs if outputs else 0
    floor = values.get("floor_per_output", name)
    cap = values.get("cap_per_output", name)
    of_outputs = (0 if floor is None else _number(floor, length), _capped(cap, length))
    kept, group = values.get("n_m", name) or (_NO_CAP, 0)
    return (*of_tensor, outputs, max(1, inner), *of_outputs, group, kept)


def _output_axis(
    shaped: ShapedAllocation, values: TensorValues, name: str, shape: tuple[int, ...]
) -> int:
    """The axis of a tensor that counts output units, from 0."""
    axis: int | None = values.get("output_axis", name)
    axis = shaped.output_axes.get(name, 0) if axis is None else axis
    if not -len(shape) <= axis < len(shape):
        raise BoundsError(f"{name!r} has {len(shape)} axes, so output_axis cannot be {axis} for it")
    return axis % len(shape)


def _axes(
    shaped: ShapedAllocation,
    values: TensorValues,
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
) -> tuple[int, ...]:
    """The ``axes`` of an ``sf_units``: for each tensor, how many, and where units are counted."""
    found: list[int] = []
    for name, shape in zip(names, shapes, strict=True):
        order = shaped.orders.get(name, tuple(range(len(shape))))
        output = input_axis = 0
        if len(shape) > 1:
            output = _output_axis(shaped, values, name, shape)
            # Beside the outputs: (out, in, ...) in torch, (..., in, out) in JAX, (in, out, ...).
            input_axis = 1 if not output else len(shape) - 2 if output == len(shape) - 1 else 0
        places = (order.index(output), order.index(input_axis)) if shape else (0, 0)
        found += (len(shape), *places, *(shape[axis] for axis in order))
    return tuple(found)


def _unit_numbers(pattern: Pattern, axes: Sequence[int]) -> Units:
    rows, columns = (1, 1) if isinstance(pattern.shape, str) else pattern.shape
    name = pattern.shape if isinstance(pattern.shape, str) else "blocks"
    return case_number("pattern", name), int(pattern.score == "mean"), rows, columns, axes


def _capped(amount: Amount | None, size: int) -> int:
    return _NO_CAP if amount is None else _number(amount, size)


def _number(amount: Amount, size: int) -> int:
    """A number of weights: the amount, or that share of `size`."""
    return amount if isinstance(amount, int) else round(amount * size)
