"""One table of the selection benchmark that fits a screen: the figures of all tables at 99 %."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmarks import ours, peers
from benchmarks.rows import Results, Row, quantity

HEADING = (
    "weights",
    "threads",
    "snip",
    "/ scan",
    "step / scan",
    *(f"{name} / snip" for name in ("partition", "topk", "kthvalue")),
    "bytes per weight",
    "cycles per weight",
)
_BYTES = {"float32": 4, "bfloat16": 2}


def overview(results: Results) -> str:
    """The table in Markdown, with the machines that it was measured on."""
    lines = [f"Measured on: {text}." for text in results.machines()]
    lines += ["", "| " + " | ".join(HEADING) + " |", "|---" + "|---:" * (len(HEADING) - 1) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in _rows(results)]
    return "\n".join(lines)


def _rows(results: Results) -> Iterator[tuple[str, ...]]:
    for section in ("small", "size", "sparsity", "bfloat16"):
        cases: dict[str, dict[str, Row]] = {}
        for row in results.rows(section):
            if section != "sparsity" or row.case.startswith("99 %"):
                cases.setdefault(row.case, {})[row.what] = row
        clock = _clock(results.machine(section))
        for found in sorted(cases.values(), key=_order):
            if found[ours.SNIP].median is not None:
                yield _cells(found, clock)


def _order(found: dict[str, Row]) -> tuple[str, int, int]:
    row = found[ours.SNIP]
    return row.dtype, row.size, row.threads


def _cells(found: dict[str, Row], clock: float | None) -> tuple[str, ...]:
    snip = found[ours.SNIP]
    assert snip.median is not None
    cycles = "" if clock is None else f"{snip.median * clock * snip.threads / snip.size:.1f}"
    others = (ours.STEP, peers.NUMPY, peers.TOPK, peers.KTHVALUE)
    return (
        f"{snip.size:,} {snip.dtype}",
        str(snip.threads),
        quantity(snip.median, snip.unit),
        *_ratios([snip, *(found.get(name) for name in others)]),
        str(2 * _BYTES[snip.dtype] + 1),
        cycles,
    )


def _ratios(rows: Iterable[Row | None]) -> list[str]:
    return ["" if row is None or row.ratio is None else f"{row.ratio:.1f}" for row in rows]


def _clock(machine: dict[str, str]) -> float | None:
    """Cycles per second, as far as the system says."""
    number, _, unit = machine.get("clock", "").partition(" ")
    return float(number) * 1e6 if unit == "MHz" and number != "0" else None
