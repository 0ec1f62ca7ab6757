"""How many weights tensors must and may keep, in numbers, from what a caller says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from swiftforce import _core
from swiftforce.errors import BoundsError, KeepError, SparsityError
from swiftforce.inputs import (
    Allocation,
    Amount,
    Array,
    Tensors,
    allocation_of,
    case_number,
    check_patterns,
    value_for,
)
from swiftforce.native import public_error

#: A cap that allows every weight.
_NO_CAP = 1 << 62


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
        How many weights all tensors together may keep at most.
    shapes : tuple of tuple of int
        Of the tensors, in the order of their memory.
    """

    allocation: Allocation
    bounds: tuple[int, ...] | None
    counts: tuple[int, ...] | None
    most: int
    shapes: tuple[tuple[int, ...], ...]

    @property
    def arrays(self) -> dict[str, Array]:
        """The numbers by the names that they have in a file, from which `read` has them."""
        lists = {"bounds": self.bounds, "counts": self.counts}
        return {
            f"limits.{name}": np.array(numbers, np.int64)
            for name, numbers in lists.items()
            if numbers is not None
        }

    @classmethod
    def read(
        cls, arrays: Mapping[str, Array], allocation: Allocation | None, tensors: int
    ) -> Limits | None:
        """The limits of a search that a file holds, if it has any.

        Raises
        ------
        ValueError
            If an array has another type or shape.
        """
        if allocation is None:
            return None
        bounds = _numbers(arrays, "limits.bounds", 8 * tensors)
        return cls(allocation, bounds, _numbers(arrays, "limits.counts", tensors), _NO_CAP, ())

    def lowered(self, keeps: Sequence[int]) -> tuple[int, ...]:
        """The numbers of a schedule as far as caps allow them."""
        return tuple(max(keeps[-1], min(keep, self.most)) for keep in keeps)


def _numbers(arrays: Mapping[str, Array], name: str, count: int) -> tuple[int, ...] | None:
    if name not in arrays:
        return None
    found = arrays[name]
    if found.dtype != np.int64 or found.shape != (count,):
        raise ValueError(f"{name} is {found.dtype} of shape {found.shape}")
    return tuple(found.tolist())


def check_one_process(limits: Limits | None) -> None:
    """Refuse limits where several ranks hold the weights.

    Raises
    ------
    BoundsError
    """
    if limits is not None:
        raise BoundsError(
            "an allocation is for weights in one process: leave it out, or search before the "
            "weights are divided among ranks"
        )


def with_shapes(
    allocation: Allocating,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    orders: Mapping[str, tuple[int, ...]] | None = None,
    output_axes: Mapping[str, int] | None = None,
) -> ShapedAllocation:
    """An allocation with what an adapter knows of its arrays; see `ShapedAllocation`."""
    if isinstance(allocation, ShapedAllocation):
        return allocation
    given = allocation_of(allocation)
    return ShapedAllocation(given, shapes or {}, orders or {}, output_axes or {})


def limits_of(
    allocation: Allocating | Limits | None,
    tensors: Tensors,
    sparsity: float | None,
    keep: int | None,
) -> tuple[Limits | None, int | None]:
    """The limits of tensors, and the number to keep if it follows from them.

    Parameters
    ----------
    allocation : optional
        What a caller passes or an adapter makes of it; or limits that are known.

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
    if allocation is None or isinstance(allocation, Limits):
        return allocation, keep
    shaped = with_shapes(allocation)
    given = shaped.allocation
    if given.is_plain:
        return None, keep
    names = tensors.names
    check_patterns(given, names)
    found = [shaped.shapes.get(name, shape) for name, shape in tensors.shapes.items()]
    sizes = tuple(map(prod, found))
    bounds: tuple[int, ...] | None = None
    most = sum(sizes)
    if given.has_bounds:
        bounds = tuple(
            number
            for name, shape in zip(names, found, strict=True)
            for number in _bounds(shaped, name, shape)
        )
        try:
            most = sum(_core.bounds_range(sizes, bounds)[1])
        except _core.NativeError as error:
            raise public_error(error, tensors.label) from None
    counts = _listed(given, names, sizes)
    if counts is not None:
        if sparsity is not None or keep is not None:
            name = "keep" if sparsity is None else "sparsity"
            raise (KeepError if sparsity is None else SparsityError)(
                f"the allocation says how many weights each tensor keeps, {sum(counts)} in all: "
                f"leave out {name}"
            )
        keep = sum(counts)
        if keep < 1:
            raise BoundsError("the allocation keeps no weight at all")
    elif sparsity is None and keep is None and given.has_bounds and most < sum(sizes):
        keep = most
    return Limits(given, bounds, counts, most, tuple(found)), keep


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
            tuple(map(sum, limits.shapes)),
            limits.bounds,
            keep,
        )
    except _core.NativeError as error:
        raise public_error(error, tensors.label) from None
    return replace(limits, counts=counts)


def _listed(
    allocation: Allocation, names: Sequence[str], sizes: Sequence[int]
) -> tuple[int, ...] | None:
    """How many weights each tensor keeps by the caller's mapping, if there is one."""
    shares = allocation.shares
    if isinstance(shares, str):
        return None
    counts: list[int] = []
    for name, size in zip(names, sizes, strict=True):
        amount: Amount | None = value_for(shares, name)
        if amount is None:
            raise BoundsError(
                f"the allocation has no number for {name!r}: add it, or '*' for all other tensors"
            )
        counts.append(_number(amount, size))
    return tuple(counts)


def _bounds(shaped: ShapedAllocation, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The fields of the ``sf_bounds`` of a tensor."""
    allocation, size = shaped.allocation, prod(shape)
    floor, cap = value_for(allocation.floor, name), value_for(allocation.cap, name)
    of_tensor = (0 if floor is None else _number(floor, size), _capped(cap, size))
    if len(shape) < 2:
        return (*of_tensor, 0, 1, 0, _NO_CAP, 0, _NO_CAP)
    axis = value_for(allocation.output_axis, name)
    axis = shaped.output_axes.get(name, 0) if axis is None else axis
    if not -len(shape) <= axis < len(shape):
        raise BoundsError(f"{name!r} has {len(shape)} axes, so output_axis cannot be {axis} for it")
    order = shaped.orders.get(name, tuple(range(len(shape))))
    after = order[order.index(axis % len(shape)) + 1 :]
    outputs, inner = shape[axis], prod(shape[one] for one in after)
    length = size // outputs if outputs else 0
    floor = value_for(allocation.floor_per_output, name)
    cap = value_for(allocation.cap_per_output, name)
    of_outputs = (0 if floor is None else _number(floor, length), _capped(cap, length))
    kept, group = value_for(allocation.n_m, name) or (_NO_CAP, 0)
    return (*of_tensor, outputs, max(1, inner), *of_outputs, group, kept)


def _capped(amount: Amount | None, size: int) -> int:
    return _NO_CAP if amount is None else _number(amount, size)


def _number(amount: Amount, size: int) -> int:
    """A number of weights: the amount, or that share of `size`."""
    return amount if isinstance(amount, int) else round(amount * size)
