"""Progress, by tqdm."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

Item = TypeVar("Item")


class _Closing:
    """Closes its bar, if it has one, at the end of a with statement."""

    _bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class Training(_Closing):
    """A bar for one pass of training: images per second, time left, loss and accuracy.

    Parameters
    ----------
    samples : int
        Of the pass.
    description : str
    shown : bool
        Nothing is shown otherwise.

    Raises
    ------
    ImportError
        If a bar is asked for and tqdm is not installed.
    """

    def __init__(self, samples: int, *, description: str, shown: bool) -> None:
        if shown:
            self._bar = _tqdm()(
                total=samples, desc=description, unit=" images", leave=False, dynamic_ncols=True
            )

    def advance(self, samples: int, *, loss: float, accuracy: float) -> None:
        """Count samples that were trained on, with mean loss and accuracy of the pass so far."""
        if self._bar is not None:
            self._bar.set_postfix(
                loss=f"{loss:.3f}", accuracy=f"{100 * accuracy:.1f} %", refresh=False
            )
            self._bar.update(samples)


def _tqdm() -> Any:  # noqa: ANN401 - a class of a library without types
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress bars need tqdm: pip install 'swiftforce[demo]'") from None
    return tqdm


def bar(items: Iterable[Item], *, description: str, shown: bool) -> Iterator[Item]:
    """Iterate, and show a bar where asked to.

    Raises
    ------
    ImportError
        If a bar is asked for and tqdm is not installed.
    """
    if not shown:
        return iter(items)
    return iter(_tqdm()(items, desc=description, leave=False, dynamic_ncols=True))


class Work(_Closing):
    """Progress of a known amount of work in named parts, on standard error.

    A bar on a terminal where tqdm is installed; else a line as each part begins.

    Parameters
    ----------
    total : int
    unit : str
        Of the work; bytes, ``B``, are shown as multiples.
    """

    def __init__(self, total: int, *, unit: str = "it") -> None:
        if not sys.stderr.isatty():
            return
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        self._bar = tqdm(
            total=total, unit=unit, unit_scale=unit == "B", leave=False, dynamic_ncols=True
        )

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
