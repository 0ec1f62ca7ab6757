"""A compact graph: operations on the channels that are computed, and what lies between them."""

from __future__ import annotations

import torch
from torch import fx, nn

from swiftforce.torch.compaction.channels import Channels
from swiftforce.torch.compaction.layers import Slices
from swiftforce.torch.compaction.plan import Plan


class Select(nn.Module):
    """Some of a tensor's channels.

    Parameters
    ----------
    axis : int
        The axis of the channels.
    index : int64 tensor of shape (selected,)
        Those that are selected.
    """

    index: torch.Tensor

    def __init__(self, axis: int, index: torch.Tensor) -> None:
        super().__init__()
        self.axis = axis
        self.register_buffer("index", index, persistent=False)

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        """The selected channels, as a new tensor."""
        return tensor.index_select(self.axis, self.index)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"{len(self.index)} channels, axis={self.axis}"


class Insert(nn.Module):
    """A tensor with further channels, which are constants.

    Parameters
    ----------
    axis : int
        The axis of the channels.
    index : int64 tensor of shape (channels of the input,)
        Where those of the input go.
    values : tensor of shape (channels of the result,)
        The constants; any number where those of the input go.
    """

    index: torch.Tensor
    values: torch.Tensor

    def __init__(self, axis: int, index: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.axis = axis
        self.is_zero = not bool(values.any())
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("values", values, persistent=False)

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        """The channels of the input in their places, as a new tensor."""
        shape = list(tensor.shape)
        shape[self.axis] = len(self.values)
        if self.is_zero:
            return tensor.new_zeros(shape).index_copy_(self.axis, self.index, tensor)
        view = [1] * len(shape)
        view[self.axis] = -1
        constants = self.values.to(tensor.dtype).view(view).expand(shape)
        return constants.index_copy(self.axis, self.index, tensor)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"{len(self.index)} of {len(self.values)} channels, axis={self.axis}"


class Rewriting:
    """A new graph with the operations of a plan, and modules of the model's copy made smaller.

    Parameters
    ----------
    model : fx.GraphModule
        The traced copy; its modules are changed.
    plan : Plan
        What is computed.
    """

    def __init__(self, model: fx.GraphModule, plan: Plan) -> None:
        self._model = model
        self._plan = plan
        self._graph = fx.Graph()
        self._new: dict[fx.Node, fx.Node] = {}
        self._between: dict[tuple[fx.Node, bytes], fx.Node] = {}
        tensors = (*model.parameters(), *model.buffers())
        floating = [one for one in tensors if one.is_floating_point()]
        self._like = floating[0] if floating else torch.zeros(())

    def model(self) -> fx.GraphModule:
        """The compact model, in the modes of the copy."""
        modes = {name: one.training for name, one in self._model.named_modules()}
        self._shrink_modules()
        for node in self._model.graph.nodes:
            if node not in self._plan.computed:
                if node.op == "placeholder":  # The arguments of ``forward`` stay.
                    self._new[node] = self._graph.node_copy(node)
                continue
            rule, reads = self._plan.rules[node], self._plan.reads[node]
            inputs = {
                position: self._read(source, read)
                for position, (source, read) in enumerate(zip(rule.sources, reads, strict=True))
                if read is not None or self._plan.states[source] is None
            }
            self._new[node] = rule.emit(self._graph, inputs)
        for node in self._graph.nodes:
            node.type = None  # An annotation that is a string would keep torch.save from working.
        self._graph.lint()
        found = fx.GraphModule(self._model, self._graph, self._model._get_name())
        for name, module in found.named_modules():
            module.training = modes.get(name, modes[""])
        return found

    def slices(self) -> dict[str, tuple[torch.Tensor, ...]]:
        """Indices of what stays, by the full names of parameters and buffers that shrink."""
        return {
            f"{layer.name}.{own}": index
            for layer in self._plan.layers.values()
            if bool(layer.outputs.any())
            for own, index in layer.slices().items()
        }

    def _read(self, source: fx.Node, read: torch.Tensor | None) -> fx.Node:
        """Some channels of a node that was computed, in the new graph."""
        new, state, computed = self._new[source], self._plan.states[source], None
        if source in self._plan.computed:
            computed = self._plan.computed[source]
        if state is None or read is None or computed is None or torch.equal(read, computed):
            return new
        if not bool(read.any()):
            return new
        key = source, read.numpy().tobytes()
        if key not in self._between:
            self._between[key] = self._converted(new, state, computed, read)
        return self._between[key]

    def _converted(
        self, new: fx.Node, state: Channels, computed: torch.Tensor, read: torch.Tensor
    ) -> fx.Node:
        both = computed & read
        if not torch.equal(both, computed):
            index = _places(both, computed).to(self._like.device)
            new = self._call("select", Select(state.axis, index), new)
        if not torch.equal(both, read):
            values = torch.where(both, 0.0, state.value)[read].to(self._like)
            inserted = Insert(state.axis, _places(both, read).to(values.device), values)
            new = self._call("insert", inserted, new)
        return new

    def _call(self, name: str, module: nn.Module, argument: fx.Node) -> fx.Node:
        number = 1
        while hasattr(self._model, f"{name}_{number}"):
            number += 1
        self._model.add_submodule(f"{name}_{number}", module)
        return self._graph.call_module(f"{name}_{number}", (argument,))

    def _shrink_modules(self) -> None:
        for layer in self._plan.layers.values():
            if not bool(layer.outputs.any()):
                continue  # No node that is needed calls it.
            attributes = layer.attributes()
            for name, value in layer.replaced.items():
                weight = layer.module.weight
                replaced = value.to(weight.device, weight.dtype)
                setattr(layer.module, name, nn.Parameter(replaced, weight.requires_grad))
            slices = layer.slices()
            _shrink(layer.module, slices)
            for name, number in attributes.items():
                setattr(layer.module, name, number)


def _places(chosen: torch.Tensor, among: torch.Tensor) -> torch.Tensor:
    """The positions of the chosen channels among some."""
    return chosen[among].nonzero().flatten()


def sliced(tensor: torch.Tensor, index: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """What stays of a tensor, as a new one."""
    return tensor.detach()[tuple(one.to(tensor.device) for one in index)].clone()


def _shrink(module: nn.Module, slices: Slices) -> None:
    for name, index in slices.items():
        old = getattr(module, name)
        new = sliced(old, index)
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(new, requires_grad=old.requires_grad)
        setattr(module, name, new)
