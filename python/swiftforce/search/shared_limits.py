"""How many weights tensors must and may keep that several ranks hold: the numbers of all of them.

All ranks call each function here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from swiftforce.errors import BoundsError
from swiftforce.inputs import Allocation, Array, Tensors, TensorValues
from swiftforce.search.agreement import Agreement, Integers, RankSums
from swiftforce.search.gathering import wholes_of
from swiftforce.search.limits import NO_CAP, Limits
from swiftforce.search.shards import Shard


def check_can_share(limits: Limits | None, shard: Shard, tensors: Tensors) -> None:
    """Refuse what ranks cannot do together.

    Raises
    ------
    BoundsError
    """
    if limits is None:
        return
    if limits.units is not None:
        raise BoundsError(
            f"the pattern {limits.pattern} is for weights in one process: leave it out, or search "
            "before the weights are divided among ranks"
        )
    if limits.bounds is None or shard.blocks is None:
        return
    for position, block in enumerate(shard.blocks):
        least, most, group, of_group = limits.bounds[8 * position + 4 : 8 * position + 8]
        if 0 < block.size < block.whole and (least > 0 or most < NO_CAP or of_group < group):
            raise BoundsError(
                f"{tensors.label('weights', position)} is in pieces, and floors and caps of output "
                "units and groups need whole tensors: give it to one rank, or leave them out for it"
            )


def names_elsewhere(
    allocation: Allocation | None, shard: Shard, tensors: Tensors
) -> tuple[str, ...]:
    """The keys of an allocation that are names of tensors of any rank.

    All ranks have the same allocation. What is the name of a tensor is no pattern for others.
    """
    given = Allocation() if allocation is None else allocation
    keys = [*TensorValues(given, (), ()).matches]
    if not keys:
        return ()
    with Agreement(shard.communicator):
        sums = RankSums(shard.communicator, len(keys))
        own = set(tensors.names)

    def write_names(numbers: Integers) -> None:
        numbers[:] = [key in own for _, key in keys]

    found = sums(write_names).tolist()
    return tuple(key for (_, key), ranks in zip(keys, found, strict=True) if ranks)


def limits_of_all(limits: Limits | None, shard: Shard, tensors: Tensors) -> Limits | None:
    """The limits of the tensors of all ranks, from those of this rank's, unless a file had them.

    Pieces are of tensors that all ranks know. If ranks have tensors of their own, each tells the
    others the numbers of its own.

    Raises
    ------
    BoundsError
        On all ranks, if a pattern of the allocation matches no tensor of any rank.
    """
    if limits is None or limits.first is not None:
        return limits
    if shard.blocks is not None:
        return replace(limits, first=0)
    wholes = wholes_of(shard, tensors)
    with Agreement(shard.communicator):
        lists = {
            "ends": limits.ends,
            "bounds": limits.bounds,
            "counts": limits.counts,
            "costs": limits.costs,
        }
        matches = TensorValues(limits.allocation, tensors.names, ()).matches
        known = {name: numbers for name, numbers in lists.items() if numbers is not None}
        widths = {name: 8 if name == "bounds" else 1 for name in known}
        count = sum(widths.values()) * len(wholes.sizes)
        sums = RankSums(shard.communicator, count + len(matches))

    def describe(numbers: Integers) -> None:
        numbers[count:] = [*matches.values()]
        for name, part in _parts(numbers[:count], widths).items():
            width = widths[name]
            own = slice(wholes.own.start * width, wholes.own.stop * width)
            # What allows every weight is no number to add: 0 stands for it, n + 1 for a number.
            part[own] = [0 if one == NO_CAP else one + 1 for one in known[name]]

    found = sums(describe)
    unmatched = [
        key for key, ranks in zip(matches, found[count:].tolist(), strict=True) if not ranks
    ]
    if unmatched:
        field, pattern = unmatched[0]
        raise BoundsError(f"{field} has {pattern!r}, which no tensor of any rank is called")
    parts: dict[str, Any] = {
        name: tuple(one - 1 if one else NO_CAP for one in part.tolist())
        for name, part in _parts(found[:count], widths).items()
    }
    return replace(limits, sizes=wholes.sizes, first=wholes.first, **parts)


def _parts(numbers: Integers, widths: dict[str, int]) -> dict[str, Array]:
    """The lists of numbers of all tensors, one after the other, by name."""
    tensors = len(numbers) // sum(widths.values())
    ends = np.cumsum([width * tensors for width in widths.values()])
    return dict(zip(widths, np.split(numbers, ends[:-1]), strict=True))
