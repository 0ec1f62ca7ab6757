"""Time to find a mask, against a scan of the arrays and against other libraries.

Run from the top of the repository: `make bench`, or `python -m benchmarks.selection --quick`.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import swiftforce as sf

from benchmarks.command import measure, open_results, options, show
from benchmarks.measure import machine_facts
from benchmarks.overview import overview
from benchmarks.picture import draw
from benchmarks.plan import QUICK, Plan, count_text
from benchmarks.rows import Row, write_between
from benchmarks.scaling import scaling
from benchmarks.sections import SECTIONS


def titles(plan: Plan) -> dict[str, str]:
    """Headings of the sections, in order."""
    size = count_text(plan.size)
    return {
        "sparsity": f"{size} float32 weights in 50 tensors",
        "size": "99 % removed, all threads",
        "bfloat16": f"{size} bfloat16 weights, 99 % removed",
        "search": "A whole search whose gradients take no time",
        "small": "A whole Python call on 1,000 weights",
        "scaling": "Threads and size",
        "memory": "Peak memory beyond the arrays passed and the masks returned",
    }


def main() -> None:
    """Measure missing sections, and show all results."""
    parser = options(__doc__.splitlines()[0], SECTIONS)
    parser.add_argument("--picture", type=Path, help="file for the picture")
    parser.add_argument("--overview", type=Path, help="page to write the table of all sections to")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else Plan()
    results = open_results(arguments, "selection")
    # The tensors are random and some are small, so empty layers mean nothing.
    warnings.simplefilter("ignore", sf.LayerCollapseWarning)
    facts = machine_facts()

    def section(name: str) -> list[Row]:
        sf.set_num_threads(plan.threads[-1])
        return SECTIONS[name](plan)

    measure(results, arguments, facts, section)
    results.add("scaling", facts, scaling(results, plan))
    show(results, arguments, "selection", titles(plan))
    if arguments.overview:
        write_between(arguments.overview, "overview", overview(results))
    if arguments.picture:
        draw(results, arguments.picture)


if __name__ == "__main__":
    main()
