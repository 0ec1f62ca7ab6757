"""Masked models whose layers compute over their kept weights alone, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils import _pytree as pytree

from swiftforce.errors import StructureError
from swiftforce.nn import LayerPlan, NetworkPlan
from swiftforce.torch.arguments import check_model
from swiftforce.torch.example_inputs import arguments_of
from swiftforce.torch.mask_hooks import forget_history, mask_hooks_of
from swiftforce.torch.masked_parameter import MaskedParameter
from swiftforce.torch.sample_blocks import conversions, in_torch_order
from swiftforce.torch.sparse_modules import (
    ATTRIBUTE,
    SparseModule,
    SparseWeight,
    sparse_class,
    unsupported,
)
from swiftforce.torch.sparse_operations import density_limit
from swiftforce.torch.wrappers import parallel_of, unwrapped

#: Positional and keyword arguments.
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
#: The attribute of a parameter of kept values: the weight that it was, for optimizers' states.
MARK = "_swiftforce_kept"
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


def sparsify(model: nn.Module, example_input: Any) -> ModelPlan:  # noqa: ANN401 - any structure
    """Make the layers of a masked model compute over their kept weights alone, on the CPU.

    The model is changed in place; the training loop does not change. Convolutions and linear layers
    with masks become modules whose parameter ``weight`` is the vector of kept values, where that is
    faster than to multiply zeros, too. Their outputs and gradients are those of the masked model up
    to the order of sums. Any optimizer trains the vectors; what it keeps for the weights is taken
    over in its next step. A ``state_dict`` is that of the dense model, in names and in shapes, for
    saving and for loading. `desparsify` undoes it. The sizes of the images in `example_input`
    decide which layers are faster; other sizes work as well.

    Parameters
    ----------
    model : nn.Module
        A model on the CPU that `apply` gave masks to, in float32. Wrap it by
        DistributedDataParallel or torch.compile afterwards.
    example_input : tensor, sequence, mapping, or shape
        What the model takes: a tensor, a sequence of arguments, a mapping of keyword arguments, or
        a sequence of integers, which is the shape of a tensor.

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
    Between sparse layers, activations stay in the order of the kernels, samples innermost
    (`SampleBlocks`, a subclass of tensor); functions of torch that need another order get copies.
    In-place changes of a view of such a tensor do not reach the tensor. Random numbers, as for
    dropout, are drawn in that order.

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
    masked = _masked_modules(inner)
    if not masked:
        raise StructureError("the model has no masks: call apply(model, pruning) first")
    given = arguments_of(example_input, inner)
    images, expected = _observed(inner, masked, given)
    users = _users(inner)
    apart = _used_apart(inner)
    plans: list[LayerPlan] = []
    changed: list[Any] = []
    try:
        for name, (module, one) in masked.items():
            kept, size = int(one.mask.sum()), one.removed.numel()
            reason = apart.get(module) or _why_dense(module, one, images.get(name), users)
            is_sparse = False
            if reason is None:
                sparse = SparseWeight(one.mask, type(module))
                limit = density_limit(sparse.sizes(module, images[name]))
                is_sparse = kept <= limit * size
                reason = f"{'at most' if is_sparse else 'more than'} {limit:.0%} kept"
                if is_sparse:
                    _make_sparse(module, one, sparse)
                    changed.append(module)
            kernels: Literal["sparse", "dense"] = "sparse" if is_sparse else "dense"
            plans.append(LayerPlan(one.label, size, kept, kernels, reason))
        count = _compare(inner, given, expected)
    except BaseException:
        for module in changed:
            _make_dense(module)
        raise
    if changed:
        inner.register_forward_hook(_plain_outputs)
    return ModelPlan(plans, count)


def desparsify(model: nn.Module) -> None:
    """Make the layers of a model dense and masked again, as they were before `sparsify`.

    The model is changed in place. Optimizers go on with their state.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.

    Raises
    ------
    UnsupportedTypeError
        If `model` is not a `torch.nn.Module`.
    """
    inner = unwrapped(check_model(model, may_be_sparse=True))
    for module in inner.modules():
        if isinstance(module, SparseModule):
            _make_dense(module)
    for number, hook in list(inner._forward_hooks.items()):
        if hook is _plain_outputs:
            del inner._forward_hooks[number]


