"""What is measured: a function per section of the table, each of a plan and returning rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import swiftforce as sf

from benchmarks import memory, ours, peers
from benchmarks.arrays import Problem, back_and_forth, problem
from benchmarks.measure import Call, Times, in_turn
from benchmarks.plan import Plan, in_threads, in_words, kept
from benchmarks.rows import Row


def by_sparsity(plan: Plan) -> Iterator[Row]:
    """Masks at every sparsity, by us and by others."""
    given = problem(plan.size, drifting=3)
    for threads in plan.threads:
        for sparsity in plan.sparsities:
            keep = kept(plan.size, sparsity)
            peers.check_masks(given, keep)
            case = f"{100 * sparsity:g} % removed, {in_threads(threads)}"
            facts = {"section": "sparsity", "case": case, "size": plan.size, "threads": threads}
            yield from _compared(plan, given, keep, threads, facts)


def by_size(plan: Plan) -> Iterator[Row]:
    """Masks of small and large networks, 99 % removed, with all threads."""
    threads = plan.threads[-1]
    for size, dtype in plan.sizes:
        case = f"{in_words(size)} {dtype}"
        facts = {"section": "size", "case": case, "size": size, "threads": threads, "dtype": dtype}
        if dtype == "bfloat16" and (reason := _no_bfloat16()):
            yield Row(**facts, what=ours.SNIP, note=reason)
            continue
        nbytes = 2 * size * (2 if dtype == "bfloat16" else 4)
        sets = 2 if nbytes <= plan.largest_step else 1
        drifting = 3 if nbytes <= plan.largest_peer else 0
        given = problem(size, dtype, alternating=sets, drifting=drifting)
        keep = kept(size, 0.99)
        (peers.check_masks if nbytes <= plan.largest_peer else peers.check_order)(given, keep)
        yield from _compared(plan, given, keep, threads, facts)
        del given  # before the next is made: both would not fit


def of_bfloat16(plan: Plan) -> Iterator[Row]:
    """Numbers of 16 bits against the reading of the same bytes."""
    for threads in plan.threads:
        case = f"{in_words(plan.size)} bfloat16, {in_threads(threads)}"
        facts = {"section": "bfloat16", "case": case, "size": plan.size, "threads": threads}
        facts["dtype"] = "bfloat16"
        if reason := _no_bfloat16():
            yield Row(**facts, what=ours.SNIP, note=reason)
            continue
        given = problem(plan.size, "bfloat16", drifting=3)
        keep = kept(plan.size, 0.99)
        peers.check_masks(given, keep)
        yield from _compared(plan, given, keep, threads, facts)


def of_a_search(plan: Plan) -> Iterator[Row]:
    """A whole search with gradients that cost nothing, against as many readings."""
    given = problem(plan.size, drifting=3)
    for threads in plan.threads:
        sf.set_num_threads(threads)
        sets = back_and_forth(given.drifting)
        found = in_turn(
            {
                "force": lambda sets=sets: sf.force(
                    given.weights, lambda _: next(sets), sparsity=0.99, steps=plan.steps
                ),
                ours.READ: ours.reading(given),
            },
            max(3, plan.repeats // 4),
        )
        times, limit = found["force"], found[ours.READ]
        yield Row(
            "search",
            f"{in_words(plan.size)} float32, {in_threads(threads)}",
            f"force, {plan.steps} steps to 99 %",
            times.median,
            times.best,
            against=f"{plan.steps} x {ours.READ}",
            ratio=times.median / (plan.steps * limit.median),
            ratio_of_best=times.best / (plan.steps * limit.best),
            size=plan.size,
            threads=threads,
        )


def of_a_small_network(plan: Plan) -> Iterator[Row]:
    """What a call costs where there is almost nothing to do."""
    size = 1000
    rng = np.random.default_rng(1)
    given = Problem(
        [rng.standard_normal(size, np.float32)], [[rng.standard_normal(size, np.float32)]]
    )
    keep = size // 10
    peers.check_masks(given, keep)
    threads = plan.threads[-1]
    calls = {ours.SNIP: ours.snip(given, keep)}
    calls |= {
        name: peers.prepare(name, given, keep, threads)
        for name in peers.PEERS
        if not peers.missing(name)
    }
    facts = {"section": "small", "case": "1,000 float32", "size": size, "threads": threads}
    found = in_turn(calls, plan.small_repeats)
    yield _row(facts, ours.SNIP, found[ours.SNIP], target="<= 30 us")
    yield from _peer_rows(facts, found, {})


def of_memory(plan: Plan) -> Iterator[Row]:
    """Peak memory beyond weights, gradients and new masks, as a share of weights and gradients."""
    for size, dtype in plan.memory:
        whats = [ours.SNIP, ours.STEP]
        if (size, dtype) == plan.memory[0]:
            whats += peers.PEERS
        for what in whats:
            facts = {"section": "memory", "case": f"{in_words(size)} {dtype}", "what": what}
            facts |= {"size": size, "dtype": dtype, "threads": plan.threads[-1], "unit": "B"}
            reason = peers.missing(what) or (_no_bfloat16() if dtype == "bfloat16" else None)
            if reason:
                yield Row(**facts, note=reason)
                continue
            found = memory.extra(what, size, dtype, kept(size, 0.99))
            if found is None:
                yield Row(**facts, note="this system does not tell")
                continue
            # A step writes over masks that are there already.
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
    "sparsity": by_sparsity,
    "size": by_size,
    "bfloat16": of_bfloat16,
    "search": of_a_search,
    "small": of_a_small_network,
    "memory": of_memory,
}


def _no_bfloat16() -> str | None:
    try:
        import ml_dtypes  # noqa: F401
    except ImportError:
        return "ml_dtypes is not installed"
    return None


def _compared(
    plan: Plan, given: Problem, keep: int, threads: int, facts: dict[str, object]
) -> Iterator[Row]:
    """Ours against the limit, and peers against ours, in turn."""
    sf.set_num_threads(threads)
    # Tens of seconds are not measured as often as milliseconds.
    repeats = max(3, min(plan.repeats, 2 * 10**10 // given.bytes))
    calls: dict[str, Call] = {ours.SNIP: ours.snip(given, keep)}
    if len(given.alternating) > 1:
        calls[ours.STEP] = ours.step(given.weights, given.alternating, keep, repeats)
    if given.drifting:
        calls[ours.DRIFT] = ours.step(given.weights, given.drifting, keep, repeats)
    # The limit stands beside each of ours, since the machine is not as fast at every moment.
    turns = {}
    for name, call in calls.items():
        turns |= {name: call, f"{ours.READ} beside {name}": ours.reading(given)}
    reasons = {}
    for name in peers.PEERS:
        if reason := _left_out(plan, name, given, str(facts.get("dtype", "float32"))):
            reasons[name] = reason
        else:
            turns[name] = peers.prepare(name, given, keep, threads)
    found = in_turn(turns, repeats, fewer=dict.fromkeys(peers.PEERS, plan.peer_repeats))
    read = found[f"{ours.READ} beside {ours.SNIP}"]
    yield _row(facts, ours.READ, read)
    bfloat16 = facts.get("dtype") == "bfloat16"
    target = "<= 2.5" if bfloat16 else "<= 1.6" if given.size >= 10**7 else ""
    for name in (ours.SNIP, ours.STEP, ours.DRIFT):
        if name in calls:
            limit = found[f"{ours.READ} beside {name}"]
            yield _row(facts, name, found[name], ours.READ, limit, target)
        else:
            yield Row(
                **facts,
                what=name,
                note="more sets of gradients would not fit, or take too long to make",
            )
    yield from _peer_rows(facts, found, reasons)


def _left_out(plan: Plan, name: str, given: Problem, dtype: str) -> str | None:
    if reason := peers.missing(name):
        return reason
    if dtype == "bfloat16":
        return "rounds scores to bfloat16"
    if given.bytes > plan.largest_peer:
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
