"""Times and memory of networks that compute over kept weights, against torch and sparse libraries.

Run from the top of the repository: `make bench`, or `python -m benchmarks.sparse --quick`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial

import swiftforce as sf
import torch

from benchmarks.command import measure, open_results, options, show
from benchmarks.measure import machine_facts
from benchmarks.plan import threads_text
from benchmarks.rows import Row
from benchmarks.sparse_peers import LIBRARIES, version_in
from benchmarks.sparse_plan import FULL, QUICK, Plan, Pythons
from benchmarks.sparse_sections import (
    inference_rows,
    layer_rows,
    memory_rows,
    search_rows,
    training_rows,
)

Section = Callable[[Plan, Pythons], Iterator[Row]]


def sections(plan: Plan) -> dict[str, tuple[str, Section]]:
    """Titles and sections by name, in the order of the tables."""
    threads = threads_text(plan.threads)
    found: dict[str, tuple[str, Section]] = {
        "layers": (f"Three products of a layer, batch of {plan.batch}, {threads}", layer_rows)
    }
    for network in plan.networks:
        found[str(network.kind).lower()] = (
            f"A step of training {network.kind}, batch of {plan.batch}, {threads}",
            partial(training_rows, network=network),
        )
    kind = plan.networks[0].kind
    return found | {
        "inference": (f"Logits of {kind}, {threads}", inference_rows),
        "search": (f"Searches on {kind}, {threads}", search_rows),
        "memory": (f"Memory of parameters, gradients and momentum of {kind}", memory_rows),
    }


def main() -> None:
    """Measure missing sections, and show all results."""
    names = [*sections(FULL), *sections(QUICK)]
    parser = options(__doc__.splitlines()[0], dict.fromkeys(names))
    for library in LIBRARIES:
        parser.add_argument(
            f"--{library}", metavar="PYTHON", help=f"a Python that has {library} and torch"
        )
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    found = sections(plan)
    arguments.sections = [name for name in found if name in arguments.sections]
    results = open_results(arguments, "sparse")
    # The images are noise, so warnings about the masks mean nothing.
    warnings.simplefilter("ignore", sf.SwiftForceWarning)
    warnings.filterwarnings("ignore", "Sparse CSR", UserWarning)
    sf.set_num_threads(plan.threads)
    torch.set_num_threads(plan.threads)
    pythons = {name: getattr(arguments, name) for name in LIBRARIES if getattr(arguments, name)}
    facts = machine_facts() | {name: version_in(python, name) for name, python in pythons.items()}
    measure(results, arguments, facts, lambda name: found[name][1](plan, pythons))
    show(results, arguments, "sparse", {name: title for name, (title, _) in found.items()})


if __name__ == "__main__":
    main()
