"""Masks applied to a model: removed weights are zero and stay zero, whatever optimizer trains it.

Three things keep them zero. The gradients of removed weights are cleared as they are computed, so
that momentum, second moments and the norm for gradient clipping do not include them. The state of
the optimizer is cleared once. And after each step of the optimizer removed weights are set to zero,
for optimizers that move a weight whose gradient was always zero. Zeros are assigned, not products
with a mask: a removed weight leaves no NaN behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune
from torch.optim import Optimizer

from swiftforce.errors import LayoutError, ShapeError, StructureError, UnsupportedTypeError
from swiftforce.result import Pruning, masks_of
from swiftforce.torch.all_or_nothing import all_or_nothing
from swiftforce.torch.arguments import check_model
from swiftforce.torch.mask_hooks import (
    MaskHooks,
    clean_loads,
    forget_history,
    mask_hooks_of,
    masked_parameters,
    put,
    state_of,
    take,
)
from swiftforce.torch.masked_parameter import MaskedParameter
from swiftforce.torch.optimizers import copies, followed
from swiftforce.torch.parameters import warn_about_masks_of_computed
from swiftforce.torch.sharded import is_sharded, sharded_as
from swiftforce.torch.wrappers import unwrapped

Model = TypeVar("Model", bound=nn.Module)


def apply(
    model: Model,
    masks: Pruning[Any] | Mapping[str, Any],
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
) -> Model:
    """Remove weights from a model, and keep them exactly zero while it is trained.

    The training loop does not change, and neither do the model's parameters, buffers and
    ``state_dict``: a saved state is that of a plain model some of whose weights are zero. Save the
    masks beside it (`ModelPruning.save`) to resume, or take them from its zeros
    (`masks_of_zeros`). Copies of the model (`copy.deepcopy`, `torch.save` of the whole model) keep
    their removed weights zero, too. New masks replace the masks before; weights that those removed
    are zero at first.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.
    masks : Pruning, or mapping of name to bool tensor or array
        The result of `prune`, or masks by parameter name: True where a weight is kept, in the shape
        of the parameter.
    optimizer : torch.optim.Optimizer or iterable of them, optional
        The optimizers that train these weights: their state is cleared where weights are removed,
        and removed weights are set to zero after each of their steps. Those inside wrappers are
        found. It can be left out if gradients come from ``backward`` and the optimizer has no state
        yet and does not move a weight whose gradient is always zero: SGD, Adam, AdamW and all
        others that treat each weight separately, with momentum and weight decay.

    Returns
    -------
    nn.Module
        The same model, changed in place.

    Raises
    ------
    StructureError
        If the model has no parameter of a mask's name, two names of one parameter have different
        masks, or an optimizer trains none of the parameters with masks.
    ShapeError
        If a mask has another shape than its parameter.
    UnsupportedTypeError
        If a mask is not of bools, its parameter is not floating-point or was made in inference
        mode, `model` or `optimizer` has the wrong type, such as a class, or the optimizer cannot be
        followed.
    LayoutError
        If elements of a parameter share memory.

    Warns
    -----
    MasksLostWarning
        If a mask removes elements of a parameter from which its layer computes the weight that it
        multiplies by, and these are not zero in that weight.

    Notes
    -----
    After an error, nothing has changed; for that, all that is set to zero is copied to the host
    until this returns. A model may be compiled or wrapped before or after this call; shard it
    before.

    Parameters that are replaced later (by conversions of the model, by assignment) keep their
    masks, and a `MasksLostWarning` says so if one cannot. A state that is loaded is cleared where
    weights are removed, with a `RemovedWeightsWarning` if it was not zero there.

    Optimizers that train copies of the weights, in float32 for example, are recognised if the
    copies have the weights' shapes and values; the copies are masked as well.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> model = torch.nn.Linear(4, 2)
    >>> optimizer = torch.optim.AdamW(model.parameters())
    >>> model = sft.apply(model, {"weight": torch.arange(8).view(2, 4) % 2 == 0}, optimizer)
    >>> model(torch.randn(3, 4)).sum().backward()
    >>> optimizer.step()
    >>> int((model.weight == 0).sum())
    4
    """
    inner = unwrapped(check_model(model))
    with torch.inference_mode(False):
        checked = checked_masks(inner, masks_of(masks))
        weights = {name: inner.get_parameter(name) for name in checked}
        check_can_be_masked(weights, checked)
        warn_about_masks_of_computed(inner, checked, stacklevel=2)
        install(inner, checked, optimizer)
    return model


def check_can_be_masked(
    weights: Mapping[str, nn.Parameter], masks: Mapping[str, torch.Tensor]
) -> None:
    """Refuse parameters that hooks or zeros cannot be written to."""
    first: dict[int, str] = {}
    for name, weight in weights.items():
        if not (weight.is_floating_point() or weight.is_complex()):
            raise UnsupportedTypeError(
                f"{name} has dtype {weight.dtype}, which is not floating-point: leave its mask out"
            )
        if weight.is_inference():
            raise UnsupportedTypeError(
                f"{name} was made in torch.inference_mode, so it cannot be trained: make the model "
                "outside of it, or copy the model with copy.deepcopy"
            )
        shares = not is_sharded(weight) and any(
            stride == 0 and size > 1
            for stride, size in zip(weight.stride(), weight.shape, strict=True)
        )
        if shares:
            raise LayoutError(
                f"elements of {name} share memory (strides {weight.stride()}): replace the "
                "parameter by its .contiguous() copy"
            )
        other = first.setdefault(id(weight), name)
        if other != name and not torch.equal(masks[other], masks[name]):
            raise StructureError(
                f"{other} and {name} are one parameter, but have different masks: leave one out"
            )


def install(
    model: nn.Module,
    masks: Mapping[str, torch.Tensor],
    optimizer: Optimizer | Iterable[Optimizer] | None,
    *,
    freezes: bool = False,
) -> None:
    """Put hooks on a model and its optimizers in place of those before, and clear what they hold.

    With `freezes`, the weights that masks leave out keep their values and are not trained.
    """
    weights = {name: model.get_parameter(name) for name in masks}
    given = optimizer if isinstance(optimizer, Iterable) else (optimizer,)
    chains = [followed(one) for one in given] if optimizer is not None else []
    # The optimizers, and the tensors that they train in place of weights.
    trained = [(chain, copies(chain, weights, model)) for chain in chains]
    before = [hooks for module in model.modules() if (hooks := mask_hooks_of(module))]
    by_module: dict[nn.Module, list[MaskedParameter]] = {}
    for name, mask in masks.items():
        path, _, own = name.rpartition(".")
        module = model.get_submodule(path)
        masked = MaskedParameter(module._parameters, own, name, ~mask, freezes=freezes)
        by_module.setdefault(module, []).append(masked)
    pairs = [(one, copied) for chain, copied in trained for one in chain]
    with all_or_nothing(model, [one for one, _ in pairs]) as keep:
        for module, parameters in by_module.items():
            hooks = MaskHooks(parameters)
            put(hooks, module)
            for one, copied in pairs:
                hooks.add_to(one, copied)
        for parameters in by_module.values():
            for masked in parameters:
                _clear(masked, pairs, keep)
        for one, _ in pairs:
            forget_history(one)
        torch.clear_autocast_cache()  # It holds casts of the weights before.
        for old in before:
            old.remove()
        for module in model.modules():
            if module not in by_module:
                take(module)
        if masks:
            clean_loads(model)


def _clear(
    masked: MaskedParameter,
    pairs: Iterable[tuple[Optimizer, Mapping[str, torch.Tensor]]],
    keep: Callable[[torch.Tensor], None],
) -> None:
    """Clear a parameter and all that belongs to it, and hook its gradient."""
    weight = masked.parameter
    assert weight is not None
    tensors = [weight, *(copied[masked.label] for _, copied in pairs if masked.label in copied)]
    states = [one for optimizer, _ in pairs for one in state_of(optimizer, tensors)]
    gradients = [one.grad for one in tensors if one.grad is not None]
    for tensor in (*(() if masked.freezes else tensors), *states, *gradients):
        keep(tensor)
    masked.attach(weight)
    for tensor in tensors[1:]:
        masked.clear_weights(tensor)
    for tensor in states:
        masked.clear(tensor)
    for tensor in tensors[1:]:
        masked.clear_gradient(tensor)


def checked_masks(model: nn.Module, masks: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Masks as new bool tensors, on the devices and in the memory format of their parameters.

    Raises
    ------
    StructureError, ShapeError, UnsupportedTypeError
        If a mask fits no parameter, or is not of bools.
    """
    if not isinstance(masks, Mapping):
        raise StructureError(
            "masks must be a Pruning, or a mapping of names of parameters to masks, "
            f"not {type(masks).__name__}"
        )
    named = dict(model.named_parameters(remove_duplicate=False))
    if unknown := [name for name in masks if name not in named]:
        raise StructureError(
            f"{type(model).__name__} has no parameter {', '.join(map(repr, unknown[:3]))}; it has, "
            f"for example, {', '.join(map(repr, list(named)[:3]))}"
        )
    checked = {}
    for name, mask in masks.items():
        if isinstance(named[name], nn.parameter.UninitializedParameter):
            raise UnsupportedTypeError(
                f"{name} has no values yet: run one batch through the model first"
            )
        tensor = mask if isinstance(mask, torch.Tensor) else torch.from_numpy(np.array(mask))
        if tensor.dtype != torch.bool:
            raise UnsupportedTypeError(f"masks[{name!r}] has dtype {tensor.dtype}, not bool")
        if tensor.shape != named[name].shape:
            raise ShapeError(
                f"masks[{name!r}] has shape {tuple(tensor.shape)} where the parameter has "
                f"{tuple(named[name].shape)}"
            )
        # A copy, in the memory format of the parameter; it needs memory also where that has none.
        like = torch.empty_like(named[name], dtype=torch.bool, requires_grad=False)
        checked[name] = torch.empty_like(like, device="cpu") if like.is_meta else like
        checked[name].copy_(sharded_as(tensor, named[name]))
    return checked


