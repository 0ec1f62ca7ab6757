"""What allocations, floors, caps and patterns cost, and their masks beside jaxpruner's rules.

The rules are those of jaxpruner (Lee et al., 2023) as its source states them, in numpy: the package
needs a JAX of that time. Run from the top of the repository: `make bench`, or
`python -m benchmarks.axes --quick`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import swiftforce as sf
from swiftforce import _core
from swiftforce.inputs import Array

from benchmarks.command import measure, open_results, options, show
from benchmarks.measure import in_turn, machine_facts
from benchmarks.plan import threads_text
from benchmarks.rows import Row

READING, PLAIN = "reading", "plain"


@dataclass(frozen=True)
class Plan:
    """Sizes and repeats.

    Attributes
    ----------
    tensors : int
        Tensors of `outputs` output units, each of `inputs` weights.
    outputs, inputs : int
    sparsity : float
    threads : int
    repeats : int
    """

    tensors: int = 50
    outputs: int = 500
    inputs: int = 1000
    sparsity: float = 0.9
    threads: int = 2
    repeats: int = 7

    @property
    def size(self) -> int:
        """Weights of all tensors."""
        return self.tensors * self.outputs * self.inputs


QUICK = Plan(tensors=4, outputs=40, inputs=64, repeats=2)

#: Options of `sf.prune`.
CASES: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "uniform": {"allocation": "uniform"},
    "erk": {"allocation": "erk"},
    "floor of one per output unit": {"allocation": sf.Allocation(floor_per_output=1)},
    "cap of a quarter per output unit": {"allocation": sf.Allocation(cap_per_output=0.25)},
    "floor of 5 % per tensor": {"allocation": sf.Allocation(floor=0.05)},
    "2:4": {"allocation": sf.Allocation(n_m=(2, 4))},
    "output units": {"pattern": "outputs"},
    "blocks of 4 x 1": {"pattern": (4, 1)},
}


@cache
def arrays(plan: Plan) -> tuple[list[Array], list[Array]]:
    """Weights and gradients, of another scale in each tensor."""
    rng = np.random.default_rng(0)
    shape = (plan.outputs, plan.inputs)
    scales = rng.random(plan.tensors) + 0.2
    weights = [(scale * rng.standard_normal(shape)).astype(np.float32) for scale in scales]
    return weights, [rng.standard_normal(shape).astype(np.float32) for _ in scales]


def cost_rows(plan: Plan) -> Iterator[Row]:
    """Times of one selection, over that of reading weights and gradients once."""
    weights, gradients = arrays(plan)

    def one(given: dict[str, Any]) -> sf.Pruning[Any]:
        return sf.prune(weights, gradients, method="snip", sparsity=plan.sparsity, **given)

    calls: dict[str, Callable[[], object]] = {
        name: partial(one, given) for name, given in CASES.items()
    }
    found = in_turn({READING: lambda: _core.scan(weights + gradients), **calls}, plan.repeats)
    for name, given in CASES.items():
        yield Row(
            section="cost",
            case=name,
            what=f"{one(given).history[0].passes} passes",
            median=found[name].median,
            best=found[name].best,
            against=READING,
            ratio=found[name].ratio_to(found[READING]),
            ratio_of_best=found[name].best / found[READING].best,
            size=plan.size,
            threads=plan.threads,
        )


def rule_rows(plan: Plan) -> Iterator[Row]:
    """The total score of our masks over that of a rule's, and how many weights both keep."""
    scores = [np.abs(weight * gradient) for weight, gradient in zip(*arrays(plan), strict=True)]
    scores[0] = scores[0][:, : plan.inputs // 8].copy()
    keep = 1 - plan.sparsity
    ours: dict[str, dict[str, Any]] = {
        "uniform": {"allocation": "uniform", "sparsity": plan.sparsity},
        "ERK": {"allocation": "erk", "sparsity": plan.sparsity},
        "2:4": {"allocation": sf.Allocation(n_m=(2, 4))},
        "blocks of 4 x 4 by their mean": {
            "allocation": "uniform",
            "pattern": sf.Pattern((4, 4), score="mean"),
            "sparsity": plan.sparsity,
        },
        "channels by their mean": {
            "allocation": "uniform",
            "pattern": sf.Pattern("outputs", score="mean"),
            "sparsity": plan.sparsity,
        },
    }
    theirs: dict[str, Callable[[], list[Array]]] = {
        "uniform": lambda: [best(score, keep) for score in scores],
        "ERK": lambda: [
            best(score, share) for score, share in zip(scores, erk(scores, keep), strict=True)
        ],
        "2:4": lambda: [two_of_four(score) for score in scores],
        "blocks of 4 x 4 by their mean": lambda: [blocks(score, 4, 4, keep) for score in scores],
        "channels by their mean": lambda: [blocks(one, 1, one.shape[1], keep) for one in scores],
    }
    for name, given in ours.items():
        masks = {"ours": sf.select(scores, **given), "rule": theirs[name]()}
        total = {
            who: sum(
                float(score[mask].sum(dtype=np.float64))
                for score, mask in zip(scores, found, strict=True)
            )
            for who, found in masks.items()
        }
        kept = {who: sum(int(mask.sum()) for mask in found) for who, found in masks.items()}
        yield Row(
            section="rules",
            case=name,
            what=f"{kept['ours']:,} kept",
            against=f"jaxpruner's rule, {kept['rule']:,} kept",
            ratio=total["ours"] / total["rule"],
            size=sum(score.size for score in scores),
            threads=plan.threads,
        )


def best(scores: Array, share: float) -> Array:
    """The share of largest scores, at least one; of equal ones the first."""
    count = max(1, round(scores.size * share))
    order = np.argsort(-scores.reshape(-1), kind="stable")[:count]
    mask = np.zeros(scores.size, bool)
    mask[order] = True
    return mask.reshape(scores.shape)


def erk(scores: list[Array], share: float) -> list[float]:
    """Densities in proportion to the sum of lengths over their product, or 1 if that is less."""
    raw = [sum(score.shape) / score.size for score in scores]
    dense: set[int] = set()
    while True:
        rest = [i for i in range(len(scores)) if i not in dense]
        wanted = share * sum(score.size for score in scores) - sum(scores[i].size for i in dense)
        factor = wanted / sum(raw[i] * scores[i].size for i in rest)
        most = max(raw[i] for i in rest)
        if factor * most <= 1:
            return [1.0 if i in dense else factor * raw[i] for i in range(len(scores))]
        dense |= {i for i in rest if raw[i] == most}


def two_of_four(scores: Array) -> Array:
    """The two largest of each four along the last axis."""
    groups = scores.reshape(-1, 4)
    ranks = groups.argsort(axis=1, kind="stable").argsort(axis=1)
    found: Array = (ranks >= 2).reshape(scores.shape)
    return found


def blocks(scores: Array, rows: int, columns: int, share: float) -> Array:
    """The share of blocks with the largest mean."""
    height, width = scores.shape
    pad = ((0, -height % rows), (0, -width % columns))
    sums, counts = (
        np.pad(one, pad)
        .reshape((height + pad[0][1]) // rows, rows, (width + pad[1][1]) // columns, columns)
        .sum((1, 3), dtype=np.float64)
        for one in (scores, np.ones_like(scores))
    )
    mask = best(sums / counts, share)
    found: Array = mask.repeat(rows, axis=0).repeat(columns, axis=1)[:height, :width]
    return found


#: Sections by name, in the order of the table.
SECTIONS: dict[str, Callable[[Plan], Iterator[Row]]] = {"cost": cost_rows, "rules": rule_rows}


def titles(plan: Plan) -> dict[str, str]:
    """Headings of the sections, in order."""
    size = f"{plan.size / 1e6:g} million float32 weights in {plan.tensors} tensors"
    removed = f"{100 * plan.sparsity:g} % removed, {threads_text(plan.threads)}"
    return {
        "cost": f"A selection among {size}, {removed}",
        "rules": "Masks of the same scores: total score over that of jaxpruner's rules",
    }


def main() -> None:
    """Measure missing sections, and show all results."""
    arguments = options(__doc__.splitlines()[0], SECTIONS).parse_args()
    plan = QUICK if arguments.quick else Plan()
    found = open_results(arguments, "axes")
    # The arrays are noise, so warnings about the masks mean nothing.
    warnings.simplefilter("ignore", sf.SwiftForceWarning)
    sf.set_num_threads(plan.threads)
    measure(found, arguments, machine_facts(), lambda name: SECTIONS[name](plan))
    show(found, arguments, "axes", titles(plan))


if __name__ == "__main__":
    main()
