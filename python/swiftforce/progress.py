"""Progress bars, by tqdm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def bar(items: Iterable[Item], *, description: str, shown: bool) -> Iterator[Item]:
    """Iterate, and show a bar where asked to.

    Raises
    ------
    ImportError
        If a bar is asked for and tqdm is not installed.
    """
    if not shown:
        return iter(items)
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress bars need tqdm: pip install 'swiftforce[demo]'") from None
    return iter(tqdm(items, desc=description, leave=False, dynamic_ncols=True))
