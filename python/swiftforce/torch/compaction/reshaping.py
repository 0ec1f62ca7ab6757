"""How reshaping acts on channels, and what a graph asks tensors for: their sizes, their device.

Sizes are those that a tensor has with all of its channels: what a model computes from them does not
change.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from math import prod

import torch
from torch import fx

from swiftforce.torch.compaction.channels import Channels
from swiftforce.torch.compaction.rules import Channelwise, Reads, Rule
from swiftforce.torch.compaction.traced_graph import shape_of


class Flatten(Rule):
    """Axes from `start` to `end` joined to one; each element along them is a channel then."""

    def __init__(self, node: fx.Node, source: fx.Node, start: int, end: int) -> None:
        super().__init__(node, [source])
        self._start, self._end = start, end

    def _expanded(self, channels: torch.Tensor, axis: int) -> torch.Tensor:
        """A number for each channel, for each element of the joined axes."""
        shape = shape_of(self.sources[0])
        assert shape is not None
        view = [1] * (self._end - self._start + 1)
        view[axis - self._start] = -1
        return channels.view(view).expand(shape[self._start : self._end + 1]).flatten()

    def forward(self, states: Sequence[Channels | None]) -> Channels:
        """What is known of each channel, for each of its elements."""
        (state,) = states
        assert state is not None
        if self._start <= state.axis <= self._end:
            value = self._expanded(state.value, state.axis)
            return Channels.of(self._start, value, self._expanded(state.held, state.axis))
        axis = state.axis if state.axis < self._start else state.axis + self._start - self._end
        return Channels.of(axis, state.value, state.held)

    def rounded(self, wanted: torch.Tensor, states: Sequence[Channels | None]) -> torch.Tensor:
        """All elements of the channels that are read."""
        (state,) = states
        assert state is not None
        if not self._start <= state.axis <= self._end:
            return wanted
        return self._expanded(self._of_source(wanted, states), state.axis)

    def reads(self, wanted: torch.Tensor | None, states: Sequence[Channels | None]) -> Reads:
        """The channels of which an element is wanted."""
        return [self._of_source(wanted, states)]

    def _of_source(
        self, wanted: torch.Tensor | None, states: Sequence[Channels | None]
    ) -> torch.Tensor:
        (state,) = states
        assert state is not None and wanted is not None
        if not self._start <= state.axis <= self._end:
            return wanted
        shape = shape_of(self.sources[0])
        assert shape is not None
        elements = wanted.view(shape[self._start : self._end + 1])
        return elements.movedim(state.axis - self._start, 0).flatten(1).any(1)

    def emit(self, graph: fx.Graph, inputs: Mapping[int, fx.Node]) -> fx.Node:
        """The same axes, joined."""
        return graph.call_function(torch.flatten, (inputs[0], self._start, self._end))


class AppendedAxes(Channelwise):
    """A tensor with more axes of size one at its end."""

    def __init__(self, node: fx.Node, source: fx.Node, number: int, *, inference: bool) -> None:
        super().__init__(node, source, lambda value: value, keeps_held=True, inference=inference)
        self._number = number

    def emit(self, graph: fx.Graph, inputs: Mapping[int, fx.Node]) -> fx.Node:
        """The axes, appended."""
        found = inputs[0]
        for _ in range(self._number):
            found = graph.call_function(torch.unsqueeze, (found, -1))
        return found


class Sizes(Rule):
    """The shape of a tensor, or one of its sizes: those that the tensor had with all channels."""

    def __init__(self, node: fx.Node, source: fx.Node, state: Channels) -> None:
        super().__init__(node, [source])
        self._state = state

    def forward(self, states: Sequence[Channels | None]) -> None:
        """Numbers have no channels."""
        return

    def reads(self, wanted: torch.Tensor | None, states: Sequence[Channels | None]) -> Reads:
        """No channel, but the tensor."""
        return [torch.zeros(self._state.size, dtype=torch.bool)]

    def emit(self, graph: fx.Graph, inputs: Mapping[int, fx.Node]) -> fx.Node:
        """The shape with the number of channels of the larger tensor."""
        axis = self._state.axis
        shape = graph.call_function(getattr, (inputs[0], "shape"))
        before, after = (
            graph.call_function(operator.getitem, (shape, part))
            for part in (slice(None, axis), slice(axis + 1, None))
        )
        found = graph.call_function(operator.add, (before, (self._state.size,)))
        found = graph.call_function(operator.add, (found, after))
        given = (*self.node.args[1:], *self.node.kwargs.values())
        if self.node.op == "call_function" or not given:
            return found
        return graph.call_function(operator.getitem, (found, given[0]))


class Attribute(Rule):
    """What a tensor says of itself that does not depend on the number of its channels."""

    def forward(self, states: Sequence[Channels | None]) -> None:
        """Such values have no channels."""
        return

    def reads(self, wanted: torch.Tensor | None, states: Sequence[Channels | None]) -> Reads:
        """No channel, but the tensor."""
        return [None if one is None else torch.zeros(one.size).bool() for one in states]


def reshaped(node: fx.Node, source: fx.Node, state: Channels, *, inference: bool) -> Rule | None:
    """The rule of a view, a reshape or a flattening; None of one that is not known."""
    before, after = shape_of(source), shape_of(node)
    assert before is not None and after is not None
    more = len(after) - len(before)
    if more >= 0:
        is_appended = after == torch.Size((*before, *[1] * more))
        return AppendedAxes(node, source, more, inference=inference) if is_appended else None
    for start in sorted(range(len(after)), key=lambda one: one != 1):
        end = start - more
        joined = (*before[:start], prod(before[start : end + 1]), *before[end + 1 :])
        with_batch = start == 0 and state.axis <= end
        if joined == tuple(after) and not with_batch:
            return Flatten(node, source, start, end)
    return None


def mean(node: fx.Node, source: fx.Node, state: Channels, *, inference: bool) -> Rule | None:
    """The rule of a mean over other axes than that of the channels; else None."""
    shape = shape_of(source)
    assert shape is not None
    named = dict(zip(("dim", "keepdim"), node.args[1:], strict=False)) | node.kwargs
    dims = named.get("dim")
    given = list(dims) if isinstance(dims, Sequence) else [dims]
    if not given or not all(isinstance(one, int) for one in given):
        return None
    axes = {int(one) % len(shape) for one in given}  # type: ignore[arg-type]
    if state.axis in axes or named.keys() - {"dim", "keepdim"}:
        return None
    moved = 0 if named.get("keepdim", False) else sum(one < state.axis for one in axes)
    if moved and state.axis - moved == 0:
        return None  # Without the batch, no axis is left for it.
    return Channelwise(
        node,
        source,
        lambda value: value,
        axis=state.axis - moved,
        keeps_held=True,
        inference=inference,
    )
