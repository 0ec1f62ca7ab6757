"""The sections of the selection benchmark: each function measures one and yields its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import swiftforce as sf

from benchmarks import memory, ours, peers
from benchmarks.arrays import Problem, back_and_forth, problem
from benchmarks.measure import Call, Times, in_turn
from benchmarks.plan import Plan, count_text, keep_for, threads_text
from benchmarks.rows import Row


def sparsity_rows(plan: Plan) -> Iterator[Row]:
    """Masks at every sparsity, by swiftforce and by other libraries."""
    data = problem(plan.size, drifting=3)
    for threads in plan.threads:
        for sparsity in plan.sparsities:
            keep = keep_for(plan.size, sparsity)
            peers.check_masks(data, keep)
            case = f"{100 * sparsity:g} % removed, {threads_text(threads)}"
            facts = {"section": "sparsity", "case": case, "size": plan.size, "threads": threads}
            yield from _compared(plan, data, keep, threads, facts)


def size_rows(plan: Plan) -> Iterator[Row]:
    """Masks of small and large networks, 99 % removed, with all threads."""
    threads = plan.threads[-1]
    for size, dtype in plan.sizes:
        case = f"{count_text(size)} {dtype}"
        facts = {"section": "size", "case": case, "size": size, "threads": threads, "dtype": dtype}
        if dtype == "bfloat16" and (reason := _no_bfloat16()):
            yield Row(**facts, what=ours.SNIP, note=reason)
            continue
        nbytes = 2 * size * (2 if dtype == "bfloat16" else 4)
        sets = 2 if nbytes <= plan.largest_step else 1
        drifting = 3 if nbytes <= plan.largest_peer else 0
        data = problem(size, dtype, alternating=sets, drifting=drifting)
        keep = keep_for(size, 0.99)
        (peers.check_masks if nbytes <= plan.largest_peer else peers.check_order)(data, keep)
        yield from _compared(plan, data, keep, threads, facts)
        del data  # both this and the next would not fit into memory


def bfloat16_rows(plan: Plan) -> Iterator[Row]:
    """Numbers of 16 bits, against a scan of the same bytes."""
    for threads in plan.threads:
        case = f"{count_text(plan.size)} bfloat16, {threads_text(threads)}"
        facts = {"section": "bfloat16", "case": case, "size": plan.size, "threads": threads}
        facts["dtype"] = "bfloat16"
        if reason := _no_bfloat16():
            yield Row(**facts, what=ours.SNIP, note=reason)
            continue
        data = problem(plan.size, "bfloat16", drifting=3)
        keep = keep_for(plan.size, 0.99)
        peers.check_masks(data, keep)
        yield from _compared(plan, data, keep, threads, facts)


def search_rows(plan: Plan) -> Iterator[Row]:
    """A whole search whose gradients take no time, against as many scans."""
    data = problem(plan.size, drifting=3)
    for threads in plan.threads:
        sf.set_num_threads(threads)
        sets = back_and_forth(data.drifting)
        found = in_turn(
            {
                "force": lambda sets=sets: sf.force(
                    data.weights,
                    lambda _: next(sets),
                    sparsity=0.99,
                    steps=plan.steps,
                    progress=False,
                ),
                ours.SCAN: ours.scan(data),
            },
            max(3, plan.repeats // 4),
        )
        times, limit = found["force"], found[ours.SCAN]
        yield Row(
            "search",
            f"{count_text(plan.size)} float32, {threads_text(threads)}",
            f"force, {plan.steps} steps to 99 %",
            times.median,
            times.best,
            against=f"{plan.steps} x {ours.SCAN}",
            ratio=times.median / (plan.steps * limit.median),
            ratio_of_best=times.best / (plan.steps * limit.best),
            size=plan.size,
            threads=threads,
        )


def small_call_rows(plan: Plan) -> Iterator[Row]:
    """The overhead of a call: masks of 1,000 weights."""
    size = 1000
    rng = np.random.default_rng(1)
    data = Problem(
        [rng.standard_normal(size, np.float32)], [[rng.standard_normal(size, np.float32)]]
    )
    keep = size // 10
    peers.check_masks(data, keep)
    threads = plan.threads[-1]
    calls = {ours.SNIP: ours.snip(data, keep)}
    calls |= {
        name: peers.prepare(name, data, keep, threads)
        for name in peers.PEERS
        if not peers.missing(name)
    }
    facts = {"section": "small", "case": "1,000 float32", "size": size, "threads": threads}
    found = in_turn(calls, plan.small_repeats)
    yield _row(facts, ours.SNIP, found[ours.SNIP], target="<= 30 us")
    yield from _peer_rows(facts, found, {})


def memory_rows(plan: Plan) -> Iterator[Row]:
    """Peak memory beyond weights, gradients and new masks, as a share of weights and gradients."""
    for size, dtype in plan.memory:
        whats = [ours.SNIP, ours.STEP]
        if (size, dtype) == plan.memory[0]:
            whats += peers.PEERS
        for what in whats:
            facts = {"section": "memory", "case": f"{count_text(size)} {dtype}", "what": what}
            facts |= {"size": size, "dtype": dtype, "threads": plan.threads[-1], "unit": "B"}
            reason = peers.missing(what) or (_no_bfloat16() if dtype == "bfloat16" else None)
            if reason:
                yield Row(**facts, note=reason)
                continue
            found = memory.extra_memory(what, size, dtype, keep_for(size, 0.99))
            if found is None:
                yield Row(**facts, note="this system does not report it")
                continue
            # A step overwrites existing masks.
            beyond = found["extra"] - (0 if what == ours.STEP else found["masks"])
            target = "<= 2%" if what in (ours.SNIP, ours.STEP) else ""
            yield Row(
                **facts,
                median=max(0, beyond),
                against="weights and gradients",
                ratio=max(0, beyond) / found["input"],
                target=target,
            )


#: Sections by name, in the order of the table.
SECTIONS: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "sparsity": sparsity_rows,
    "size": size_rows,
    "bfloat16": bfloat16_rows,
    "search": search_rows,
    "small": small_call_rows,
    "memory": memory_rows,
}


def _no_bfloat16() -> str | None:
    try:
        import ml_dtypes  # noqa: F401
    except ImportError:
        return "ml_dtypes is not installed"
    return None


def _compared(
    plan: Plan, data: Problem, keep: int, threads: int, facts: dict[str, object]
) -> Iterator[Row]:
    """Swiftforce against the scan, and peers against swiftforce, in alternating runs."""
    sf.set_num_threads(threads)
    # Long runs are repeated less often.
    repeats = max(3, min(plan.repeats, 2 * 10**10 // data.bytes))
    calls: dict[str, Call] = {ours.SNIP: ours.snip(data, keep)}
    if len(data.alternating) > 1:
        calls[ours.STEP] = ours.step(data.weights, data.alternating, keep, repeats)
    if data.drifting:
        calls[ours.DRIFT] = ours.step(data.weights, data.drifting, keep, repeats)
    # A scan runs beside each call, since the speed of the machine varies over time.
    turns = {}
    for name, call in calls.items():
        turns |= {name: call, f"{ours.SCAN} beside {name}": ours.scan(data)}
    reasons = {}
    for name in peers.PEERS:
        if reason := _left_out(plan, name, data, str(facts.get("dtype", "float32"))):
            reasons[name] = reason
        else:
            turns[name] = peers.prepare(name, data, keep, threads)
    found = in_turn(turns, repeats, fewer=dict.fromkeys(peers.PEERS, plan.peer_repeats))
    scan = found[f"{ours.SCAN} beside {ours.SNIP}"]
    yield _row(facts, ours.SCAN, scan)
    bfloat16 = facts.get("dtype") == "bfloat16"
    target = "<= 2.5" if bfloat16 else "<= 1.6" if data.size >= 10**7 else ""
    for name in (ours.SNIP, ours.STEP, ours.DRIFT):
        if name in calls:
            limit = found[f"{ours.SCAN} beside {name}"]
            yield _row(facts, name, found[name], ours.SCAN, limit, target)
        else:
            yield Row(
                **facts,
                what=name,
                note="more sets of gradients do not fit, or take too long to generate",
            )
    yield from _peer_rows(facts, found, reasons)


def _left_out(plan: Plan, name: str, data: Problem, dtype: str) -> str | None:
    if reason := peers.missing(name):
        return reason
    if dtype == "bfloat16":
        return "rounds scores to bfloat16"
    if data.bytes > plan.largest_peer:
        return "takes minutes, or does not fit"
    return None


def _peer_rows(
    facts: dict[str, object], found: dict[str, Times], reasons: dict[str, str]
) -> Iterator[Row]:
    targets = {peers.NUMPY: ">= 8", peers.TOPK: ">= 60"} if facts["section"] == "sparsity" else {}
    for name in peers.PEERS:
        if name in found:
            yield _row(facts, name, found[name], ours.SNIP, found[ours.SNIP], targets.get(name, ""))
        else:
            yield Row(**facts, what=name, note=reasons.get(name) or str(peers.missing(name)))


def _row(
    facts: dict[str, object],
    what: str,
    times: Times,
    against: str = "",
    other: Times | None = None,
    target: str = "",
) -> Row:
    return Row(
        **facts,
        what=what,
        median=times.median,
        best=times.best,
        against=against,
        ratio=times.median / other.median if other else None,
        ratio_of_best=times.best / other.best if other else None,
        target=target,
    )
