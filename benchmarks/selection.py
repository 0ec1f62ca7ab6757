"""What finding a mask costs against reading the numbers once, and against other ways.

Run from the top of the repository: `make bench`, or `python -m benchmarks.selection --quick`.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import swiftforce as sf

from benchmarks.command import measure, options, results, show
from benchmarks.growth import growth
from benchmarks.measure import machine
from benchmarks.picture import draw
from benchmarks.plan import QUICK, Plan, in_words
from benchmarks.rows import Row
from benchmarks.sections import SECTIONS


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


def main() -> None:
    """Measure what is missing, and show all that there is."""
    parser = options(__doc__.splitlines()[0], SECTIONS)
    parser.add_argument("--picture", type=Path, help="where to draw them")
    given = parser.parse_args()
    plan = QUICK if given.quick else Plan()
    found = results(given, "selection")
    # The tensors are made up, and some are small: what a mask does to them means nothing.
    warnings.simplefilter("ignore", sf.LayerCollapseWarning)
    facts = machine()

    def section(name: str) -> list[Row]:
        sf.set_num_threads(plan.threads[-1])
        return SECTIONS[name](plan)

    measure(found, given, facts, section)
    found.add("growth", facts, growth(found, plan))
    show(found, given, "selection", titles(plan))
    if given.picture:
        draw(found, given.picture)


if __name__ == "__main__":
    main()
