"""What the commands of all benchmarks have in common: options, and measuring what is missing."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from benchmarks.rows import Results, Row, markdown, print_tables, write_between

OUTPUT = Path("build/bench")


def options(description: str, sections: Collection[str]) -> argparse.ArgumentParser:
    """A parser of the options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds")
    parser.add_argument(
        "--sections", nargs="+", choices=sections, default=list(sections), help="which to measure"
    )
    parser.add_argument("--again", action="store_true", help="also sections that are measured")
    parser.add_argument(
        "--output", type=Path, help=f"figures so far, as JSON lines; by default in {OUTPUT}"
    )
    parser.add_argument("--document", type=Path, help="page to write the tables into")
    return parser


def results(given: argparse.Namespace, name: str) -> Results:
    """The figures so far, of a benchmark of this name."""
    quick = "quick-" if given.quick else ""
    return Results(given.output or OUTPUT / f"{quick}{name}.jsonl")


def measure(
    found: Results,
    given: argparse.Namespace,
    facts: str,
    section: Callable[[str], Sequence[Row]],
) -> None:
    """Measure the sections that are asked for and not there yet.

    Parameters
    ----------
    section : callable
        Measures one section by its name.
    """
    for name in given.sections:
        if name in found and not given.again:
            continue
        start = time.perf_counter()
        found.add(name, facts, section(name))
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)


def show(found: Results, given: argparse.Namespace, name: str, titles: dict[str, str]) -> None:
    """Print all tables, and write them between the markers of that name where a page is given."""
    print(*found.machines(), sep="\n", end="\n\n")
    print_tables(found, titles)
    if given.document:
        write_between(given.document, name, markdown(found, titles))
