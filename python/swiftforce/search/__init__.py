"""The search for masks: step by step with `MaskSearch`, or in one call by the name of a method.

Also what a search is planned and scored by: schedules, scores and selections of one step, pieces of
tensors on several ranks, searches in files. What is found is a record of `swiftforce.result`;
nothing here shows it.
"""

from swiftforce.search.mask_search import MaskSearch
from swiftforce.search.methods import (
    force,
    grasp_it,
    iterative_snip,
    magnitude,
    prune,
    random,
    snip,
)
from swiftforce.search.schedule import (
    DEFAULT_STEPS,
    Schedule,
    check_steps,
    keep_count,
    schedule_keeps,
)
from swiftforce.search.selection import permutation, prune_by_scores, saliency, select
from swiftforce.search.shards import Agreement, Piece

__all__ = [
    "Agreement",
    "DEFAULT_STEPS",
    "MaskSearch",
    "Piece",
    "Schedule",
    "check_steps",
    "force",
    "grasp_it",
    "iterative_snip",
    "keep_count",
    "magnitude",
    "permutation",
    "prune",
    "prune_by_scores",
    "random",
    "saliency",
    "schedule_keeps",
    "select",
    "snip",
]
