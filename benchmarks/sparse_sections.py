"""The sections of the benchmark of kept weights: each function measures one and yields its rows.

A ratio is the time of the row's library over that of the engine at the same sparsity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks import sparse_layers as layers
from benchmarks import sparse_memory, sparse_search
from benchmarks import sparse_networks as networks
from benchmarks.classifiers import samples
from benchmarks.measure import Call, Times, in_turn
from benchmarks.rows import Row
from benchmarks.sparse_layers import Layer
from benchmarks.sparse_peers import SPARSELAB, SPARSEPROP, PeerProcess
from benchmarks.sparse_plan import Plan, Pythons, Trained

OURS = "swiftforce"
DENSE = "swiftforce, dense kernels"
TORCH = "torch"
CSR = "torch, CSR"
SPARSIFIED = "torch, sparsify"
#: Median and best of some runs, in seconds.
Figures = tuple[float, float]


def layer_rows(plan: Plan, pythons: Pythons) -> Iterator[Row]:
    """Each layer with random masks; what computes over all weights is timed once for all masks."""
    for layer in plan.layers:
        linear = layer.side == 0
        libraries = (SPARSEPROP, SPARSELAB) if linear else (SPARSEPROP,)
        with ExitStack() as processes:
            ours, calls = _layer_calls(plan, layer)
            tasks = [layers.task_of(layer, each, plan.batch) for each in plan.layer_sparsities]
            for library in set(libraries) & set(pythons):
                process = PeerProcess(pythons[library], library, tasks, plan.threads)
                processes.enter_context(process)
                for number, sparsity in enumerate(plan.layer_sparsities):
                    calls[_at(library, sparsity)] = partial(process, number)
            times = in_turn(calls, plan.layer_repeats)
        found = _per_call(layer, times, ours)
        for sparsity in plan.layer_sparsities:
            facts = {"section": "layers", "case": f"{layer}, {_removed(sparsity)}"}
            facts["threads"] = plan.threads
            shown = {
                OURS: found[_at(OURS, sparsity)],
                DENSE: found[DENSE],
                TORCH: found[TORCH],
            }
            for peer in (CSR, *libraries) if linear else libraries:
                shown[peer] = found.get(_at(peer, sparsity))
            yield from _compared(facts, shown, {TORCH: layer.target(sparsity)})


def training_rows(plan: Plan, pythons: Pythons, network: Trained) -> Iterator[Row]:
    """Steps of training a network with FORCE's masks."""
    kind = network.kind
    x, y = samples(plan.batch)
    for sparsity, masks in _masks(plan, network).items():
        facts = {"section": str(kind).lower(), "case": _removed(sparsity)}
        facts["threads"] = plan.threads
        share = networks.share_of_products(kind, masks)
        yield Row(**facts, what="multiply-adds left", against="all", ratio=share, percent=True)
        net = networks.masked(kind, masks)
        calls: dict[str, Call] = {TORCH: networks.torch_training_step(net, x, y)}
        peers = [SPARSEPROP] if network.with_sparseprop else []
        with ExitStack() as processes:
            for peer in set(peers) & set(pythons):
                tasks = [networks.step_task(net, x, y)]
                process = PeerProcess(pythons[peer], peer, tasks, plan.threads)
                calls[peer] = partial(processes.enter_context(process), 0)
            if network.with_dense:
                dense = networks.masked(kind, masks, "dense")
                calls[DENSE] = networks.training_step(dense, x, y)
            calls[OURS] = networks.training_step(net, x, y)
            calls[SPARSIFIED] = networks.sparsified_training_step(net, x, y)
            slow = calls.keys() & {DENSE, TORCH}
            networks.check_losses({what: calls[what]() for what in (OURS, SPARSIFIED, *slow)})
            runs = dict.fromkeys(slow, network.dense_runs)
            times = in_turn(calls, plan.repeats, fewer=runs)
        order = [OURS, *([DENSE] if network.with_dense else []), TORCH, SPARSIFIED, *peers]
        shown = {what: _figures(times.get(what)) for what in order}
        targets = {TORCH: network.targets, SPARSEPROP: network.sparseprop_targets}
        yield from _compared(facts, shown, _at_sparsity(targets, sparsity))
        target = _at_sparsity({TORCH: network.sparsify_targets}, sparsity)
        yield _by_sparsify(facts, times, target.get(TORCH, ""))


def _by_sparsify(facts: Mapping[str, Any], times: Mapping[str, Times], target: str) -> Row:
    """What is gained within torch."""
    slow, fast = times[TORCH], times[SPARSIFIED]
    return Row(
        **facts,
        what=TORCH,
        median=slow.median,
        best=slow.best,
        against=SPARSIFIED,
        ratio=slow.median / fast.median,
        ratio_of_best=slow.best / fast.best,
        target=target,
    )


def inference_rows(plan: Plan, _: Pythons) -> Iterator[Row]:
    """Logits of the first network with FORCE's masks."""
    network = plan.networks[0]
    for sparsity, masks in _masks(plan, network).items():
        net = networks.masked(network.kind, masks)
        dense = networks.masked(network.kind, masks, "dense")
        for batch, targets in plan.inference:
            x, _labels = samples(batch)
            networks.check_logits(net, x)
            calls = {
                OURS: networks.inference(net, x),
                DENSE: networks.inference(dense, x),
                TORCH: networks.torch_inference(net, x),
                SPARSIFIED: networks.sparsified_inference(net, x),
            }
            times = in_turn(calls, plan.inference_repeats)
            case = f"batch of {batch}, {_removed(sparsity)}"
            facts = {"section": "inference", "case": case, "threads": plan.threads}
            shown = {what: _figures(found) for what, found in times.items()}
            yield from _compared(facts, shown, _at_sparsity({TORCH: targets}, sparsity))
            yield _by_sparsify(facts, times, "")


