"""A model as a graph of PyTorch's own tracer, with the shape of each value.

The graph is that of a copy of the model, without masks.
"""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.prune import BasePruningMethod

from swiftforce.errors import StructureError, UnsupportedTypeError
from swiftforce.torch.compaction.mode_functions import unify
from swiftforce.torch.mask_hooks import masked_parameters
from swiftforce.torch.sharded import is_sharded
from swiftforce.torch.sparse import remove

#: The entry of a node's ``meta`` that has the shape of its tensor; none for other values.
SHAPE = "swiftforce_shape"
_IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv)
_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
)


def traced(
    model: nn.Module, args: Sequence[Any], named: Mapping[str, Any], *, inference: bool
) -> tuple[fx.GraphModule, Any]:
    """The graph of a copy of a model, and what the model returns in eval mode.

    In inference it is the graph of eval mode.

    Raises
    ------
    UnsupportedTypeError
        If the model cannot be traced, or a graph would not compute the same.
    """
    _check_can_be_traced(model)
    modes = {name: one.training for name, one in model.named_modules()}
    copied = copy.deepcopy(model)
    remove(copied)
    absent = _defaults(copied, args, named)
    in_train_mode = None if inference else _graph(copied.train(), absent)
    in_eval_mode = _graph(copied.eval(), absent)
    with torch.no_grad():
        output = copied(*args, **named)
    if in_train_mode is not None:
        unify(copied, in_train_mode, in_eval_mode)
    graph = fx.GraphModule(copied, in_eval_mode, type(model).__name__)
    _read_results_of_in_place(graph)
    graph.eval()
    with torch.no_grad():
        _Shapes(graph).run(*_in_order(graph, args, named))
    for name, module in graph.named_modules():
        module.training = modes.get(name, modes[""])
    return graph, output


def shape_of(node: fx.Node) -> torch.Size | None:
    """The shape of a node's tensor; None if it has none."""
    found: torch.Size | None = node.meta.get(SHAPE)
    return found


def module_of(node: fx.Node) -> nn.Module:
    """The module that a node calls."""
    owner = node.graph.owning_module
    assert owner is not None
    return owner.get_submodule(str(node.target))


def is_in_place(node: fx.Node) -> bool:
    """Whether a node writes to its first input."""
    if node.op == "call_module":
        return bool(getattr(module_of(node), "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_") and not str(node.target).endswith("__")
    if node.op != "call_function":
        return False
    if node.target in _IN_PLACE or node.target.__name__.endswith("_"):  # type: ignore[union-attr]
        return True
    try:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # A function of C without a signature.
        return bool(node.kwargs.get("inplace", False))
    return bool(bound.arguments.get("inplace", False))


def _check_can_be_traced(model: nn.Module) -> None:
    kind = type(model).__name__
    if frozen := masked_parameters(model, frozen=True):
        raise UnsupportedTypeError(
            f"{next(iter(frozen))} is fine-tuned, so its other weights are frozen and not removed: "
            "call swiftforce.torch.remove(model) first"
        )
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter) or parameter.is_meta:
            raise UnsupportedTypeError(f"{name} has no values yet: initialise the model first")
        if is_sharded(parameter):
            raise UnsupportedTypeError(
                f"{name} is sharded: load the whole state into a plain model, and compact that"
            )
    for name, module in model.named_modules():
        label = f"{name or kind} ({type(module).__name__})"
        for table in _HOOKS:
            hooks = getattr(module, table).values()
            if any(isinstance(hook, BasePruningMethod) for hook in hooks):
                raise UnsupportedTypeError(
                    f"{label} has a mask of torch.nn.utils.prune: call "
                    "torch.nn.utils.prune.remove on it, and swiftforce.torch.apply(model, masks)"
                )
            if hooks:
                raise UnsupportedTypeError(
                    f"{label} has hooks, which a smaller module would call with smaller tensors: "
                    "remove them first, and register them with the compact model"
                )


def _defaults(model: nn.Module, args: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of ``forward`` that are not given, with their defaults."""
    try:
        signature = inspect.signature(model.forward)
        given = signature.bind(*args, **named).arguments
    except TypeError as error:
        raise StructureError(
            f"{type(model).__name__}.forward cannot be called with this example_input: {error}"
        ) from None
    return {
        name: one.default
        for name, one in signature.parameters.items()
        if name not in given and one.default is not inspect.Parameter.empty
    }


def _in_order(
    graph: fx.GraphModule, args: Sequence[Any], named: Mapping[str, Any]
) -> Iterator[Any]:
    """The inputs in the order of the graph's placeholders."""
    waiting = list(args)
    for node in graph.graph.find_nodes(op="placeholder"):
        if waiting:
            yield waiting.pop(0)
        elif str(node.target) in named:
            yield named[str(node.target)]
        else:
            yield node.args[0] if node.args else None


def _graph(model: nn.Module, absent: Mapping[str, Any]) -> fx.Graph:
    if isinstance(model, fx.GraphModule):  # Compact already, or exported.
        return copy.deepcopy(model.graph)
    try:
        return fx.Tracer().trace(model, concrete_args=dict(absent) or None)
    except Exception as error:
        raise UnsupportedTypeError(
            f"torch.fx cannot trace {type(model).__name__} ({type(error).__name__}: {error}): "
            "compact a part of it that has no control flow by values, as in model.features = "
            "sft.compact(model.features, x), or mark a function with torch.fx.wrap"
        ) from error


def _read_results_of_in_place(model: fx.GraphModule) -> None:
    """Let what reads a tensor after it was written to read the result of the node that wrote.

    The tensors are the same. But a compact model may write to a copy of some channels.
    """
    order = {node: number for number, node in enumerate(model.graph.nodes)}
    for node in model.graph.nodes:
        if not is_in_place(node) or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        written = node.args[0]
        for user in list(written.users):
            if order[user] > order[node]:
                user.replace_input_with(written, node)
    model.recompile()


class _Shapes(fx.Interpreter):
    """Runs a graph and writes the shapes of all tensors to its nodes."""

    def run_node(self, node: fx.Node) -> Any:  # noqa: ANN401
        found = super().run_node(node)
        if isinstance(found, torch.Tensor):
            node.meta[SHAPE] = found.shape
        return found
