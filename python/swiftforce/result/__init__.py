"""What a search found: plain records, and functions that apply, show, judge and save them.

`layers`, `records` and `zero_scores` are at the bottom, and import none of their other neighbours.
Each other module is one thing that is done with a record: `choice` says what is searched and what
is left out, `masks` applies it, `mask_files` saves it, `trust` finds reasons not to trust it,
`summary` puts it in words, `table`, `card` and `plots` show it. `Pruning` puts them together for
users. Nothing here searches.
"""

from swiftforce.result.choice import Prunable, scope_of
from swiftforce.result.layers import Layer, Layers, layers_of
from swiftforce.result.masks import apply_masks, check_not_sharded, masks_by_name, matching_masks
from swiftforce.result.packed_tensors import Unpacked, load_packed, save_packed
from swiftforce.result.parts import has_parts, joined, layers_kept, part_of, with_lost_parts
from swiftforce.result.pruning import Pruning, load
from swiftforce.result.records import (
    UNDAMPED,
    Damping,
    Masks_co,
    PruningRecord,
    Scope,
    Step,
    fields_of,
    masks_of,
    step_of,
)
from swiftforce.result.saved_axes import axes_from, saved_axes
from swiftforce.result.saved_damping import damping_from
from swiftforce.result.saved_steps import packed_steps, unpacked_steps
from swiftforce.result.trust import warn_about, warn_about_parts, warn_about_scope
from swiftforce.result.zero_scores import ZeroScores

__all__ = [
    "UNDAMPED",
    "Damping",
    "ZeroScores",
    "Layer",
    "Layers",
    "Masks_co",
    "Prunable",
    "Pruning",
    "PruningRecord",
    "Scope",
    "Step",
    "Unpacked",
    "apply_masks",
    "check_not_sharded",
    "axes_from",
    "damping_from",
    "fields_of",
    "has_parts",
    "joined",
    "layers_kept",
    "layers_of",
    "load",
    "load_packed",
    "masks_by_name",
    "masks_of",
    "matching_masks",
    "packed_steps",
    "part_of",
    "save_packed",
    "scope_of",
    "step_of",
    "unpacked_steps",
    "warn_about",
    "warn_about_parts",
    "warn_about_scope",
    "with_lost_parts",
    "saved_axes",
]