def search_rows(plan: Plan, _: Pythons) -> Iterator[Row]:
    """Whole searches, against the published algorithm."""
    kind = plan.networks[0].kind
    sparsity = plan.sparsities[-1]
    x, y = samples(plan.batch)
    sparse_search.check_search(kind, x, y)
    for method, target in sparse_search.TARGETS.items():
        calls = {
            OURS: sparse_search.ours(method, kind, x, y, sparsity, plan.search_steps),
            sparse_search.REFERENCE: sparse_search.on_torch(
                method, kind, x, y, sparsity, plan.search_steps
            ),
        }
        # A search takes minutes: no untimed run before.
        times = in_turn(calls, 1, fewer=dict.fromkeys(calls, 1))
        case = f"{method}, {plan.search_steps} steps to {_removed(sparsity)}"
        facts = {"section": "search", "case": case, "threads": plan.threads}
        shown = {what: _figures(found) for what, found in times.items()}
        yield from _compared(facts, shown, {sparse_search.REFERENCE: target})


def memory_rows(plan: Plan, _: Pythons) -> Iterator[Row]:
    """Resident memory of a trained network, without and with FORCE's masks."""
    network = plan.networks[0]
    facts = {"section": "memory", "threads": plan.threads, "unit": "B", "percent": True}
    dense = sparse_memory.resident_memory(network.kind, None, plan.threads)
    if dense is None:
        yield Row(**facts, case="no masks", what=OURS, note="this system does not report it")
        return
    yield Row(**facts, case="no masks", what=OURS, median=dense)
    for sparsity, masks in _masks(plan, network).items():
        found = sparse_memory.resident_memory(network.kind, masks, plan.threads)
        target = dict(plan.memory_targets).get(sparsity)
        yield Row(
            **facts,
            case=_removed(sparsity),
            what=OURS,
            median=found,
            against="no masks",
            ratio=found / dense,
            target=f"<= {100 * target:g}%" if target else "",
        )


# ------------------------------------------------------------------------- parts of sections


def _layer_calls(plan: Plan, layer: Layer) -> tuple[list[str], dict[str, Call]]:
    """Calls by name, and the names of those whose network is around the layer."""
    n, highest = plan.batch, plan.layer_sparsities[-1]
    layers.check_layer(layer, highest, n)
    calls = {
        _at(OURS, sparsity): layers.steps_of(layer, layers.masked(layer, sparsity), n)
        for sparsity in plan.layer_sparsities
    }
    calls[DENSE] = layers.steps_of(layer, layers.masked(layer, highest, "dense"), n)
    ours = list(calls)
    for number, net in enumerate(layer.networks_without()):
        calls[f"without {number}"] = layers.steps_of(layer, net, n)
    calls[TORCH] = layers.torch_products(layers.task_of(layer, highest, n))
    if not layer.side:
        for sparsity in plan.layer_sparsities:
            task = layers.task_of(layer, sparsity, n)
            calls[_at(CSR, sparsity)] = layers.csr_products(task)
    return ours, calls


def _per_call(layer: Layer, times: Mapping[str, Times], ours: Sequence[str]) -> dict[str, Figures]:
    without = [found for name, found in times.items() if name.startswith("without ")]
    return {
        name: layers.figures_of(layer, found, without if name in ours else ())
        for name, found in times.items()
    }


def _compared(
    facts: Mapping[str, Any], shown: Mapping[str, Figures | None], targets: Mapping[str, str]
) -> Iterator[Row]:
    """Rows of the engine, which comes first, and of the others against it."""
    ours = shown[OURS]
    for what, figures in shown.items():
        if figures is None:
            yield Row(**facts, what=what, note=f"needs --{what}")
        elif min(*figures, *ours) <= 0:
            yield Row(**facts, what=what, note="less than the noise of the machine")
        elif what == OURS:
            yield Row(**facts, what=what, median=figures[0], best=figures[1])
        else:
            yield Row(
                **facts,
                what=what,
                median=figures[0],
                best=figures[1],
                against=OURS,
                ratio=figures[0] / ours[0],
                ratio_of_best=figures[1] / ours[1],
                target=targets.get(what, ""),
            )


def _masks(plan: Plan, network: Trained) -> dict[float, networks.Masks]:
    return networks.force_masks(
        network.kind, plan.sparsities, plan.search_steps, fashion=plan.fashion
    )


def _figures(times: Times | None) -> Figures | None:
    return times and (times.median, times.best)


def _at(what: str, sparsity: float) -> str:
    return f"{what}, {_removed(sparsity)}"


def _removed(sparsity: float) -> str:
    return f"{100 * sparsity:g} % removed"


def _at_sparsity(targets: Mapping[str, Any], sparsity: float) -> dict[str, str]:
    return {
        what: f">= {dict(found)[sparsity]:g}"
        for what, found in targets.items()
        if sparsity in dict(found)
    }
