"""What follows from figures that were measured: how cost grows with threads and with size."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import ours
from benchmarks.plan import Plan, in_threads, in_words
from benchmarks.rows import Results, Row

WHATS = (ours.READ, ours.SNIP, ours.STEP, ours.DRIFT)


def growth(results: Results, plan: Plan) -> Iterator[Row]:
    """Speed of all threads against one, and cost per weight of many against few."""
    yield from _with_threads(results, plan)
    yield from _with_size(results, plan)


def _with_threads(results: Results, plan: Plan) -> Iterator[Row]:
    one, several = plan.threads[0], plan.threads[-1]
    for what in WHATS:
        rows = [
            row
            for row in results.rows("sparsity")
            if row.what == what and row.case.startswith("99 %")
        ]
        medians = {row.threads: row.median for row in rows}
        bests = {row.threads: row.best for row in rows}
        case = f"{in_words(plan.size)} float32, 99 % removed"
        facts = {"section": "growth", "case": case, "what": f"{what}: {in_threads(several)}"}
        if one == several:
            yield Row(**facts, note="there is one CPU")
        elif one in medians and several in medians:
            yield Row(
                **facts,
                median=medians[several],
                best=bests[several],
                against=in_threads(one),
                ratio=medians[one] / medians[several],
                ratio_of_best=bests[one] / bests[several],
                target="" if what == ours.READ else ">= 1.7",
            )


def _with_size(results: Results, plan: Plan) -> Iterator[Row]:
    small, large = plan.per_weight
    for what in WHATS:
        for dtype in ("float32", "bfloat16"):
            rows = {
                row.size: row
                for row in results.rows("size")
                if row.what == what and row.dtype == dtype and row.median
            }
            if small not in rows or large not in rows:
                continue
            few, many = rows[small], rows[large]
            yield Row(
                "growth",
                f"{in_words(large)} {dtype}",
                f"{what}: per weight",
                many.median / large,
                many.best / large,
                against=in_words(small),
                ratio=many.median / few.median * small / large,
                ratio_of_best=many.best / few.best * small / large,
                target="" if what == ours.READ else "<= 1.2",
            )
