"""Smaller dense models: units that no kept weight reaches, or that nothing reads, are removed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.optim import Optimizer

from swiftforce.errors import LayerCollapseWarning, StructureError, UnsupportedTypeError
from swiftforce.torch.arguments import check_model
from swiftforce.torch.compaction.channels import Facts
from swiftforce.torch.compaction.counts import Counts
from swiftforce.torch.compaction.optimizers import check_trains, moved, release
from swiftforce.torch.compaction.plan import planned, returns_constants
from swiftforce.torch.compaction.removed import Compaction
from swiftforce.torch.compaction.rewriting import Rewriting, sliced
from swiftforce.torch.compaction.traced_graph import traced
from swiftforce.torch.example_inputs import arguments_of
from swiftforce.torch.mask_hooks import masked_parameters
from swiftforce.torch.optimizers import followed
from swiftforce.torch.parameters import prunable
from swiftforce.torch.sparse import apply
from swiftforce.torch.wrappers import unwrapped


def compact(
    model: nn.Module,
    example_input: Any,  # noqa: ANN401 - whatever the model takes
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    *,
    inference: bool = False,
) -> fx.GraphModule:
    """A smaller dense model that computes what a masked model does.

    Units (output channels and features) that no kept weight reaches, or that nothing reads, are
    removed, with all that depends on them: through batch norm, activations, pooling, sums of
    residuals, concatenation, flattening, grouped and depthwise convolutions. The outputs are those
    of the masked model to rounding, in train mode and in eval mode, on any device, and training
    goes on as it would have: weights that stay have their masks, and the same gradients.

    How much is removed depends on where a mask keeps its weights, and so on the method: see the
    guide.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.
    example_input : tensor, sequence, mapping, or shape
        What the model takes: a tensor, a sequence of arguments, a mapping of keyword arguments, or
        a sequence of integers, which is the shape of a tensor.
    optimizer : torch.optim.Optimizer or iterable of them, optional
        The optimizers of the model: they train the result from now on, with what is left of their
        state.
    inference : bool
        Whether training is over. Then what constants add is taken over by what follows, also of
        those that training would change. The outputs are those of eval mode alone, and the result
        has no masks.

    Returns
    -------
    torch.fx.GraphModule
        The compact model, in the mode of `model` and on its device, with no parameter of it. Names
        of modules are kept, so a ``state_dict`` has the names of the model's, less what was removed
        as a whole. ``compaction`` is a `Compaction`: what was removed, and what could not be.

    Raises
    ------
    UnsupportedTypeError
        If `torch.fx` cannot trace the model, which must have no control flow by values, a module
        has hooks of the caller's, a parameter is sharded or has no values, or state of an optimizer
        cannot be made smaller.
    StructureError
        If the model does not take the example or holds its kept weights alone (`sparsify`), an
        optimizer trains none of its parameters, or the result does not compute what the model does.

    Warns
    -----
    LayerCollapseWarning
        If no path of kept weights leads from the input to the output: what is left returns
        constants.

    Notes
    -----
    The model is left unchanged. A batch of two is enough as an example. The result is not compiled
    and has no wrapper: compile and wrap it again. Of a model without masks, zeros of `prunable`
    weights count as removed; to train on, call `apply` with its `masks_of_zeros` before, which
    keeps them zero.

    A unit that no kept weight reaches is a constant. If it has a bias, or a batch norm after it,
    training may change the constant, so the unit is removed only if that is zero or negative and a
    ReLU alone reads it, which has no gradient there. (An optimizer that steps over zero by weight
    decay alone, as Adam may, could revive a negative one.) Others are left alone, which the report
    counts; `inference` removes them as well.

    Operations that are not known keep all channels that they read, and the report names them:
    layer norm and attention, for example, and subclasses of layers. Where different channels are
    left of the terms of a sum, zeros are inserted. Dropout draws other random numbers than in a
    larger model, and an optimizer whose step depends on a whole tensor (LARS, LAMB) takes other
    steps. Gradients that are there are not copied. Of the model, only what its forward pass uses is
    in the result: no methods and no other attributes.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(6, 4, bias=False), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    >>> mask = torch.ones(4, 6, dtype=torch.bool)
    >>> mask[1:3] = False
    >>> small = sft.compact(sft.apply(model, {"0.weight": mask}), (2, 6))
    >>> tuple(small.state_dict()["0.weight"].shape), tuple(small.state_dict()["2.weight"].shape)
    ((2, 6), (2, 2))
    >>> print(small.compaction)
    2 times fewer multiply-adds; 136 bytes -> 72
    layer  units  left  parameters  left  multiply-adds  left
    0          4     2          24    12             24    12
    2          2     2          10     6              8     4
    all        6     4          34    18             32    16
    """
    inner = unwrapped(check_model(model))
    given = optimizer if isinstance(optimizer, Iterable) else (optimizer,)
    chains = [followed(each) for each in given] if optimizer is not None else []
    optimizers = [one for chain in chains for one in chain]
    if inference and optimizers:
        raise StructureError(
            "inference=True is for models that are not trained: leave optimizer out"
        )
    names = dict(inner.named_parameters(remove_duplicate=False))
    check_trains(chains, names.values())
    by_parameter = {id(one.parameter): one.mask for one in masked_parameters(inner).values()}
    masks = {name: by_parameter[id(one)] for name, one in names.items() if id(one) in by_parameter}
    args, named = arguments_of(example_input, inner)
    graph, output = traced(inner, args, named, inference=inference)
    weights = () if masks else _prunable(inner)
    plan = planned(Facts(graph, names, masks, weights, optimizers, inference=inference))
    is_cut = returns_constants(Facts(graph, names, masks, weights, (), inference=True))
    counts = Counts(inner, plan)
    rewriting = Rewriting(graph, plan)
    slices = rewriting.slices()
    small = rewriting.model()
    _check_computes(small, args, named, output)
    _set_report(small, counts.report(small))
    new = dict(small.named_parameters(remove_duplicate=False))
    left = {
        name: sliced(mask, slices[name]) if name in slices else mask
        for name, mask in masks.items()
        if name in new and not inference
    }
    with moved(optimizers, names, new, slices):
        masked = {id(new[name]) for name in left}
        own = [one for one in optimizers if masked & _trained_by(one)]
        apply(small, left, own or None)
        release(inner, optimizers)
    if is_cut:
        warnings.warn(
            "no path of kept weights leads from the input to the output: the compact model returns "
            "constants, its biases",
            LayerCollapseWarning,
            stacklevel=2,
        )
    return small.eval() if inference else small


def _trained_by(optimizer: Optimizer) -> set[int]:
    return {id(one) for group in optimizer.param_groups for one in group["params"]}


def _prunable(model: nn.Module) -> list[str]:
    try:
        chosen = prunable(model)
    except (StructureError, UnsupportedTypeError):
        return []
    found = {id(one) for one in chosen.values()}
    every = model.named_parameters(remove_duplicate=False)
    return [name for name, one in every if id(one) in found]


def _check_computes(
    small: fx.GraphModule,
    args: Sequence[Any],
    named: Mapping[str, Any],
    expected: Any,  # noqa: ANN401
) -> None:
    """Compare the outputs of eval mode with those of the model.

    Raises
    ------
    StructureError
        If they differ by more than rounding.
    """
    modes = {module: module.training for module in small.modules()}
    try:
        for module in modes:
            module.training = False
        with torch.no_grad():
            found = small(*args, **named)
    finally:
        for module, mode in modes.items():
            module.training = mode
    pairs = zip(_tensors(found), _tensors(expected), strict=True)
    for mine, other in pairs:
        if not other.is_floating_point():
            continue
        tolerance = float(torch.finfo(other.dtype).eps) ** 0.5
        scale = float(other.abs().nan_to_num(0, 0, 0).max()) if other.numel() else 0.0
        if not torch.allclose(mine, other, tolerance, tolerance * scale, equal_nan=True):
            raise StructureError(
                "the compact model does not compute what the model does for this example: the "
                "model draws random numbers in eval mode, or writes to a tensor through a view; "
                "compact the part of it that does not"
            )


def _tensors(value: Any) -> list[torch.Tensor]:  # noqa: ANN401
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [one for part in value.values() for one in _tensors(part)]
    if isinstance(value, (list, tuple)):
        return [one for part in value for one in _tensors(part)]
    return []


def _set_report(small: fx.GraphModule, report: Compaction) -> None:
    """Make the report an attribute, which copies of the model keep."""
    small.compaction = report  # type: ignore[assignment]
    small.meta["_user_preserved_attributes"] = {"compaction": report}
