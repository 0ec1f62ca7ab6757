"""The search for masks: step by step with `MaskSearch`, or in one call by the name of a method.

Also the parts of a search: schedules, scores, the selection of one step, pieces of tensors on
several ranks, and saved searches. The result is a record of `swiftforce.result`; nothing here
shows it.
"""

from swiftforce.search.agreement import Agreement, RankSums, check_communicator
from swiftforce.search.force_nested import force_nested
from swiftforce.search.initial_masks import check_begins_at_masks
from swiftforce.search.mask_search import MaskSearch
from swiftforce.search.methods import prune
from swiftforce.search.one_shot import magnitude, random, snip
from swiftforce.search.pieces import Piece
from swiftforce.search.planning import SearchPlan, planned
from swiftforce.search.progressive import force, grasp_it, iterative_snip
from swiftforce.search.schedule import (
    DEFAULT_STEPS,
    Schedule,
    check_steps,
    keep_count,
    require_keep,
    schedule_keeps,
)
from swiftforce.search.selection import permutation, prune_by_scores, saliency, select
from swiftforce.search.tensor_limits import Allocating, ShapedAllocation, with_shapes
from swiftforce.search.turns import Turns

__all__ = [
    "Agreement",
    "Allocating",
    "DEFAULT_STEPS",
    "MaskSearch",
    "Piece",
    "RankSums",
    "Schedule",
    "SearchPlan",
    "ShapedAllocation",
    "Turns",
    "check_begins_at_masks",
    "check_communicator",
    "check_steps",
    "force",
    "force_nested",
    "grasp_it",
    "iterative_snip",
    "keep_count",
    "magnitude",
    "permutation",
    "planned",
    "prune",
    "prune_by_scores",
    "random",
    "require_keep",
    "saliency",
    "schedule_keeps",
    "select",
    "snip",
    "with_shapes",
]