def _masked_modules(model: nn.Module) -> dict[str, tuple[nn.Module, MaskedParameter]]:
    """The modules with a mask that removes weights, by their names."""
    return {
        name: (module, one)
        for name, module in model.named_modules()
        if (hooks := mask_hooks_of(module)) is not None
        for one in hooks.parameters
        if one.parameter is not None and not one.freezes
    }


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
    if kind is None or one.name != "weight":
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
    modes = [(one, one.training) for one in model.modules()]
    try:
        model.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=()):
            yield
    finally:
        for one, training in modes:
            one.training = training


def _observed(
    model: nn.Module, masked: Mapping[str, tuple[nn.Module, MaskedParameter]], given: Arguments
) -> tuple[dict[str, torch.Size], list[Any]]:
    """The sizes of the images that layers get, and the outputs of the model."""
    images: dict[str, torch.Size] = {}

    def observe(
        name: str, rank: int, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any]
    ) -> None:
        source = args[0] if args else next(iter(named.values()))
        images[name] = source.shape[source.dim() - rank :]

    handles = [
        module.register_forward_pre_hook(
            partial(observe, name, one.removed.dim() - 2), with_kwargs=True
        )
        for name, (module, one) in masked.items()
    ]
    try:
        with _evaluated(model):
            return images, _tensors(model(*given[0], **given[1]))
    finally:
        for handle in handles:
            handle.remove()


def _tensors(outputs: object) -> list[Any]:
    found = pytree.tree_leaves(in_torch_order(outputs))
    return [one for one in found if isinstance(one, torch.Tensor) and one.is_floating_point()]


def _compare(model: nn.Module, given: Arguments, expected: Sequence[torch.Tensor]) -> int:
    """Check the outputs of a sparse model; return how many conversions they took."""
    before = sum(conversions.values())
    try:
        with _evaluated(model):
            found = _tensors(model(*given[0], **given[1]))
    except Exception as error:
        raise StructureError(
            f"the model does not run with sparse layers ({error}): it uses a weight other than by "
            "calling its layer; leave that weight out of the masks"
        ) from error
    count = sum(conversions.values()) - before
    for one, other in zip(found, expected, strict=True):
        scale = float(other.abs().max()) if other.numel() else 0.0
        if one.shape != other.shape or float((one - other).abs().amax()) > TOLERANCE * scale:
            raise StructureError(
                "the model's outputs differ with sparse layers: it uses a weight other than by "
                "calling its layer; leave that weight out of the masks"
            )
    return count


def _plain_outputs(module: nn.Module, arguments: object, outputs: object) -> object:
    """Give what a model returns in the order of torch."""
    return outputs if torch.compiler.is_compiling() else in_torch_order(outputs)


def _make_sparse(module: nn.Module, one: MaskedParameter, sparse: SparseWeight) -> None:
    kind = sparse_class(module)
    parameter = one.parameter
    assert kind is not None
    assert parameter is not None
    _exchange(parameter, sparse.values)
    one.unhook()
    one.is_compact = True
    setattr(parameter, MARK, sparse)
    setattr(module, ATTRIBUTE, sparse)
    module.__class__ = kind
    _follow_optimizers()


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
            one.is_compact = False
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


_is_following = False


def _follow_optimizers() -> None:
    """Convert what optimizers keep for weights before their next steps."""
    global _is_following  # noqa: PLW0603 - torch has one table of hooks for all optimizers
    if not _is_following:
        register_optimizer_step_pre_hook(_convert_state)
        _is_following = True


def _convert_state(optimizer: Optimizer, *_: object) -> None:
    """Convert the state of dense weights to that of kept values, or the other way."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    if isinstance(optimizer, torch.optim.LBFGS):
        if optimizer._numel_cache not in (None, sum(one.numel() for one in parameters)):
            forget_history(optimizer)
            optimizer._numel_cache = None
        return
    for parameter in parameters:
        sparse: SparseWeight | None = getattr(parameter, MARK, None)
        if sparse is None:
            continue
        state = optimizer.state.get(parameter, {})
        for name, value in state.items():
            if not isinstance(value, torch.Tensor) or value.shape == parameter.shape:
                continue
            if parameter.dim() == 1 and value.shape == sparse.mask.shape:
                state[name] = sparse.values(value)
            elif parameter.dim() != 1 and value.dim() == 1 and len(value) == sparse.count:
                state[name] = sparse.dense(value)
