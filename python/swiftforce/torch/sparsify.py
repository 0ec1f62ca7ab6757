"""Masked models whose layers compute over their kept weights alone, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.utils import _pytree as pytree

from swiftforce.errors import StructureError
from swiftforce.nn import LayerPlan, NetworkPlan
from swiftforce.torch.arguments import check_model
from swiftforce.torch.example_inputs import arguments_of, in_eval_mode
from swiftforce.torch.mask_hooks import mask_hooks_of
from swiftforce.torch.masked_parameter import MaskedParameter
from swiftforce.torch.sample_blocks import conversions, to_torch_layout
from swiftforce.torch.sparse_modules import (
    ATTRIBUTE,
    MARK,
    SparseModule,
    SparseWeight,
    sparse_class,
    unsupported,
)
from swiftforce.torch.sparse_operations import density_limit
from swiftforce.torch.sparse_states import follow_optimizers
from swiftforce.torch.wrappers import parallel_of, unwrapped

#: Positional and keyword arguments.
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
#: The largest difference of outputs, in parts of the largest output.
TOLERANCE = 1e-3


class ModelPlan(NetworkPlan):
    """How each layer with a mask computes, in the order of the layers.

    Printing it gives a table; a notebook shows it as one.

    Attributes
    ----------
    conversions : int
        How many copies between the order of torch and that of the kernels a forward pass makes.
    """

    def __init__(self, layers: Sequence[LayerPlan], conversions: int) -> None:
        super().__init__(layers)
        self.conversions = conversions

    def __repr__(self) -> str:
        """The table."""
        return f"{super().__repr__()}\n{self.conversions} conversions in a forward pass"


def sparsify(
    model: nn.Module,
    example_input: Any,  # noqa: ANN401 - whatever the model takes
    *,
    torch_layout: bool = False,
) -> ModelPlan:
    """Make the layers of a masked model compute over their kept weights alone, on the CPU.

    The model is changed in place; the training loop does not change. Convolutions and linear layers
    with masks become modules whose parameter ``weight`` is the vector of kept values, where that is
    faster than to multiply zeros, too. Their outputs and gradients are those of the masked model up
    to the order of sums. Optimizers that treat each weight separately train the vectors; what they
    keep for the weights is taken over in their next step. A ``state_dict`` is that of the dense
    model, in names and in shapes, for saving and for loading. `desparsify` undoes it. The sizes of
    the images in `example_input` decide which layers are faster; other sizes work as well.

    Parameters
    ----------
    model : nn.Module
        A model on the CPU that `apply` gave masks to, in float32. Wrap it by
        DistributedDataParallel or torch.compile afterwards.
    example_input : tensor, sequence, mapping, or shape
        What the model takes: a tensor, a sequence of arguments, a mapping of keyword arguments, or
        a sequence of integers, which is the shape of a tensor.
    torch_layout : bool
        Whether each layer returns its outputs in the layout of torch, at the price of copies; see
        the notes. Without it, that is done if the outputs of the model differ otherwise, or if
        autograd functions written in Python made them.

    Returns
    -------
    ModelPlan
        How each layer with a mask computes, and why.

    Raises
    ------
    StructureError
        If the model has no masks, has sparse layers, is wrapped by DistributedDataParallel, or
        computes other outputs with sparse layers, as models do that use a layer's weight by
        themselves; or if `example_input` has no tensor. Then nothing has changed.

    Warns
    -----
    DenseLayerWarning
        When a sparse layer is called with inputs that its kernels are not for, under autocast for
        example. It computes over all weights then.

    Notes
    -----
    Between sparse layers, activations stay in the layout of the kernels, samples innermost
    (`SampleBlocks`, a subclass of tensor); functions of torch that need another layout get copies.
    Random numbers, as for dropout, are drawn in that layout. What is called past the functions of
    torch sees the memory as it is: autograd functions of your own, full backward hooks, reentrant
    checkpoints. Where a call in evaluation mode does not show them, pass ``torch_layout=True``.
    Batches that are no multiple of 16 are trained in the layout of torch.

    Sparse layers have first derivatives alone. Optimizers that treat a weight as a matrix, such as
    Muon and Adafactor, cannot train vectors. An optimizer's state is saved in the form that its
    parameters have then. A ``state_dict`` has copies of the weights: write to the parameters. These
    have one dimension: choose groups of parameters, and make averages of models, with that in mind.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU())
    >>> model = sft.apply(model, {"0.weight": torch.eye(64, dtype=torch.bool)})
    >>> plan = sft.sparsify(model, torch.randn(32, 64))
    >>> plan[0].kernels, model[0].weight.shape
    ('sparse', torch.Size([64]))
    >>> model.state_dict()["0.weight"].shape
    torch.Size([64, 64])
    """
    inner = unwrapped(check_model(model))
    if parallel_of(model) is not None:
        raise StructureError("sparsify the model before DistributedDataParallel wraps it")
    masked = _masked_parameters(inner)
    if not masked:
        raise StructureError("the model has no masks: call apply(model, pruning) first")
    given = arguments_of(example_input, inner)
    images, expected = _observed(inner, masked, given)
    torch_layout = torch_layout or _has_functions_of_python(expected)
    expected = [one.detach() for one in expected]
    users = _users(inner)
    apart = _used_apart(inner)
    plans: list[LayerPlan] = []
    changed: list[Any] = []
    try:
        for module, one in masked:
            kept, size = one.kept, one.removed.numel()
            reason = apart.get(module) or _why_dense(module, one, images.get(module), users)
            is_sparse = False
            if reason is None:
                sparse = SparseWeight(one.mask, type(module))
                limit = density_limit(sparse.sizes(module, images[module]))
                is_sparse = kept <= limit * size
                reason = f"{'at most' if is_sparse else 'more than'} {limit:.0%} kept"
                if is_sparse:
                    _make_sparse(module, one, sparse)
                    changed.append(module)
            kernels: Literal["sparse", "dense"] = "sparse" if is_sparse else "dense"
            plans.append(LayerPlan(one.label, size, kept, kernels, reason))
        count = _compare(inner, given, expected, changed, torch_layout=torch_layout)
    except BaseException:
        for module in changed:
            _make_dense(module)
        raise
    if isinstance(inner, SparseModule):
        getattr(inner, ATTRIBUTE).torch_layout = True
    elif changed:
        inner.register_forward_hook(_plain_outputs)
    return ModelPlan(plans, count)


def desparsify(model: nn.Module) -> None:
    """Make the layers of a model dense and masked again, as they were before `sparsify`.

    The model is changed in place. Optimizers go on with their state, except LBFGS.

    Parameters
    ----------
    model : nn.Module
        The model, which may be compiled. Take it out of DistributedDataParallel first.

    Raises
    ------
    StructureError
        If the model is wrapped by DistributedDataParallel.
    UnsupportedTypeError
        If `model` is not a `torch.nn.Module`.
    """
    inner = unwrapped(check_model(model, may_be_sparse=True))
    if parallel_of(model) is not None:
        raise StructureError("take the model out of DistributedDataParallel first: model.module")
    for module in inner.modules():
        if isinstance(module, SparseModule):
            _make_dense(module)
    for number, hook in list(inner._forward_hooks.items()):
        if hook is _plain_outputs:
            del inner._forward_hooks[number]


def _masked_parameters(model: nn.Module) -> list[tuple[nn.Module, MaskedParameter]]:
    """The parameters with a mask that removes weights, and their modules."""
    return [
        (module, one)
        for module in model.modules()
        if (hooks := mask_hooks_of(module)) is not None
        for one in hooks.parameters
        if one.parameter is not None and not one.freezes
    ]


def _users(model: nn.Module) -> dict[int, int]:
    """How many modules use each parameter."""
    found: dict[int, int] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            found[id(parameter)] = found.get(id(parameter), 0) + 1
    return found


def _used_apart(model: nn.Module) -> dict[nn.Module, str]:
    """The layers of torch whose weights another module of torch multiplies by itself, and why."""
    reason = "TransformerEncoderLayer multiplies by its weight itself"
    return {
        layer: reason
        for module in model.modules()
        if isinstance(module, nn.TransformerEncoderLayer)
        for layer in (module.linear1, module.linear2)
    }


def _why_dense(
    module: nn.Module, one: MaskedParameter, image: torch.Size | None, users: Mapping[int, int]
) -> str | None:
    """Why a layer cannot be sparse, whatever its density."""
    parameter = one.parameter
    assert parameter is not None
    kind = sparse_class(module)
    if one.name != "weight":
        return f"no sparse kernels for the parameter {one.name!r}"
    if kind is None:
        return f"no sparse kernels for {type(module).__name__}"
    if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
        return f"no sparse kernels for {parameter.dtype} on {parameter.device.type}"
    if users[id(parameter)] > 1:
        return "several modules share its weight"
    if image is None:
        return "the forward pass did not call it"
    return unsupported(module)


@contextmanager
def _evaluated(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode, without gradients, and its modes back."""
    with in_eval_mode(model), torch.no_grad(), torch.random.fork_rng(devices=()):
        yield


