"""What a search found: plain records, and functions that apply, show, judge and save them.

`records` is at the bottom and imports nothing of its neighbours. Each other module is one thing
that is done with a record: `choice` is what is searched, and what is left out, `masks` applies it, `mask_files` saves it, `trust` finds reasons not to
trust it, `summary` puts it in words, `table`, `card` and `plots` show it. `Pruning` puts them
together for users. Nothing here searches.
"""

from swiftforce.result.choice import Prunable, scope_of
from swiftforce.result.masks import apply_masks, check_not_sharded, matching_masks
from swiftforce.result.pruning import Pruning, load
from swiftforce.result.records import (
    Layer,
    Masks_co,
    PruningRecord,
    Scope,
    Step,
    layers_of,
    masks_of,
    step_of,
)
from swiftforce.result.saved_steps import packed_steps, unpacked_steps
from swiftforce.result.trust import warn_about, warn_about_scope

__all__ = [
    "Layer",
    "Masks_co",
    "Prunable",
    "Pruning",
    "PruningRecord",
    "Scope",
    "Step",
    "apply_masks",
    "check_not_sharded",
    "layers_of",
    "load",
    "masks_of",
    "matching_masks",
    "packed_steps",
    "scope_of",
    "step_of",
    "unpacked_steps",
    "warn_about",
    "warn_about_scope",
]
