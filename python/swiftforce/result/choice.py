"""The arrays that a search is over, and those that it leaves out, with reasons, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TypeVar

from swiftforce.adapters import NO_PARAMETERS, Decision, Reason
from swiftforce.result.records import Scope
from swiftforce.result.summary import percent
from swiftforce.show import tables

T = TypeVar("T")

#: The most matrices that a scope names.
_NAMED = 5
#: Reasons of which a table counts the arrays in one line.
_COUNTED = (Reason.VECTOR, Reason.BUFFER)


class Prunable(dict[str, T]):
    """The arrays that a search is over, by name: a dict that shows itself as a table.

    ``print`` and notebooks show which arrays of the model are pruned, which are left out, and why.
    Arrays of fewer than two dimensions are counted in one line, and so are buffers in files.

    Parameters
    ----------
    arrays : mapping of str to array
        All arrays of the model.
    decisions : sequence of Decision
        For each of them, whether it is chosen and why.

    Attributes
    ----------
    decisions : tuple of Decision
        For each array of the model: ``name``, ``shape``, ``size``, ``chosen``, ``reason``, ``why``.
    scope : Scope
        What part of the model this is.
    """

    def __init__(self, arrays: Mapping[str, T], decisions: Sequence[Decision]) -> None:
        super().__init__({one.name: arrays[one.name] for one in decisions if one.chosen})
        self.decisions = tuple(decisions)
        self.scope = scope_of(decisions)

    def __repr__(self) -> str:
        """The table."""
        table = tables.plain(_rows(self.decisions), left=4)
        return f"{_headline(self.scope, self.decisions)}\n{table}"

    def _repr_html_(self) -> str:
        """The table that notebooks show."""
        headline = f"<div><b>{escape(_headline(self.scope, self.decisions))}</b></div>"
        return headline + tables.html(_rows(self.decisions), left=4)


def scope_of(decisions: Sequence[Decision]) -> Scope:
    """What part of a model is searched, by the decisions on all of its arrays."""
    matrices = [one for one in decisions if one.is_matrix]
    missing = [one for one in matrices if not (one.chosen or one.by_pattern)]
    missing.sort(key=lambda one: one.size, reverse=True)
    return Scope(
        searched=sum(one.size for one in matrices if one.chosen),
        matrices=sum(one.size for one in matrices),
        by_pattern=sum(one.size for one in matrices if one.by_pattern),
        parameters=sum(one.size for one in decisions if one.reason not in NO_PARAMETERS),
        largest=tuple((one.name, one.size, one.why) for one in missing[:_NAMED]),
    )


def _headline(scope: Scope, decisions: Sequence[Decision]) -> str:
    chosen = [one for one in decisions if one.chosen]
    return (
        f"{len(chosen)} of {len(decisions)} arrays are prunable: "
        f"{sum(one.size for one in chosen):,} of {scope.parameters:,} numbers, "
        f"{percent(scope.share)} of the elements of matrices"
    )


def _rows(decisions: Sequence[Decision]) -> list[tables.Row]:
    """A row for each array, first those that are chosen; one for all vectors, one for buffers."""
    rows: list[tables.Row] = [("", "name", "shape", "why", "numbers")]
    shown = [one for one in decisions if one.reason not in _COUNTED]
    for one in sorted(shown, key=lambda one: not one.chosen):
        which = "pruned" if one.chosen else "left out"
        name, why = tables.printable(one.name), tables.printable(one.brief)
        rows.append((which, name, str(one.shape), why, f"{one.size:,}"))
    for reason in _COUNTED:
        sizes = [one.size for one in decisions if one.reason is reason]
        if sizes:
            others = f"{len(sizes)} other{'s' * (len(sizes) > 1)}"
            rows.append(("left out", others, "", reason.value, f"{sum(sizes):,}"))
    return rows
