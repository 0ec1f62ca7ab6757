"""Functions that a model tells its mode, as modules that have the mode: one graph for both modes.

``F.dropout(x, p, self.training)`` is another call in train mode than in eval mode. A graph has
one, so it calls a module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx, nn
from torch.nn import functional

from swiftforce.errors import UnsupportedTypeError

_DROPOUTS = (
    functional.dropout,
    functional.dropout1d,
    functional.dropout2d,
    functional.dropout3d,
)


class ByMode(nn.Module):
    """A function of one tensor whose other arguments depend on the mode of this module.

    Parameters
    ----------
    function : callable
        The function.
    in_train_mode, in_eval_mode : tuple of a tuple and a dict
        Its positional arguments after the tensor, and its keyword arguments.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        in_train_mode: tuple[tuple[Any, ...], dict[str, Any]],
        in_eval_mode: tuple[tuple[Any, ...], dict[str, Any]],
    ) -> None:
        super().__init__()
        self.function = function
        self.in_train_mode = in_train_mode
        self.in_eval_mode = in_eval_mode

    def forward(self, tensor: Any) -> Any:  # noqa: ANN401 - what the function takes and returns
        """The function of a tensor."""
        args, named = self.in_train_mode if self.training else self.in_eval_mode
        return self.function(tensor, *args, **named)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"{self.function.__name__}"


def is_dropout(function: object) -> bool:
    """Whether a function sets random elements to zero, and does nothing in eval mode."""
    is_of_vision = getattr(function, "__module__", "") == "torchvision.ops.stochastic_depth"
    return function in _DROPOUTS or is_of_vision


def unify(model: nn.Module, in_train_mode: fx.Graph, in_eval_mode: fx.Graph) -> None:
    """Make the graph of eval mode that of both modes; modules that it calls are added to a model.

    Raises
    ------
    UnsupportedTypeError
        If the modes differ in anything but arguments of functions.
    """
    train_nodes, eval_nodes = list(in_train_mode.nodes), list(in_eval_mode.nodes)
    for one, other in zip(train_nodes, eval_nodes, strict=False):
        if _shown(one) == _shown(other) or not _differ_by_arguments(one, other):
            continue
        name, number = getattr(one.target, "__name__", "function").strip("_"), 1
        while hasattr(model, f"{name}_{number}"):
            number += 1
        calls = [(node.args[1:], dict(node.kwargs)) for node in (one, other)]
        module = ByMode(one.target, calls[0], calls[1])
        model.add_module(f"{name}_{number}", module.train(model.training))
        for node in (one, other):
            node.op, node.target = "call_module", f"{name}_{number}"
            node.args, node.kwargs = (node.args[0],), {}
    shown = [[*map(_shown, nodes), None] for nodes in (train_nodes, eval_nodes)]
    for one, other in zip(*shown, strict=False):
        if one != other:
            raise UnsupportedTypeError(
                f"{type(model).__name__} computes differently in train mode and in eval mode (at "
                f"{(one or other)[1]}), which a graph cannot follow: let modules such as "
                "nn.Dropout decide by their mode, or pass inference=True if training is over"
            )


def _differ_by_arguments(one: fx.Node, other: fx.Node) -> bool:
    """Whether two nodes call one function of one tensor with other arguments."""
    nodes = one.all_input_nodes, other.all_input_nodes
    return (
        one.op == other.op == "call_function"
        and one.target is other.target
        and all(len(each) == 1 for each in nodes)
        and all(
            node.args[:1] == tuple(each) for node, each in zip((one, other), nodes, strict=True)
        )
        and nodes[0][0].name == nodes[1][0].name
    )


def _shown(node: fx.Node) -> tuple[str, ...]:
    return node.op, str(node.target), str(node.args), str(node.kwargs)
