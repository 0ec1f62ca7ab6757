"""Types of what the functions that find masks take, for signatures and type checkers.

The dictionaries of options are for overloads, one for each structure of weights: each function
spells its options out in its last overload, which takes any structure and is what editors complete
from.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, TypedDict, TypeVar

from swiftforce.distributed import Communicator
from swiftforce.inputs import Arrays, MethodName, Patterned, RuleName, SaliencyName
from swiftforce.result import PruningRecord
from swiftforce.search.pieces import Piece
from swiftforce.search.schedule import Schedule
from swiftforce.search.tensor_limits import Allocating

#: The caller's function from masked weights to dense gradients, both in the weights' structure.
Gradients = Callable[[Arrays], Arrays]
#: What a mapping calls its arrays.
Key = TypeVar("Key", bound=Hashable)


class KeepOptions(TypedDict, total=False):
    """How many weights to keep."""

    sparsity: float | None
    keep: int | None
    allocation: Allocating | None
    pattern: Patterned | None


class RandomOptions(KeepOptions, total=False):
    """Options of `random`."""

    seed: int


class StepOptions(KeepOptions, total=False):
    """Options of a method that takes several steps."""

    steps: int | None
    schedule: Schedule
    momentum: float
    initial_masks: PruningRecord[Any] | Arrays | None
    objective: bool
    progress: bool | None


class FreeOptions(StepOptions, total=False):
    """Options of a method by which removed weights may return."""

    nested_from: float | None
    removed_factor: float


class PruneOptions(FreeOptions, total=False):
    """Options of `prune`."""

    method: MethodName
    saliency: SaliencyName | None
    rule: RuleName | None
    seed: int


class SearchOptions(KeepOptions, total=False):
    """Options of `MaskSearch`."""

    method: MethodName
    steps: int | None
    schedule: Schedule
    saliency: SaliencyName | None
    rule: RuleName | None
    seed: int
    momentum: float
    nested_from: float | None
    removed_factor: float
    masked_weights: Arrays | Literal[False] | None
    initial_masks: PruningRecord[Any] | Arrays | None
    communicator: Communicator | None
    pieces: Sequence[Piece] | None
