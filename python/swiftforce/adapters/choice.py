"""Which arrays of a model are pruned: the rule, the caller's patterns, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from swiftforce.adapters.names import NameRule, Shape
from swiftforce.adapters.patterns import Patterns, listed, matching
from swiftforce.adapters.reasons import MATRICES, WEIGHTS, Reason
from swiftforce.errors import StructureError


@dataclass(frozen=True)
class Candidate:
    """An array that may be pruned.

    Attributes
    ----------
    name : str
        Parts are separated by dots, as in torch, or by slashes, as in paths of pytrees.
    shape : tuple of int
    known : Reason, optional
        What is known of it, for example by the type of its module; None where the name decides.
    floating : bool
        Whether it holds real floating-point numbers: no pattern of `include` matches others.
    trained : bool
        Whether it is trained: by default others are left out.
    aliases : tuple of str
        Other names of the same array.
    spellings : tuple of str
        Other ways to write its name, which patterns may use.
    """

    name: str
    shape: Shape
    known: Reason | None = None
    floating: bool = True
    trained: bool = True
    aliases: tuple[str, ...] = ()
    spellings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Whether an array is pruned, and why.

    Attributes
    ----------
    name : str
    shape : tuple of int
    chosen : bool
    reason : Reason
    is_matrix : bool
        Whether products or convolutions use it, as far as is known.
    found : Reason
        What it is, whatever the patterns say of it.
    aliases : tuple of str
        Other names of the same array.
    """

    name: str
    shape: Shape
    chosen: bool
    reason: Reason
    is_matrix: bool
    found: Reason
    aliases: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of its elements."""
        return prod(self.shape)

    @property
    def by_pattern(self) -> bool:
        """Whether the caller's patterns left it out."""
        return self.reason in {Reason.NOT_INCLUDED, Reason.EXCLUDED}

    @property
    def why(self) -> str:
        """The reason, and the array's other names."""
        return (
            f"{self.reason}; is tied to {', '.join(self.aliases)}" if self.aliases else self.reason
        )

    @property
    def brief(self) -> str:
        """As `why`, but several other names are counted."""
        more = len(self.aliases)
        return f"{self.reason}; is tied to {more} others" if more > 1 else self.why


def choose(
    candidates: Sequence[Candidate],
    include: Patterns | None,
    exclude: Patterns,
    *,
    nothing: str,
) -> list[Decision]:
    """Decide for each array whether it is pruned.

    By default these are the matrices, arrays of two or more dimensions, that products and
    convolutions use: neither embeddings, nor tables, biases, scales, norms, or routers of experts.

    Parameters
    ----------
    candidates : sequence of Candidate
        All arrays of the model.
    include : str or sequence of str, optional
        Patterns of the arrays to take instead of the default.
    exclude : str or sequence of str
        Patterns of the arrays to leave out, even if `include` matches them.
    nothing : str
        The beginning of the message if none is left.

    Raises
    ------
    UnknownNameError
        If a pattern matches no array, or one to include matches none of floating-point numbers.
    StructureError
        If none is left.

    Examples
    --------
    >>> from swiftforce.adapters import Candidate, choose
    >>> shapes = {"fc.weight": (4, 3), "fc.bias": (4,), "head.weight": (2, 4), "wte.weight": (9, 3)}
    >>> candidates = [Candidate(name, shape) for name, shape in shapes.items()]
    >>> for one in choose(candidates, None, "head.*", nothing="nothing to prune"):
    ...     print(one.name, one.chosen, one.why)
    fc.weight True a weight by its name and shape
    fc.bias False a vector or a number
    head.weight False matched by exclude
    wte.weight False an embedding or a table
    """
    rule = NameRule({one.name: one.shape for one in candidates})
    others = {one.name: (*one.aliases, *one.spellings) for one in candidates}
    floating = [one.name for one in candidates if one.floating]
    included = excluded = None
    if include is not None:
        included = matching(floating, include, "include", others=others)
    excluded = matching([one.name for one in candidates], exclude, "exclude", others=others)
    decisions = [_decision(one, rule, included, excluded) for one in candidates]
    if not any(one.chosen for one in decisions):
        raise StructureError(f"{nothing}: {listed(floating) or 'none'}")
    return decisions


def _decision(
    candidate: Candidate, rule: NameRule, included: set[str] | None, excluded: set[str]
) -> Decision:
    name = candidate.name
    reason = found = candidate.known or rule.reason(name)
    is_matrix = reason in MATRICES
    if reason in WEIGHTS and not candidate.trained:
        reason = Reason.FROZEN
    chosen = reason in WEIGHTS
    if included is not None:
        if name in included:
            chosen, reason = True, Reason.INCLUDED
        elif is_matrix:
            chosen, reason = False, Reason.NOT_INCLUDED
    if chosen and name in excluded:
        chosen, reason = False, Reason.EXCLUDED
    return Decision(name, candidate.shape, chosen, reason, is_matrix, found, candidate.aliases)
