"""Rows of results: stored in a file as they are measured, printed, and written to a page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swiftforce.files.atomic import atomic_write
from swiftforce.show.tables import show

HEADING = ("case", "what", "median", "best", "against", "ratio", "of best", "target")


#: Bound, factor, unit: times below the bound are multiplied by the factor and have the unit.
UNITS = ((1e-6, 1e9, "ns"), (1e-3, 1e6, "us"), (1.0, 1e3, "ms"), (float("inf"), 1.0, "s"))


@dataclass(frozen=True)
class Row:
    """One result.

    Attributes
    ----------
    section, case, what : str
        Its place in the tables.
    median, best : float or None
        In `unit`; None if not measured.
    unit : str
        ``s``, ``B`` or ``images/s``.
    against : str
        What the ratio is relative to.
    ratio, ratio_of_best : float or None
        Ratio of the medians, and of the best runs, which a busy machine disturbs less.
    target : str
        ``<= 1.6`` or ``>= 8``, for the ratio; for the median in microseconds if it ends in ``us``;
        empty if there is none.
    note : str
        Why there is no result.
    percent : bool
        Whether ratios are shown in percent, as they always are if the target is in percent.
    size, threads : int
    dtype : str
    """

    section: str
    case: str
    what: str
    median: float | None = None
    best: float | None = None
    unit: str = "s"
    against: str = ""
    ratio: float | None = None
    ratio_of_best: float | None = None
    target: str = ""
    note: str = ""
    percent: bool = False
    size: int = 0
    threads: int = 0
    dtype: str = "float32"

    @property
    def meets(self) -> bool | None:
        """Whether the target is met; None if there is no target or no result."""
        if not self.target:
            return None
        relation, bound, *unit = self.target.split()
        figure = self.ratio if not unit else None if self.median is None else self.median * 1e6
        if figure is None:
            return None
        limit = float(bound.rstrip("%")) / (100 if bound.endswith("%") else 1)
        return figure <= limit if relation == "<=" else figure >= limit

    def cells(self) -> tuple[str, ...]:
        """The row as text, one cell for each column of the heading."""
        mark = {None: "", True: " met", False: " missed"}[self.meets]
        ratio = self.note if self.ratio is None else self._share(self.ratio)
        best = "" if self.ratio_of_best is None else self._share(self.ratio_of_best)
        figures = (quantity(self.median, self.unit), quantity(self.best, self.unit))
        return (self.case, self.what, *figures, self.against, ratio, best, self.target + mark)

    def _share(self, ratio: float) -> str:
        is_percent = self.percent or "%" in self.target
        return f"{100 * ratio:.2f} %" if is_percent else f"{ratio:.2f}"


def quantity(value: float | None, unit: str) -> str:
    """A figure as text; empty if it was not measured."""
    if value is None:
        return ""
    if unit == "B":
        return f"{value / 1e6:.1f} MB"
    if unit == "images/s":
        return f"{value:,.0f} images/s"
    factor, name = next(
        (factor, name) for bound, factor, name in UNITS if value < bound or bound == UNITS[-1][0]
    )
    figure = value * factor
    return f"{figure:.3g} {name}" if figure < 100 else f"{figure:.0f} {name}"


class Results:
    """Sections of rows in a file of JSON lines. Each row is written as soon as it is measured.

    Parameters
    ----------
    path : Path
        Sections that it has are kept until they are measured again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._machines: dict[str, dict[str, str]] = {}
        self._rows: dict[str, list[Row]] = {}
        self._done: set[str] = set()
        if path.exists():
            for line in path.read_text().splitlines():
                self._add_record(json.loads(line))

    def __contains__(self, section: str) -> bool:
        """Whether the section is complete."""
        return section in self._done

    def add(self, section: str, machine: dict[str, str], rows: Iterable[Row]) -> None:
        """Append a section. It replaces an earlier one of the same name."""
        self._write({"section": section, "machine": machine})
        for row in rows:
            self._write({"section": section, "row": asdict(row)})
        self._write({"section": section, "done": True})

    def _write(self, record: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self._add_record(record)

    def _add_record(self, record: dict[str, Any]) -> None:
        section = record["section"]
        if "machine" in record:
            self._machines[section] = record["machine"]
            self._rows[section] = []
            self._done.discard(section)
        elif "row" in record:
            self._rows[section].append(Row(**record["row"]))
        else:
            self._done.add(section)

    def rows(self, section: str) -> list[Row]:
        """The rows of a section; none if it was not measured."""
        return list(self._rows.get(section, ()))

    def machine(self, section: str) -> dict[str, str]:
        """The machine of a section; empty if it was not measured."""
        return dict(self._machines.get(section, {}))

    def machines(self) -> Iterator[str]:
        """The machines of the sections, each once."""
        texts = (
            ", ".join(f"{name} {value}" for name, value in facts.items())
            for facts in self._machines.values()
        )
        yield from dict.fromkeys(texts)


def print_tables(results: Results, titles: dict[str, str]) -> None:
    """Print each section as a table, through rich on a terminal."""
    for section, title in titles.items():
        if rows := results.rows(section):
            show(title, [HEADING, *(row.cells() for row in rows)], left=2)
            print()


def markdown(results: Results, titles: dict[str, str]) -> str:
    """The sections as tables of a Markdown page."""
    parts = [f"Measured on: {text}." for text in results.machines()]
    for section, title in titles.items():
        if rows := results.rows(section):
            parts.append(f"### {title}\n\n" + _table([row.cells() for row in rows]))
    return "\n\n".join(parts)


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(HEADING) + " |", "|---|---|---:|---:|---|---:|---:|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def write_between(page: Path, name: str, text: str) -> None:
    """Replace the text between the markers of this name in a page.

    Raises
    ------
    ValueError
        If the page lacks the markers.
    """
    first, last = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    old = page.read_text()
    start, end = old.find(first), old.find(last)
    if start < 0 or end < start:
        raise ValueError(f"{page.name} lacks the markers {first} and {last}")
    with atomic_write(page) as temporary:
        temporary.write_text(f"{old[: start + len(first)]}\n\n{text}\n\n{old[end:]}")
