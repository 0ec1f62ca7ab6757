"""The command line that all benchmarks share: options, and measuring missing sections."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection, Iterable
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
    parser.add_argument("--again", action="store_true", help="repeat sections that have results")
    parser.add_argument(
        "--output", type=Path, help=f"file of results, as JSON lines; by default in {OUTPUT}"
    )
    parser.add_argument("--document", type=Path, help="page to write the tables to")
    return parser


def open_results(arguments: argparse.Namespace, name: str) -> Results:
    """The stored results of the benchmark of this name."""
    quick = "quick-" if arguments.quick else ""
    return Results(arguments.output or OUTPUT / f"{quick}{name}.jsonl")


def measure(
    results: Results,
    arguments: argparse.Namespace,
    facts: str,
    section: Callable[[str], Iterable[Row]],
) -> None:
    """Measure the selected sections that have no results yet.

    Parameters
    ----------
    section : callable
        Measures one section by its name.
    """
    for name in arguments.sections:
        if name in results and not arguments.again:
            continue
        start = time.perf_counter()
        results.add(name, facts, section(name))
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)


def show(
    results: Results, arguments: argparse.Namespace, name: str, titles: dict[str, str]
) -> None:
    """Print all tables. If a page is given, write them between its markers of this name."""
    print(*results.machines(), sep="\n", end="\n\n")
    print_tables(results, titles)
    if arguments.document:
        write_between(arguments.document, name, markdown(results, titles))