def remove(model: nn.Module) -> None:
    """Take the masks off a model: removed weights are zero, but training may change them again.

    So it may change the weights that `finetune` froze. The model is changed in place.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.

    Raises
    ------
    UnsupportedTypeError
        If `model` is not a `torch.nn.Module`.
    """
    for module in unwrapped(check_model(model)).modules():
        take(module)


def to_torch_prune(model: nn.Module) -> None:
    """Convert the masks to those of `torch.nn.utils.prune`, by its ``custom_from_mask``.

    The model is changed in place. Afterwards a parameter ``weight`` is called ``weight_orig``, and
    each forward pass computes ``weight`` from it and the buffer ``weight_mask``. Removed weights
    are zero in each pass, but an optimizer may change them in ``weight_orig``.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.

    Raises
    ------
    StructureError
        If the masks are those of `finetune`, which remove nothing.
    UnsupportedTypeError
        If `model` is not a `torch.nn.Module`.
    """
    model = unwrapped(check_model(model))
    if any(
        one.freezes
        for hooks in map(mask_hooks_of, model.modules())
        if hooks
        for one in hooks.parameters
    ):
        raise StructureError("the masks of finetune freeze weights: call remove(model) first")
    masks = {id(one.parameter): one.mask for one in masked_parameters(model).values()}
    remove(model)
    found = [
        (module, name, masks[id(parameter)])
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if id(parameter) in masks
    ]
    for module, name, mask in found:
        torch_prune.custom_from_mask(module, name, mask)
