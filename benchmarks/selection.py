"""What finding a mask costs against reading the numbers once, and against other ways.

Run from the top of the repository: `make bench`, or `python -m benchmarks.selection --quick`.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import swiftforce as sf

from benchmarks.growth import growth
from benchmarks.measure import machine
from benchmarks.picture import draw
from benchmarks.plan import QUICK, Plan, in_words
from benchmarks.rows import Results, markdown, print_tables, write_between
from benchmarks.sections import SECTIONS

OUTPUT = Path("build/bench")


def titles(plan: Plan) -> dict[str, str]:
    """Headings of the sections, in order."""
    size = in_words(plan.size)
    return {
        "sparsity": f"{size} float32 weights in 50 tensors",
        "size": "99 % removed, all threads",
        "bfloat16": f"{size} bfloat16 weights, 99 % removed",
        "search": "A whole search whose gradients cost nothing",
        "small": "A whole Python call on almost nothing",
        "growth": "Threads and size",
        "memory": "Peak memory beyond the arrays passed and the masks returned",
    }


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds")
    parser.add_argument(
        "--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="which to measure"
    )
    parser.add_argument("--again", action="store_true", help="also sections that are measured")
    parser.add_argument(
        "--output", type=Path, help=f"figures so far, as JSON lines; by default in {OUTPUT}"
    )
    parser.add_argument("--document", type=Path, help="page to write the tables into")
    parser.add_argument("--picture", type=Path, help="where to draw them")
    return parser.parse_args()


def main() -> None:
    """Measure what is missing, and show all that there is."""
    given = arguments()
    plan = QUICK if given.quick else Plan()
    name = "quick.jsonl" if given.quick else "selection.jsonl"
    results = Results(given.output or OUTPUT / name)
    # The tensors are made up, and some are small: what a mask does to them means nothing.
    warnings.simplefilter("ignore", sf.LayerCollapseWarning)
    facts = machine()
    for name in given.sections:
        if name in results and not given.again:
            continue
        start = time.perf_counter()
        sf.set_num_threads(plan.threads[-1])
        results.add(name, facts, SECTIONS[name](plan))
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    results.add("growth", facts, growth(results, plan))
    print(*results.machines(), sep="\n", end="\n\n")
    print_tables(results, titles(plan))
    if given.document:
        write_between(given.document, "selection", markdown(results, titles(plan)))
    if given.picture:
        draw(results, given.picture)


if __name__ == "__main__":
    main()
