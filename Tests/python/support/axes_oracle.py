"""Floors, caps and patterns in plain loops: what swiftforce must equal bit for bit.

As `oracle`, it is written to be read and imports nothing of swiftforce. Tensors are a list of
arrays of scores, in the types that scores are computed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from oracle import Array, Arrays, join, split

NO_CAP = 1 << 62


@dataclass(frozen=True)
class Bounds:
    """Floors and caps of one tensor, in numbers of weights; without an axis, of no output units."""

    least: int = 0
    most: int = NO_CAP
    axis: int | None = None
    least_per_output: int = 0
    most_per_output: int = NO_CAP
    n: int = NO_CAP
    m: int = 1


@dataclass(frozen=True)
class Chosen:
    """The masks, and how many weights floors keep and caps remove against the scores of all."""

    masks: Arrays
    kept_by_floors: int
    removed_by_caps: int


class ImpossibleError(Exception):
    """No masks respect the bounds."""


def named(values: Any, name: str) -> Any:
    """What a mapping of names and patterns, or one value for all, says of a tensor."""
    if not isinstance(values, dict):
        return values
    if name in values:
        return values[name]
    return next((one for key, one in values.items() if fnmatchcase(name, key)), None)


def number(amount: float, size: int) -> int:
    """A number of weights, or a share of them, rounded."""
    return amount if isinstance(amount, int) else round(amount * size)


def bounds_of(options: dict[str, Any], name: str, shape: tuple[int, ...], axis: int = 0) -> Bounds:
    """The bounds of a tensor by the arguments of an `Allocation`, and the output axis of others."""
    given = {key: named(value, name) for key, value in options.items()}
    size = math.prod(shape)

    def amount(key: str, whole: int, default: int) -> int:
        return default if given.get(key) is None else number(given[key], whole)

    least, most = amount("floor", size, 0), amount("cap", size, NO_CAP)
    if len(shape) < 2 or not size:
        return Bounds(least, most)
    if given.get("output_axis") is not None:
        axis = given["output_axis"]
    axis %= len(shape)
    length = size // shape[axis]
    return Bounds(
        least,
        most,
        axis,
        amount("floor_per_output", length, 0),
        amount("cap_per_output", length, NO_CAP),
        *(given.get("n_m") or (NO_CAP, 1)),
    )


def output_units(shape: tuple[int, ...], axis: int) -> Array:
    """The number of the output unit of each weight."""
    return np.indices(shape)[axis]


class _Tensor:
    """How many weights of a tensor and of its parts a greedy choice has taken so far."""

    def __init__(self, shape: tuple[int, ...], bounds: Bounds) -> None:
        self.bounds, size = bounds, math.prod(shape)
        axis = bounds.axis
        self.units = np.zeros(size, int) if axis is None else output_units(shape, axis).ravel()
        self.of_units = [0] * (1 if axis is None else shape[axis])
        places = [int(np.count_nonzero(self.units[:i] == self.units[i])) for i in range(size)]
        self.groups = [
            (int(unit), place // bounds.m) for unit, place in zip(self.units, places, strict=True)
        ]
        self.of_groups = dict.fromkeys(self.groups, 0)

    @property
    def needed(self) -> int:
        """How many weights it has once its floors are met."""
        least = self.bounds.least_per_output
        return max(self.bounds.least, sum(max(least, taken) for taken in self.of_units))

    def add(self, place: int, by: int) -> None:
        self.of_units[self.units[place]] += by
        self.of_groups[self.groups[place]] += by

    def allows(self, place: int) -> bool:
        """Whether its caps allow another weight."""
        return (
            self.of_groups[self.groups[place]] < self.bounds.n
            and self.of_units[self.units[place]] < self.bounds.most_per_output
        )

    @property
    def is_met(self) -> bool:
        floors = [taken >= self.bounds.least_per_output for taken in self.of_units]
        return all(floors) and self.bounds.least <= sum(self.of_units) <= self.bounds.most


def greedy(
    scores: Arrays, keep: int, bounds: list[Bounds], candidates: Arrays | None = None
) -> Chosen:
    """Take weights in the order of their scores as long as all bounds can still be met.

    Raises
    ------
    ImpossibleError
    """
    tensors = [_Tensor(s.shape, b) for s, b in zip(scores, bounds, strict=True)]
    flat = join(scores)
    competing = np.arange(flat.size) if candidates is None else np.flatnonzero(join(candidates))
    owners = [(t, i) for t, s in enumerate(scores) for i in range(s.size)]
    needed = sum(tensor.needed for tensor in tensors)
    if needed > keep:
        raise ImpossibleError
    mask, decisive = np.zeros(flat.size, bool), None
    for position in competing[np.argsort(-flat[competing], kind="stable")]:
        owner, place = owners[position]
        tensor = tensors[owner]
        if not tensor.allows(place):
            continue
        before = tensor.needed
        tensor.add(place, 1)
        more = tensor.needed - before
        if tensor.needed > tensor.bounds.most or needed + more > keep:
            tensor.add(place, -1)
            continue
        mask[position] = True
        needed += more
        if more:  # No floor demands this weight: its score decided.
            decisive = flat[position]
    if np.count_nonzero(mask) != keep or not all(tensor.is_met for tensor in tensors):
        raise ImpossibleError
    competes = np.isin(np.arange(flat.size), competing)
    if decisive is None:
        return Chosen(split(mask, scores), 0, 0)
    below, above = mask & (flat < decisive), competes & ~mask & (flat > decisive)
    return Chosen(split(mask, scores), int(below.sum()), int(above.sum()))


def respected(masks: Arrays, bounds: list[Bounds]) -> bool:
    """Whether masks respect all floors and caps."""
    for mask, bound in zip(masks, bounds, strict=True):
        tensor = _Tensor(mask.shape, bound)
        for place in np.flatnonzero(mask):
            tensor.add(int(place), 1)
        in_groups = max(tensor.of_groups.values(), default=0) <= bound.n
        in_units = max(tensor.of_units, default=0) <= bound.most_per_output
        if not (tensor.is_met and in_groups and in_units):
            return False
    return True


def most(shapes: list[tuple[int, ...]], bounds: list[Bounds]) -> int:
    """How many weights all caps together allow."""
    total = 0
    for shape, bound in zip(shapes, bounds, strict=True):
        tensor = _Tensor(shape, bound)
        length = math.prod(shape) // max(1, len(tensor.of_units))
        whole, rest = divmod(length, bound.m)
        unit = min(whole * min(bound.m, bound.n) + min(rest, bound.n), bound.most_per_output)
        total += min(len(tensor.of_units) * unit, bound.most)
    return total


# ------------------------------------------------------------------------------ allocations


def follows_shares(
    counts: list[int], starts: list[float], ends: list[float], ranges: list[tuple[int, int]]
) -> bool:
    """Whether there is one x for which all counts are ``start * end ** x``, rounded, in ranges."""
    low, high = -math.inf, math.inf
    for count, start, end, (least, greatest) in zip(counts, starts, ends, ranges, strict=True):
        if end == 1:
            continue  # It never changes.
        if count > least:
            low = max(low, math.log((count - 0.5) / start) / math.log(end))
        if count < greatest:
            high = min(high, math.log((count + 0.5) / start) / math.log(end))
    return low <= high + 1e-9 * max(1, abs(low))


# ------------------------------------------------------------------------------ patterns


def unit_numbers(
    shape: tuple[int, ...], pattern: str | tuple[int, int], axis: int, input_axis: int
) -> Array:
    """The number of the unit of each weight, in the order in which equal units are taken."""
    index = np.indices(shape)
    if len(shape) < 2 or pattern == "weights":
        return np.arange(math.prod(shape)).reshape(shape)
    if pattern == "outputs":
        return index[axis]
    if pattern == "inputs":
        return index[input_axis]
    if pattern == "kernels":
        return index[axis] * shape[input_axis] + index[input_axis]
    rows, columns = pattern
    column, length = np.zeros(shape, int), 1
    for one, size in enumerate(shape):
        if one != axis:
            column, length = column * size + index[one], length * size
    return index[axis] // rows * -(-length // columns) + column // columns


def best_units(
    scores: Arrays, units: Arrays, keep: int, *, mean: bool, candidates: Arrays | None = None
) -> Arrays:
    """The best units for as long as their weights fit; at least one. Of each, what competes."""
    masks = [np.zeros(s.shape, bool) for s in scores]
    everything = [np.ones(s.shape, bool) for s in scores]
    competing = everything if candidates is None else candidates
    found = []
    for t, (score, unit, competes) in enumerate(zip(scores, units, competing, strict=True)):
        for number in np.unique(unit[competes]):
            part = competes & (unit == number)
            total = math.fsum(score[part].astype(np.float64).tolist())
            value = scores[0].dtype.type(total / part.sum() if mean else total)
            found.append((-value, t, int(number), part))
    left, is_first = keep, True
    for _, t, _, part in sorted(found, key=lambda unit: unit[:3]):
        if part.sum() > left and not is_first:
            break
        masks[t] |= part
        left, is_first = left - int(part.sum()), False
    return masks
