"""The steps of a search in a file: numbers of each step as JSON, counts of all tensors in an array.

Counts would be most of the JSON, of which a safetensors file holds no more than 100 MB: 300 steps
over 100,000 tensors have 30 million.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from swiftforce.files import checks
from swiftforce.inputs import Array
from swiftforce.result.records import Step

#: The name of the array in a file, which has a row for each step and a column for each tensor.
COUNTS = "layer_kept"

_SUMS = ("threshold", "saliency", "total_saliency", "gradient_norm")
#: Known later than the others, and by files of format version 3 alone.
_OBJECTIVE = "objective"
#: Not in files of earlier format versions, where there were no floors and caps.
_BOUNDED = ("kept_by_floors", "removed_by_caps")
_FIELDS = {field.name for field in fields(Step)} - {COUNTS, _OBJECTIVE, *_BOUNDED}
#: Fields of which the first never exceeds the second.
_ORDERED = (
    ("keep", "candidates"),
    ("zero_scores", "candidates"),
    ("at_threshold", "candidates"),
    ("kept_at_threshold", "at_threshold"),
    ("kept_at_threshold", "keep"),
    ("arbitrary", "keep"),
)


def packed_steps(history: Sequence[Step]) -> tuple[dict[str, Array], list[dict[str, Any]]]:
    """The array and the JSON from which `unpacked_steps` makes the same steps."""
    names = sorted(_FIELDS | {_OBJECTIVE, *_BOUNDED})
    entries = [{name: getattr(step, name) for name in names} for step in history]
    if not history:
        return {}, entries
    most = max(max(step.layer_kept, default=0) for step in history)
    # The smallest type: a search that is saved after each step writes its counts again and again.
    counts = np.empty((len(history), len(history[0].layer_kept)), np.min_scalar_type(most))
    for row, step in zip(counts, history, strict=True):
        row[...] = step.layer_kept
    return {COUNTS: counts}, entries


def unpacked_steps(
    arrays: Mapping[str, Array],
    entries: object,
    sizes: Sequence[int],
) -> tuple[Step, ...]:
    """The steps that a file holds, all of whose numbers were checked.

    Parameters
    ----------
    arrays : mapping of str to array
        Of the file.
    entries : list of dict
        From its JSON. Files of format version 1 also have the counts of each step there.
    sizes : sequence of int
        Number of weights of each tensor.

    Raises
    ------
    ValueError
        If a value is missing, of a wrong type or out of range, or contradicts another.
    """
    steps = [
        _entry(entry, position)
        for position, entry in enumerate(checks.items(entries, "the history"), 1)
    ]
    if not steps:
        return ()
    counts = arrays[COUNTS] if COUNTS in arrays else _listed_counts(steps, len(sizes))
    _check_counts(counts, [step["keep"] for step in steps], sizes)
    return tuple(
        Step(**{**step, COUNTS: tuple(row)})
        for step, row in zip(steps, counts.tolist(), strict=True)
    )


def _entry(entry: object, position: int) -> dict[str, Any]:
    """The fields of a step; version 0.1 called the passes readings."""
    if not isinstance(entry, dict):
        raise ValueError(f"step {position} of the history is {checks.shown(entry)}")
    found = {"passes" if name == "readings" else name: value for name, value in entry.items()}
    if unknown := found.keys() - _FIELDS - {COUNTS, _OBJECTIVE, *_BOUNDED}:
        raise ValueError(f"step {position} of the history has {checks.shown(sorted(unknown))}")
    if missing := _FIELDS - found.keys():
        raise ValueError(f"step {position} of the history has no {', '.join(sorted(missing))}")
    for name in _FIELDS:
        check = checks.number if name in _SUMS else checks.whole
        found[name] = check(found[name], f"{name} of step {position}")
    if found.setdefault(_OBJECTIVE, None) is not None:
        found[_OBJECTIVE] = checks.number(found[_OBJECTIVE], f"{_OBJECTIVE} of step {position}")
    for name in _BOUNDED:
        found[name] = checks.whole(found.get(name, 0), f"{name} of step {position}")
    if found["step"] != position:
        raise ValueError(f"step {found['step']} stands at position {position} of the history")
    for less, more in _ORDERED:
        if found[less] > found[more]:
            raise ValueError(f"{less} of step {position} is larger than {more}")
    return found


def _listed_counts(steps: Sequence[Mapping[str, Any]], length: int) -> Array:
    """The counts in the JSON of the steps."""
    rows = [checks.items(step.get(COUNTS), COUNTS, length) for step in steps]
    whole = [[checks.whole(count, COUNTS) for count in row] for row in rows]
    return np.array(whole, np.uint64).reshape(len(rows), length)


def _check_counts(counts: Array, keeps: Sequence[int], sizes: Sequence[int]) -> None:
    """Refuse counts above the sizes of the tensors, or above what the steps keep."""
    shape = (len(keeps), len(sizes))
    if counts.dtype.kind != "u" or counts.shape != shape:
        raise ValueError(
            f"{COUNTS} has {counts.dtype} of shape {counts.shape}, not unsigned integers of {shape}"
        )
    if (counts > np.array(sizes, np.uint64)).any():
        raise ValueError(f"{COUNTS} has more weights than a tensor")
    # Other ranks may keep weights, too, so a sum may be less.
    for position, (kept, keep) in enumerate(zip(counts.sum(1, np.uint64), keeps, strict=True), 1):
        if kept > keep:
            raise ValueError(f"step {position} keeps {kept} weights, not {keep}")
