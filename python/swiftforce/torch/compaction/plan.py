"""Which channels of each value of a graph a compact model computes.

One pass forward finds the known channels. Passes backward find which of the others are read, until
the layers that several nodes call need no more.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import fx

from swiftforce.torch.compaction.channels import Channels, Facts
from swiftforce.torch.compaction.layers import Layer
from swiftforce.torch.compaction.rules import Reads, Rule, Unknown
from swiftforce.torch.compaction.table import Table


@dataclass
class Plan:
    """What a compact model computes.

    Attributes
    ----------
    states : dict of node to Channels, or None for what is no tensor
        What is known of all channels.
    rules : dict of node to Rule
    layers : dict of str to Layer
        Modules with weights, by name, with the channels that stay.
    computed : dict of node to bool tensor, or None for what is no tensor
        The channels of each node that is needed, in the order of the graph: True for those that are
        computed.
    reads : dict of node to list
        Which channels a node that is needed reads of each of its sources.
    """

    states: dict[fx.Node, Channels | None] = field(default_factory=dict)
    rules: dict[fx.Node, Rule] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)
    computed: dict[fx.Node, torch.Tensor | None] = field(default_factory=dict)
    reads: dict[fx.Node, Reads] = field(default_factory=dict)


def planned(facts: Facts) -> Plan:
    """The plan of a compact model."""
    plan = _gone_forward(facts)
    before = None
    while before != (now := _sizes(plan)):
        before = now
        _go_backward(facts.model.graph, plan)
    return plan


def returns_constants(facts: Facts) -> bool:
    """Whether all that a model returns is known, by the facts of a model in inference."""
    plan = _gone_forward(facts)
    (output,) = facts.model.graph.find_nodes(op="output")
    ends = [plan.states[one] for one in output.all_input_nodes]
    return bool(ends) and all(one is not None and bool(one.known.all()) for one in ends)


def _gone_forward(facts: Facts) -> Plan:
    """A plan that says what is known."""
    table, whole = Table(facts), set()
    plan = Plan(layers=table.layers)
    for node in facts.model.graph.nodes:
        rule = plan.rules[node] = table.rule(node, plan.states)
        state = rule.forward([plan.states[one] for one in rule.sources])
        if state is not None and len(node.users) > 1:
            state.held[:] = False
        plan.states[node] = state
        if isinstance(rule, Unknown) and node.op == "call_module":
            whole.add(str(node.target))
    for name in whole & plan.layers.keys():  # Another call of the module is known.
        plan.layers[name].outputs[:] = True
        plan.layers[name].inputs[:] = True
    return plan


def _sizes(plan: Plan) -> list[int]:
    layers = plan.layers.values()
    return [-1 * (not plan.computed)] + [
        int(one.sum()) for layer in layers for one in (layer.outputs, layer.inputs)
    ]


def _go_backward(graph: fx.Graph, plan: Plan) -> None:
    """Find what each node computes and reads, from the output to the inputs."""
    plan.computed.clear()
    plan.reads.clear()
    wanted: dict[fx.Node, torch.Tensor | None] = {}
    for node in reversed(graph.nodes):
        if node not in wanted and not node.is_impure():
            continue
        rule, state = plan.rules[node], plan.states[node]
        states = [plan.states[one] for one in rule.sources]
        computed = None if state is None else _computed(rule, state, states, wanted.get(node))
        plan.computed[node] = computed
        plan.reads[node] = rule.reads(computed, states)
        for source, read in zip(rule.sources, plan.reads[node], strict=True):
            if plan.states[source] is None:
                wanted[source] = None
            elif read is not None:
                known = wanted.get(source)
                wanted[source] = read if known is None else known | read


def _computed(
    rule: Rule,
    state: Channels,
    states: list[Channels | None],
    wanted: torch.Tensor | None,
) -> torch.Tensor:
    """The channels to compute: those that are wanted and not known, and at least one."""
    asked = torch.zeros(state.size, dtype=torch.bool) if wanted is None else wanted
    found = asked & ~state.known
    if not bool(found.any()) and state.size:
        others = asked if bool(asked.any()) else ~state.known
        found[int(others.int().argmax())] = True
    return rule.rounded(found, states)
