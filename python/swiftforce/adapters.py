"""What adapters of frameworks share: layers chosen by patterns, and batches that begin again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from textwrap import shorten
from typing import TypeVar

from swiftforce.errors import BatchesError, UnknownNameError

Batch = TypeVar("Batch")

#: One pattern or several, as in `fnmatch`.
Patterns = str | Sequence[str]


def matching(names: Sequence[str], patterns: Patterns, argument: str) -> set[str]:
    """The names that one of the patterns matches.

    Parameters
    ----------
    names : sequence of str
    patterns : str or sequence of str
        As in `fnmatch`, where ``*`` matches any text; case matters.
    argument : str
        What the caller passed the patterns as, for the message.

    Raises
    ------
    UnknownNameError
        If a pattern matches no name: a typo would silently do nothing.

    Examples
    --------
    >>> from swiftforce.adapters import matching
    >>> sorted(matching(["head/kernel", "head/bias", "body/kernel"], "head/*", "exclude"))
    ['head/bias', 'head/kernel']
    """
    found: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        those = {name for name in names if fnmatchcase(name, pattern)}
        if not those:
            raise UnknownNameError(
                f"{argument} has the pattern {pattern!r}, which matches nothing; "
                f"there are: {listed(names)}"
            )
        found |= those
    return found


def listed(names: Sequence[str]) -> str:
    """Names in a message, cut off where there are very many."""
    return shorten(", ".join(names), 400, placeholder=" ...")


def endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches in their order, begun again at their end.

    Raises
    ------
    BatchesError
        On the way, if there are none, or if they cannot be begun again.

    Examples
    --------
    >>> from itertools import islice
    >>> from swiftforce.adapters import endless
    >>> list(islice(endless("ab"), 5))
    ['a', 'b', 'a', 'b', 'a']
    """
    used = 0
    while True:
        before = used
        for batch in batches:
            used += 1
            yield batch
        if not used:
            raise BatchesError("there are no batches")
        if used == before:
            raise BatchesError(
                f"the search needs more than the {used} batches there were, and they cannot be "
                "begun again: pass a list, or more of them"
            )
