"""What adapters of frameworks share: layers chosen by name, and batches that begin again."""

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

#: How the own names of arrays end that have two or more dimensions, in attention heads and in
#: stacked or quantised layers, and are no weights of layers.
_OTHERS = re.compile(r"(^|_)(bias(_[kv]|_table)?|scales?(_inv)?|offset|mask|tokens?)$")
#: What stands in the names of modules whose ``weight`` is looked up, added or multiplied by.
_MODULES = ("embed", "bias", "norm")
#: Modules that are called for their place: the tables of GPT-2 and of T5.
_TABLES = ("wte", "wpe", "shared")
#: What `torch.nn.utils.weight_norm` calls the norms of a weight, in its old form and its new one.
_NORMS = ("weight_g", "original0")


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
        and is never pruned.
    include : str or sequence of str, optional
        Patterns of those to take instead of what `is_weight` takes.
    exclude : str or sequence of str
        Patterns of those to leave out, by default or though included.
    nothing : str
        How the message begins where none is left.

    Raises
    ------
    UnknownNameError
        If a pattern matches no array; one to include, none of floating-point numbers.
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
    """Whether an array of floating-point numbers is, by its name, the weight of a layer.

    Parameters
    ----------
    name : str
        Parts are separated by dots, as in torch, or by slashes, as in paths of pytrees.
    dimensions : int
        A weight has two or more.

    Examples
    --------
    >>> from swiftforce.adapters import is_weight
    >>> is_weight("layers.0.mlp.up_proj.weight", 2), is_weight("embed_tokens.weight", 2)
    (True, False)
    >>> is_weight("patch_embedding/kernel", 4), is_weight("batch_norm/scale", 4)
    (True, False)
    """
    # The variables of flax.nnx end with "value", which is no name of theirs.
    parts = re.split("[./]", name.lower())
    if len(parts) > 1 and parts[-1] == "value":
        parts.pop()
    *_, module, own = ["", *parts]
    if dimensions < 2 or "embed" in own or own in _NORMS or _OTHERS.search(own):
        return False
    # "kernel" is never a table or a norm, but a dense layer or a convolution, such as the patch
    # embedding of a vision transformer.
    return own == "kernel" or not (module in _TABLES or any(part in module for part in _MODULES))


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
