"""How operations without weights act on channels: which they read, which they keep known.

A rule belongs to one node of a graph. ``forward`` says what is known of its channels, ``reads``
which channels of its inputs it needs for some of its own, and ``emit`` adds the operation on those
alone to a new graph. A rule may need more channels than asked for (`Rule.rounded`): one more is
always exact. Rules of layers with weights are in `layers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import fx

from swiftforce.torch.compaction.channels import Channels
from swiftforce.torch.compaction.traced_graph import shape_of

#: What a rule reads of each source: True for the channels it needs. None stands for a source that
#: it does not need at all.
Reads = list[torch.Tensor | None]


def all_of(channels: Channels) -> torch.Tensor:
    """True for all channels."""
    return torch.ones(channels.size, dtype=torch.bool)


class Rule:
    """The rule of an operation that is not known: it reads all channels of all inputs.

    Parameters
    ----------
    node : fx.Node
        The operation.
    sources : sequence of fx.Node
        What it reads channels of.
    """

    #: Why channels at the inputs are all kept; None if they need not be.
    reason: str | None = None

    def __init__(self, node: fx.Node, sources: Sequence[fx.Node]) -> None:
        self.node = node
        self.sources = tuple(sources)

    def forward(self, states: Sequence[Channels | None]) -> Channels | None:
        """What is known of the channels of the result; None if that is no tensor."""
        shape = shape_of(self.node)
        if not shape:
            return None
        # Images have channels first, and vectors and sequences have features last.
        axis = 1 if len(shape) > 3 else len(shape) - 1
        return Channels.unknown(axis, shape[axis])

    def rounded(self, wanted: torch.Tensor, states: Sequence[Channels | None]) -> torch.Tensor:
        """The channels that are computed if these are wanted: all of them."""
        return torch.ones_like(wanted)

    def reads(self, wanted: torch.Tensor | None, states: Sequence[Channels | None]) -> Reads:
        """The channels of each source that are needed for those that are computed."""
        return [None if state is None else all_of(state) for state in states]

    def emit(self, graph: fx.Graph, inputs: Mapping[int, fx.Node]) -> fx.Node:
        """The operation in a new graph; `inputs` has its sources there by their positions."""
        by_node = {self.sources[position]: one for position, one in inputs.items()}
        return graph.node_copy(self.node, lambda node: by_node[node])


class Unknown(Rule):
    """The rule of an operation that is not known, with a reason for the report."""

    def __init__(self, node: fx.Node, sources: Sequence[fx.Node], reason: str) -> None:
        super().__init__(node, sources)
        self.reason = reason


class Channelwise(Rule):
    """An operation whose channels depend on the channels of the same index.

    Parameters
    ----------
    node : fx.Node
    source : fx.Node
    constants : function
        What it makes of known channels, if training is over.
    axis : int, optional
        The axis of channels in the result, where it is another one.
    keeps_zero : bool
        Whether it maps zero to zero, and gradients with respect to its own parameters are zero
        there.
    keeps_held : bool
        Whether it maps a constant that is not positive to such a constant.
    clips : bool
        Whether it is zero, and its gradient is, where its input is not positive.
    inference : bool
        Whether training is over.
    """

    def __init__(
        self,
        node: fx.Node,
        source: fx.Node,
        constants: Callable[[torch.Tensor], torch.Tensor],
        *,
        axis: int | None = None,
        keeps_zero: bool = True,
        keeps_held: bool = False,
        clips: bool = False,
        inference: bool = False,
    ) -> None:
        super().__init__(node, [source])
        self._constants = constants
        self._axis = axis
        self._keeps_zero = keeps_zero
        self._keeps_held = keeps_held
        self._clips = clips
        self._inference = inference

    def forward(self, states: Sequence[Channels | None]) -> Channels:
        """What the operation makes of known and of held channels."""
        (state,) = states
        assert state is not None
        axis = state.axis if self._axis is None else self._axis
        if self._inference:
            return Channels.of(axis, self._constants(state.value.clone()))
        value = torch.full_like(state.value, torch.nan)
        if self._keeps_zero:
            value[state.zero] = 0
        if self._clips:
            value[state.held] = 0
        return Channels.of(axis, value, state.held if self._keeps_held else None)

    def rounded(self, wanted: torch.Tensor, states: Sequence[Channels | None]) -> torch.Tensor:
        """No more than wanted."""
        return wanted

    def reads(self, wanted: torch.Tensor | None, states: Sequence[Channels | None]) -> Reads:
        """The channels that are computed."""
        return [wanted]


class Sum(Rule):
    """A sum or difference of tensors whose channels are along one axis."""

    def __init__(self, node: fx.Node, sources: Sequence[fx.Node], sign: int = 1) -> None:
        super().__init__(node, sources)
        self._sign = sign
        self._wanted: torch.Tensor | None = None
        self._only: int | None = None

    def forward(self, states: Sequence[Channels | None]) -> Channels:
        """The sum of known channels; held where both terms are held or zero."""
        first, second = states
        assert first is not None and second is not None
        held = (first.held | first.zero) & (second.held | second.zero)
        value = first.value + self._sign * second.value
        return Channels.of(first.axis, value, held if self._sign > 0 else None)

    def rounded(self, wanted: torch.Tensor, states: Sequence[Channels | None]) -> torch.Tensor:
        """No more than wanted."""
        return wanted

    def reads(self, wanted: torch.Tensor | None, states: Sequence[Channels | None]) -> Reads:
        """The same channels of both terms; nothing of a term that is zero there."""
        assert wanted is not None
        self._only = None
        for position in (0, 1) if self._sign > 0 else (0,):
            other = states[1 - position]
            is_whole = shape_of(self.sources[position]) == shape_of(self.node)
            if other is not None and is_whole and bool(other.zero[wanted].all()):
                self._only = position
        return [wanted if self._only in (None, position) else None for position in (0, 1)]

    def emit(self, graph: fx.Graph, inputs: Mapping[int, fx.Node]) -> fx.Node:
        """The sum, or a copy of the only term, which may be changed in place."""
        if self._only is None:
            return super().emit(graph, inputs)
        return graph.call_function(torch.clone, (inputs[self._only],))


class Product(Sum):
    """A product of tensors whose channels are along one axis."""

    def forward(self, states: Sequence[Channels | None]) -> Channels:
        """Zero where a factor is."""
        first, second = states
        assert first is not None and second is not None
        value = first.value * second.value
        value[first.zero | second.zero] = 0
        return Channels.of(first.axis, value)

    def reads(self, wanted: torch.Tensor | None, states: Sequence[Channels | None]) -> Reads:
        """The same channels of both factors."""
        return [wanted, wanted]


class Concatenation(Rule):
    """Tensors joined along the axis of their channels."""

    def __init__(self, node: fx.Node, sources: Sequence[fx.Node], axis: int) -> None:
        super().__init__(node, sources)
        self._axis = axis

    def forward(self, states: Sequence[Channels | None]) -> Channels:
        """What is known of the parts."""
        found = [one for one in states if one is not None]
        value = torch.cat([one.value for one in found])
        return Channels.of(self._axis, value, torch.cat([one.held for one in found]))

    def rounded(self, wanted: torch.Tensor, states: Sequence[Channels | None]) -> torch.Tensor:
        """No more than wanted."""
        return wanted

    def reads(self, wanted: torch.Tensor | None, states: Sequence[Channels | None]) -> Reads:
        """The channels of each part; nothing of a part without any."""
        assert wanted is not None
        parts = wanted.split([one.size for one in states if one is not None])
        return [part if bool(part.any()) else None for part in parts]

    def emit(self, graph: fx.Graph, inputs: Mapping[int, fx.Node]) -> fx.Node:
        """The parts that are left, joined."""
        parts = [inputs[position] for position in sorted(inputs)]
        return graph.call_function(torch.cat, (parts,), {"dim": self._axis})
