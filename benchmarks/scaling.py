"""Scaling with threads and with size, computed from measured times."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import ours
from benchmarks.plan import Plan, count_text, threads_text
from benchmarks.rows import Results, Row

NAMES = (ours.SCAN, ours.SNIP, ours.STEP, ours.DRIFT)


def scaling(results: Results, plan: Plan) -> Iterator[Row]:
    """Speed-up of all threads over one, and time per weight of large sizes over small ones."""
    yield from _with_threads(results, plan)
    yield from _with_size(results, plan)


def _with_threads(results: Results, plan: Plan) -> Iterator[Row]:
    one, several = plan.threads[0], plan.threads[-1]
    for what in NAMES:
        rows = [
            row
            for row in results.rows("sparsity")
            if row.what == what and row.case.startswith("99 %")
        ]
        medians = {row.threads: row.median for row in rows}
        bests = {row.threads: row.best for row in rows}
        case = f"{count_text(plan.size)} float32, 99 % removed"
        facts = {"section": "scaling", "case": case, "what": f"{what}: {threads_text(several)}"}
        if one == several:
            yield Row(**facts, note="there is one CPU")
        elif one in medians and several in medians:
            yield Row(
                **facts,
                median=medians[several],
                best=bests[several],
                against=threads_text(one),
                ratio=medians[one] / medians[several],
                ratio_of_best=bests[one] / bests[several],
                target="" if what == ours.SCAN else ">= 1.7",
            )


def _with_size(results: Results, plan: Plan) -> Iterator[Row]:
    small, large = plan.per_weight
    for what in NAMES:
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
                "scaling",
                f"{count_text(large)} {dtype}",
                f"{what}: per weight",
                many.median / large,
                many.best / large,
                against=count_text(small),
                ratio=many.median / few.median * small / large,
                ratio_of_best=many.best / few.best * small / large,
                target="" if what == ours.SCAN else "<= 1.2",
            )
