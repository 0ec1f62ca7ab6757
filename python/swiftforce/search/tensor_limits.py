"""How many weights tensors must and may keep, from what a caller says of it.

What must not live here: what ranks exchange of it (``shared_limits``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod

from swiftforce import _core
from swiftforce.errors import BoundsError, KeepError, SparsityError
from swiftforce.inputs import (
    Allocation,
    Amount,
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
from swiftforce.search.limits import NO_CAP, Limits, unit_numbers

#: What all weights together cost less than.
_LARGEST = 1 << 62


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


def given_limits(
    allocation: Allocating | Limits | None, pattern: Patterned | None
) -> tuple[Allocation, Pattern]:
    """What a caller says of limits, whatever the tensors are.

    Raises
    ------
    BoundsError, UnknownNameError
    """
    if isinstance(allocation, Limits):
        return allocation.allocation, allocation.pattern
    return with_shapes(allocation).allocation, pattern_of(pattern)


def numbers_of(
    allocation: Allocating | Limits | None,
    tensors: Tensors,
    pattern: Patterned | None = None,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    names_elsewhere: Collection[str] | None = None,
) -> Limits | None:
    """The limits of tensors, without counts that follow from the number to keep.

    Parameters
    ----------
    allocation : optional
        What a caller passes or an adapter makes of it; or limits that are known.
    tensors : Tensors
    pattern : optional
    shapes : mapping of str to tuple of int, optional
        Of whole tensors, if the arrays are pieces.
    names_elsewhere : collection of str, optional
        If other ranks have tensors, too: see `TensorValues`.

    Returns
    -------
    Limits or None
        None if scores alone decide.

    Raises
    ------
    BoundsError, UnknownNameError
    """
    if (allocation is None and pattern is None) or isinstance(allocation, Limits):
        return allocation
    shaped = with_shapes(allocation)
    given, patterned = given_limits(shaped, pattern)
    if given.is_plain and patterned.is_plain:
        return None
    if given.has_bounds and not patterned.is_plain:
        raise BoundsError(
            f"floors and caps are for single weights: leave them out, or the pattern {patterned}"
        )
    if given.cost is not None and not patterned.is_plain:
        raise BoundsError(f"a cost is for single weights: leave it out, or the pattern {patterned}")
    names = tensors.names
    values = TensorValues(given, names, names_elsewhere)
    known = {**tensors.shapes, **(shapes or {})}
    found = [shaped.shapes.get(name, shape) for name, shape in known.items()]
    sizes = tuple(map(prod, found))
    bounds: tuple[int, ...] | None = None
    if given.has_bounds:
        bounds = tuple(
            number
            for name, shape in zip(names, found, strict=True)
            for number in _bounds(shaped, values, name, shape)
        )
        # A rank may have no tensor.
        if sizes:
            try:
                _core.bounds_range(sizes, bounds)
            except _core.NativeError as error:
                raise public_error(error, tensors.label) from None
    units = None
    if not patterned.is_plain:
        units = unit_numbers(patterned, _axes(shaped, values, names, found))
    return Limits(
        given,
        bounds,
        None if isinstance(given.shares, str) else _listed(values, names, sizes),
        sizes,
        tuple(sum(shape) if shape else 1 for shape in found),
        patterned,
        units,
        None if given.cost is None else _costs(values, tensors, sizes),
    )


def keep_of(
    limits: Limits, sparsity: float | None, keep: int | None, *, is_listed: bool = False
) -> int | None:
    """The number to keep, which limits may say.

    Parameters
    ----------
    is_listed : bool
        Whether the caller's schedule is a list, which ends at the number to keep: caps do not say.

    Returns
    -------
    int or None
        `keep`, or what the amounts of all tensors, or their caps, add up to if neither it nor
        `sparsity` is given.

    Raises
    ------
    BoundsError, SparsityError, KeepError
    """
    if limits.costs is not None:
        size = limits.size
        if size >= _LARGEST:
            raise _too_dear(size)
        if keep is not None and not 1 <= integer(keep, "keep", KeepError) <= size:
            raise KeepError(f"keep must be in 1 ... {size}, what all weights cost, not {keep}")
    if not isinstance(limits.allocation.shares, str) and limits.counts is not None:
        number = sum(limits.counts)
        if sparsity is not None or keep is not None:
            name = "keep" if sparsity is None else "sparsity"
            raise (KeepError if sparsity is None else SparsityError)(
                f"the allocation says how many weights each tensor keeps, {number} in all: "
                f"leave out {name}; if these are costs, pass Allocation(cost=...)"
            )
        if number < 1:
            raise BoundsError("the allocation keeps no weight at all")
        return number
    if sparsity is None and keep is None and not is_listed and limits.bounds is not None:
        most = limits.most
        return most if most < limits.size else None
    return keep


def _too_dear(costs: int, label: str = "the weights") -> BoundsError:
    return BoundsError(
        f"{label} cost {costs} together: use a larger unit, so that all weights cost less than "
        "2**62"
    )


def limits_of(
    allocation: Allocating | None,
    tensors: Tensors,
    sparsity: float | None,
    keep: int | None,
    pattern: Patterned | None = None,
) -> tuple[Limits | None, int | None]:
    """The limits of the tensors of one process, and the number to keep, which they may say.

    Raises
    ------
    BoundsError, UnknownNameError, SparsityError, KeepError
    """
    limits = numbers_of(allocation, tensors, pattern)
    return limits, keep if limits is None else keep_of(limits, sparsity, keep)


def with_counts(limits: Limits, keep: int, tensors: Tensors) -> Limits:
    """The same limits with what each tensor keeps of `keep` weights, if no scores decide it.

    Raises
    ------
    BoundsError
    """
    shares = limits.allocation.shares
    if limits.counts is not None or shares == "global" or not isinstance(shares, str):
        return limits
    number = case_number("allocation", shares)
    try:
        counts = _core.allocate(number, limits.sizes, limits.ends, limits.bounds, keep)
    except _core.NativeError as error:
        raise public_error(error, partial(_label, tensors, limits.first or 0)) from None
    return replace(limits, counts=counts)


def _label(tensors: Tensors, first: int, role: str, position: int) -> str:
    """How messages name a tensor of all ranks, of which those here begin at `first`."""
    if first <= position < first + len(tensors.names):
        return tensors.label(role, position - first)
    return f"{role} of another rank"


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


def _costs(values: TensorValues, tensors: Tensors, sizes: Sequence[int]) -> tuple[int, ...]:
    """What one weight of each tensor costs."""
    costs = tuple(values.get("cost", name) for name in tensors.names)
    for position, (cost, size) in enumerate(zip(costs, sizes, strict=True)):
        if cost is None:
            name = tensors.names[position]
            raise BoundsError(f"cost has no number for {name!r}: add it, or '*' for all others")
        if cost * size >= _LARGEST:
            raise _too_dear(cost * size, f"the elements of {tensors.label('weights', position)}")
    return costs


def _bounds(
    shaped: ShapedAllocation, values: TensorValues, name: str, shape: tuple[int, ...]
) -> tuple[int, ...]:
    """The fields of the ``sf_bounds`` of a tensor."""
    size = prod(shape)
    floor, cap = values.get("floor", name), values.get("cap", name)
    of_tensor = (0 if floor is None else _number(floor, size), _capped(cap, size))
    if len(shape) < 2:
        return (*of_tensor, 0, 1, 0, NO_CAP, 0, NO_CAP)
    axis = _output_axis(shaped, values, name, shape)
    order = shaped.orders.get(name, tuple(range(len(shape))))
    after = order[order.index(axis) + 1 :]
    outputs, inner = shape[axis], prod(shape[one] for one in after)
    length = size // outputs if outputs else 0
    floor = values.get("floor_per_output", name)
    cap = values.get("cap_per_output", name)
    of_outputs = (0 if floor is None else _number(floor, length), _capped(cap, length))
    kept, group = values.get("n_m", name) or (NO_CAP, 0)
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


def _capped(amount: Amount | None, size: int) -> int:
    number = size if amount is None else _number(amount, size)
    return NO_CAP if number >= size else number


def _number(amount: Amount, size: int) -> int:
    """A number of weights: the amount, or that share of `size`."""
    return amount if isinstance(amount, int) else round(amount * size)