def _observed(
    model: nn.Module, masked: Sequence[tuple[nn.Module, MaskedParameter]], given: Arguments
) -> tuple[dict[nn.Module, torch.Size], list[torch.Tensor]]:
    """The sizes of the images that layers get, and the outputs of the model.

    Raises
    ------
    StructureError
        If there are no outputs that can be compared.
    """
    images: dict[nn.Module, torch.Size] = {}

    def observe(rank: int, module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        source = args[0] if args else next(iter(named.values()), None)
        if isinstance(source, torch.Tensor):
            images[module] = source.shape[source.dim() - rank :]

    handles = [
        module.register_forward_pre_hook(partial(observe, one.removed.dim() - 2), with_kwargs=True)
        for module, one in masked
        if one.name == "weight"
    ]
    try:
        with _evaluated(model), torch.enable_grad():
            args, named = pytree.tree_map_only(torch.Tensor, _differentiable, given)
            outputs = _tensors(model(*args, **named))
    finally:
        for handle in handles:
            handle.remove()
    if not outputs:
        raise StructureError(
            "the model returns no floating-point tensors that can be compared: let it return "
            "tensors, or tuples, lists or dicts of them"
        )
    return images, outputs


def _differentiable(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().requires_grad_() if tensor.is_floating_point() else tensor


def _has_functions_of_python(outputs: Sequence[torch.Tensor]) -> bool:
    """Whether autograd functions written in Python made the outputs: these see the memory as it is.

    They are those of users, of reentrant checkpoints, and of full backward hooks.
    """
    waiting = [one.grad_fn for one in outputs]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return True
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
    return False


def _tensors(outputs: object) -> list[torch.Tensor]:
    found = pytree.tree_leaves(to_torch_layout(outputs))
    return [one for one in found if isinstance(one, torch.Tensor) and one.is_floating_point()]


def _compare(
    model: nn.Module,
    given: Arguments,
    expected: Sequence[torch.Tensor],
    changed: Sequence[nn.Module],
    *,
    torch_layout: bool,
) -> int:
    """Check the outputs of a sparse model; return how many conversions they took.

    Raises
    ------
    StructureError
        If they differ in either layout.
    """
    problem = ""
    for layout in (True,) if torch_layout else (False, True):
        for module in changed:
            getattr(module, ATTRIBUTE).torch_layout = layout
        before = sum(conversions.values())
        try:
            with _evaluated(model):
                found = _tensors(model(*given[0], **given[1]))
        except Exception as error:
            problem = f"the model does not run with sparse layers ({error})"
            continue
        if _are_close(found, expected):
            return sum(conversions.values()) - before
        problem = "the model's outputs differ with sparse layers"
    raise StructureError(
        f"{problem}: if it uses a weight other than by calling its layer, leave that weight out of "
        "the masks"
    )


def _are_close(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> bool:
    """Whether outputs are equal but for the order of sums; NaN in the same places are."""
    if [one.shape for one in found] != [one.shape for one in expected]:
        return False
    for one, other in zip(found, expected, strict=True):
        finite = other[other.isfinite()].abs()
        tolerance = TOLERANCE * float(finite.max()) if finite.numel() else 0.0
        if not torch.allclose(one, other, rtol=0, atol=tolerance, equal_nan=True):
            return False
    return True


def _plain_outputs(module: nn.Module, arguments: object, outputs: object) -> object:
    """Give what a model returns in the order of torch."""
    return outputs if torch.compiler.is_compiling() else to_torch_layout(outputs)


def _make_sparse(module: nn.Module, one: MaskedParameter, sparse: SparseWeight) -> None:
    kind = sparse_class(module)
    parameter = one.parameter
    assert kind is not None
    assert parameter is not None
    _exchange(parameter, sparse.values)
    one.unhook()
    one.is_sparse = True
    setattr(parameter, MARK, sparse)
    setattr(module, ATTRIBUTE, sparse)
    module.__class__ = kind
    follow_optimizers()


def _make_dense(module: SparseModule) -> None:
    sparse: SparseWeight = getattr(module, ATTRIBUTE)
    parameter = module.weight
    if parameter.dim() == 1:
        _exchange(parameter, sparse.dense)
        setattr(parameter, MARK, sparse)
    delattr(module, ATTRIBUTE)
    module.__class__ = sparse.dense_class  # type: ignore[assignment]
    hooks = mask_hooks_of(module)
    if hooks is not None:
        for one in hooks.parameters:
            one.is_sparse = False
        hooks.attach()


def _exchange(parameter: nn.Parameter, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Put kept values in the place of a dense weight, or the other way, with its gradient.

    The parameter stays the same object, for optimizers; its memory is replaced.
    """
    with torch.no_grad():
        gradient = None if parameter.grad is None else change(parameter.grad)
        values = change(parameter)
        parameter.grad = None
        parameter.set_(values)  # type: ignore[call-overload]
        parameter.grad = gradient
