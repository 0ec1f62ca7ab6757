"""Progress, by tqdm."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

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


class Work:
    """Progress of a known amount of work in named parts, on standard error.

    A bar on a terminal where tqdm is installed; else a line as each part begins.
    """

    def __init__(self, total: int) -> None:
        self._bar: Any = None
        if not sys.stderr.isatty():
            return
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        self._bar = tqdm(total=total, leave=False, dynamic_ncols=True)

    def begin(self, part: str) -> None:
        """Name the part that begins."""
        if self._bar is None:
            print(part, file=sys.stderr, flush=True)
        else:
            self._bar.set_description(part)

    def advance(self, amount: int = 1) -> None:
        """Count work that was done."""
        if self._bar is not None:
            self._bar.update(amount)

    def say(self, line: str) -> None:
        """Print a line to standard output, above the bar where there is one."""
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.write(line)

    def __enter__(self) -> Work:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
