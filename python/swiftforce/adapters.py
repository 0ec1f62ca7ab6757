"""Functions that the adapters of frameworks share: layers chosen by name, and endless batches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from textwrap import shorten
from typing import TypeVar

from swiftforce.errors import BatchesError, StructureError, UnknownNameError

Batch = TypeVar("Batch")

#: One pattern or several, as in `fnmatch`.
Patterns = str | Sequence[str]

#: Endings of the last part of a name, for arrays that have two or more dimensions but are not
#: weights: in attention heads, and in stacked or quantised layers.
_OTHERS = re.compile(r"(^|_)(bias(_[kv]|_table)?|scales?(_inv)?|offset|mask|tokens?)$")
#: Parts of the names of modules whose ``weight`` is a table, a bias or a scale.
_MODULES = ("embed", "bias", "norm")
#: Names of modules that are embedding tables: of GPT-2 and of T5.
_TABLES = ("wte", "wpe", "shared")
#: Names that `torch.nn.utils.weight_norm` gives to norms, in its old form and its new one.
_NORMS = ("weight_g", "original0")


def matching(names: Sequence[str], patterns: Patterns, argument: str) -> set[str]:
    """The names that one of the patterns matches.

    Parameters
    ----------
    names : sequence of str
    patterns : str or sequence of str
        As in `fnmatch`: ``*`` matches any text; case matters.
    argument : str
        The name of the caller's argument, for the message.

    Raises
    ------
    UnknownNameError
        If a pattern matches no name: it is probably misspelt.

    Examples
    --------
    >>> from swiftforce.adapters import matching
    >>> sorted(matching(["head/kernel", "head/bias", "body/kernel"], "head/*", "exclude"))
    ['head/bias', 'head/kernel']
    """
    found: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            raise UnknownNameError(
                f"{argument} has the pattern {pattern!r}, which matches nothing; "
                f"there are: {listed(names)}"
            )
        found |= matched
    return found


def prunable(
    dimensions: Mapping[str, int | None],
    include: Patterns | None,
    exclude: Patterns,
    *,
    nothing: str,
) -> list[str]:
    """Names of the arrays that are pruned, in their order.

    Parameters
    ----------
    dimensions : mapping of str to int or None
        Number of dimensions of each array; None for one that does not hold floating-point numbers,
        which is never pruned.
    include : str or sequence of str, optional
        Patterns of the arrays to take; by default those that `is_weight` takes.
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
    >>> from swiftforce.adapters import prunable
    >>> of = {"fc.weight": 2, "fc.bias": 1, "norm.weight": 1, "head.weight": 2, "steps": None}
    >>> prunable(of, None, "head.*", nothing="nothing to prune")
    ['fc.weight']
    """
    floating = {name: number for name, number in dimensions.items() if number is not None}
    if include is None:
        included = {name for name, number in floating.items() if is_weight(name, number)}
    else:
        included = matching(list(floating), include, "include")
    chosen = included - matching(list(dimensions), exclude, "exclude")
    if not chosen:
        raise StructureError(
            f"{nothing}; of floating-point numbers there are: {listed(list(floating)) or 'none'}"
        )
    return [name for name in dimensions if name in chosen]


def is_weight(name: str, dimensions: int) -> bool:
    """Whether the name of an array of floating-point numbers is that of a layer's weight.

    Parameters
    ----------
    name : str
        Parts are separated by dots, as in torch, or by slashes, as in paths of pytrees.
    dimensions : int
        Number of dimensions of the array. A weight has two or more.

    Examples
    --------
    >>> from swiftforce.adapters import is_weight
    >>> is_weight("layers.0.mlp.up_proj.weight", 2), is_weight("embed_tokens.weight", 2)
    (True, False)
    >>> is_weight("patch_embedding/kernel", 4), is_weight("batch_norm/scale", 4)
    (True, False)
    """
    # The paths of flax.nnx end with "value" after the name of the variable.
    parts = re.split("[./]", name.lower())
    if len(parts) > 1 and parts[-1] == "value":
        parts.pop()
    *_, module, own = ["", *parts]
    if dimensions < 2 or "embed" in own or own in _NORMS or _OTHERS.search(own):
        return False
    # A "kernel" is a dense layer or a convolution, also in a module called an embedding: the patch
    # embedding of a vision transformer.
    return own == "kernel" or not (module in _TABLES or any(part in module for part in _MODULES))


def listed(names: Sequence[str]) -> str:
    """Names for a message, cut off if there are very many."""
    return shorten(", ".join(names), 400, placeholder=" ...")


def endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches in their order, from the beginning again after the last.

    Raises
    ------
    BatchesError
        When they run out, if there are none, or if they cannot be iterated again.

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
