"""Progress bars, drawn by tqdm.

A bar that is not asked for appears by itself when a call has taken `DELAY` seconds. It is created
then, not before: a short call does not import tqdm, start its thread or open a widget.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Collection, Iterator
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self, TypeVar

from swiftforce.show.environment import in_notebook, is_terminal

Item = TypeVar("Item")

#: Seconds that a call takes before a bar appears by itself.
DELAY = 2.0


class _Progress:
    """A bar that is closed at the end of a with statement.

    Parameters
    ----------
    shown : bool, optional
        As for `bar`.
    began : float, optional
        When the call began, by ``time.perf_counter()``; by default now. The delay counts from then.
    **options
        Arguments of tqdm.

    Raises
    ------
    ImportError
        If `shown` is True and tqdm is not installed.
    """

    def __init__(
        self,
        shown: bool | None,
        *,
        began: float | None = None,
        **options: Any,  # noqa: ANN401 - those of tqdm
    ) -> None:
        self._options = options
        self._count = 0
        self._start = time.perf_counter()
        self._due = math.inf
        self._bar: Any = None
        if shown:
            self._bar = _tqdm(options)
        elif shown is None and _is_watched() and find_spec("tqdm") is not None:
            self._due = (self._start if began is None else began) + DELAY

    def _visible(self) -> Any:  # noqa: ANN401 - a bar of tqdm
        """The bar; None before it is due."""
        if self._bar is None and time.perf_counter() >= self._due:
            self._bar = _tqdm(self._options)
            # Its times are those of a bar that was there from the start.
            if not self._bar.disable:
                self._bar.start_t -= time.perf_counter() - self._start
                self._bar.last_print_t = self._bar.start_t
        return self._bar

    def _add(self, amount: int) -> None:
        self._count += amount
        if (bar := self._visible()) is not None:
            bar.update(self._count - bar.n)

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


def bar(items: Collection[Item], *, description: str, shown: bool | None = None) -> Iterator[Item]:
    """Iterate, and show how many items are done.

    Parameters
    ----------
    items : collection
    description : str
        Text before the bar.
    shown : bool, optional
        Whether to show a bar. By default one appears once the iteration has taken two seconds, if
        standard error is a terminal or the code runs in a notebook, and tqdm is installed.

    Raises
    ------
    ImportError
        If `shown` is True and tqdm is not installed.
    """
    return _counted(items, _Progress(shown, total=len(items), desc=description))


def _counted(items: Collection[Item], progress: _Progress) -> Iterator[Item]:
    with progress:
        for item in items:
            yield item
            progress._add(1)


class TrainingProgress(_Progress):
    """A bar for one epoch of training: images per second, time left, loss and accuracy.

    Parameters
    ----------
    samples : int
        Of the epoch.
    description : str
        Text before the bar.
    shown : bool, optional
        As for `bar`.
    began : float, optional
        When the call that trains began, by ``time.perf_counter()``; by default now.

    Raises
    ------
    ImportError
        If `shown` is True and tqdm is not installed.
    """

    def __init__(
        self,
        samples: int,
        *,
        description: str,
        shown: bool | None = None,
        began: float | None = None,
    ) -> None:
        super().__init__(shown, began=began, total=samples, desc=description, unit=" images")

    def advance(self, samples: int, *, loss: float, accuracy: float) -> None:
        """Count samples that were trained on, with mean loss and accuracy of the epoch so far."""
        if (bar := self._visible()) is not None:
            bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{100 * accuracy:.1f} %", refresh=False)
        self._add(samples)


class WorkProgress(_Progress):
    """Progress of a known amount of work in named parts.

    A bar, as `bar` shows it by default. Where there can be none, a line on standard error as each
    part begins.

    Parameters
    ----------
    total : int
    unit : str
        Of the work; bytes, ``B``, are shown as multiples.
    shown : bool, optional
        As for `bar`; with False there are no lines either.
    """

    def __init__(self, total: int, *, unit: str = "it", shown: bool | None = None) -> None:
        super().__init__(shown, total=total, unit=unit, unit_scale=unit == "B")
        self._silent = shown is False

    def begin(self, part: str) -> None:
        """Name the part that begins."""
        if self._bar is not None:
            self._bar.set_description(part)
        elif self._due == math.inf and not self._silent:
            print(part, file=sys.stderr, flush=True)
        self._options["desc"] = part

    def advance(self, amount: int = 1) -> None:
        """Count work that was done."""
        self._add(amount)

    def say(self, line: str) -> None:
        """Print a line to standard output, above the bar if there is one."""
        if self._silent:
            return
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.write(line)


def _is_watched() -> bool:
    """Whether someone may see standard error while the code runs."""
    return is_terminal(sys.stderr) or in_notebook()


def _tqdm(options: dict[str, Any]) -> Any:  # noqa: ANN401 - a bar of a library without types
    """A new bar: a widget where a notebook can show one, else text."""
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError("progress bars need tqdm: pip install 'swiftforce[demo]'") from None
    shown = {"leave": False, "dynamic_ncols": True, **options}
    if in_notebook():
        # tqdm.auto would do the same, and warn if ipywidgets is missing. Notebooks show what is
        # written to standard error as a failure.
        if find_spec("ipywidgets") is None:
            shown["file"] = sys.stdout
        else:
            from tqdm.notebook import tqdm
    return tqdm(**shown)
