"""The plan of a search whose tensors the core does not read: steps, damping, and what it refuses.

An adapter that selects weights elsewhere plans with it, so that arguments mean the same and are
refused alike. What must not live here: tensors, and what a step does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from swiftforce.errors import StructureError
from swiftforce.inputs import MethodInfo, check_seed, method_info, method_name
from swiftforce.result import Damping
from swiftforce.search.damping import checked_damping, is_nested
from swiftforce.search.native_search import NativeSearch
from swiftforce.search.schedule import Schedule, plan, schedule_name


@dataclass(frozen=True)
class SearchPlan:
    """What a search does in each step, whatever its weights are.

    Attributes
    ----------
    method : str
    info : MethodInfo
    seed : int
    schedule : str
        Its name; ``custom`` for a list.
    keeps : tuple of int
        Weights kept after each step.
    damping : Damping
    """

    method: str
    info: MethodInfo
    seed: int
    schedule: str
    keeps: tuple[int, ...]
    damping: Damping

    def is_nested(self, step: int) -> bool:
        """Whether only the weights compete in a step that the one before kept; 1 is the first."""
        return is_nested(self.damping, step, free=self.info["free"])


def planned(
    sizes: Sequence[int],
    *,
    method: str,
    sparsity: float | None,
    keep: int | None,
    steps: int | None,
    schedule: Schedule,
    seed: int,
    nested_from: float | None,
    momentum: float = 0.0,
    removed_factor: float = 1.0,
    initial: int | None,
) -> SearchPlan:
    """The plan of a search, from its caller's arguments, which are those of `MaskSearch`.

    Parameters
    ----------
    sizes : sequence of int
        Elements of each tensor.
    initial : int, optional
        How many weights the masks keep that the search begins at; None: it begins with all.

    Raises
    ------
    StructureError, StepsError, ScheduleError, KeepError, SparsityError, UnknownNameError
    HyperparameterError, SeedError
    """
    name = method_name(method)
    info, seed, total = method_info(name), check_seed(seed), sum(sizes)
    if total == 0:
        raise StructureError("weights hold no elements")
    named = schedule_name(schedule)
    keeps = plan(schedule, total, sparsity, keep, steps, method=name, initial=initial)
    if nested_from is None and not info["one_shot"]:
        nested_from = info["nested_from"]
    damping = checked_damping(momentum, removed_factor, nested_from, steps=len(keeps))
    # The core knows which settings a method has: it refuses the others.
    NativeSearch(
        cast(Any, _Sizes(tuple(sizes))),
        name,
        keeps,
        seed=seed,
        shard=None,
        damping=damping,
        initial=initial,
    )
    return SearchPlan(name, info, seed, named, keeps, damping)


@dataclass(frozen=True)
class _Sizes:
    """What the core must know of tensors before the first step."""

    sizes: tuple[int, ...]

    def label(self, role: str, position: int) -> str:
        """How messages name the tensor at a position."""
        return f"{role}[{position}]"
