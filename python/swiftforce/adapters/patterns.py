"""Names that patterns match, and names in messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from textwrap import shorten

from swiftforce.errors import UnknownNameError

#: One pattern or several, as in `fnmatch`.
Patterns = str | Sequence[str]


def as_patterns(patterns: Patterns | Iterable[str] | None) -> Patterns | None:
    """Patterns that can be gone through more than once; an iterator cannot."""
    return patterns if patterns is None or isinstance(patterns, str) else tuple(patterns)


def matching(
    names: Iterable[str],
    patterns: Patterns,
    argument: str,
    *,
    others: Mapping[str, Sequence[str]] | None = None,
) -> set[str]:
    """The names that one of the patterns matches.

    Parameters
    ----------
    names : iterable of str
    patterns : str or sequence of str
        As in `fnmatch`: ``*`` matches any text; case matters; and see `matches`.
    argument : str
        The name of the caller's argument, for the message.
    others : mapping of str to sequence of str, optional
        Other names of the same things: a pattern that matches one of them matches the name.

    Raises
    ------
    UnknownNameError
        If a pattern matches no name: it is probably misspelt.

    Examples
    --------
    >>> from swiftforce.adapters import matching
    >>> sorted(matching(["head/kernel", "head/bias", "body/kernel"], "head/*", "exclude"))
    ['head/bias', 'head/kernel']
    >>> matching(["embed.weight"], "head.*", "exclude", others={"embed.weight": ["head.weight"]})
    {'embed.weight'}
    """
    found: set[str] = set()
    spelt = {name: (name, *(others or {}).get(name, ())) for name in names}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        matched = {
            name
            for name, spellings in spelt.items()
            if any(matches(one, pattern) for one in spellings)
        }
        if not matched:
            raise UnknownNameError(
                f"{argument} has the pattern {pattern!r}, which matches nothing; "
                f"there are: {listed(list(spelt))}"
            )
        found |= matched
    return found


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern matches a name: a number in brackets is that of a layer in a stack.

    Examples
    --------
    >>> from swiftforce.adapters import matches
    >>> matches("blocks/kernel[3]", "*/kernel[3]"), matches("layer3/kernel", "layer[123]/*")
    (True, True)
    """
    literal = re.sub(r"\[(\d+)\]", r"[[]\1]", pattern)
    return fnmatchcase(name, pattern) or fnmatchcase(name, literal)


def listed(names: Sequence[str]) -> str:
    """Names for a message, cut off if there are very many."""
    return shorten(", ".join(names), 400, placeholder=" ...")
