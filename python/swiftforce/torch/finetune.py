"""Sparse fine-tuning: of a model's weights, masks choose those that are trained.

The others keep their values. A masked parameter whose weights are frozen instead of removed does
it: `masked_parameter` and `mask_hooks` have both kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer

from swiftforce.errors import StructureError, UnknownNameError
from swiftforce.result import Pruning, masks_of
from swiftforce.torch.arguments import check_model
from swiftforce.torch.masked_parameter import holds_weights
from swiftforce.torch.sharded import is_sharded
from swiftforce.torch.sparse import check_can_be_masked, checked_masks, install
from swiftforce.torch.wrappers import unwrapped

Model = TypeVar("Model", bound=nn.Module)


def finetune(
    model: Model,
    masks: Pruning[Any] | Mapping[str, Any],
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    *,
    others: Literal["frozen", "trained"] = "frozen",
) -> Model:
    """Train the weights that masks keep, and freeze all others at the values that they have.

    The training loop does not change, and neither do the model's parameters, buffers and
    ``state_dict``. Gradients of frozen weights are zero as they are made, so momentum and the norm
    for gradient clipping do not include them. Whatever an optimizer does to frozen weights, weight
    decay for example, is undone after its step, to the bit. `save_delta` saves the trained weights
    alone, and `remove` ends it. Masks that the model had before, of `apply` or `finetune`, are
    replaced; removed weights are then frozen at zero, unless the new masks train them.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.
    masks : Pruning, or mapping of name to bool tensor or array
        The result of `prune`, or masks by parameter name: True where a weight is trained, in the
        shape of the parameter.
    optimizer : torch.optim.Optimizer or iterable of them, optional
        The optimizers that train these weights: their state is cleared where weights are frozen.
        It can be left out if they have no state yet and train the parameters themselves, not copies
        of them.
    others : {"frozen", "trained"}
        What happens to trained parameters (``requires_grad``) without a mask, such as biases,
        normalisation layers and heads: all of their weights are frozen, or trained. For some of
        each, give masks of one value. Buffers, such as running statistics, are not concerned.

    Returns
    -------
    nn.Module
        The same model, changed in place.

    Raises
    ------
    StructureError
        If the model has no parameter of a mask's name, two names of one parameter have different
        masks, no weight would be trained, or an optimizer trains none of the parameters.
    ShapeError
        If a mask has another shape than its parameter.
    UnsupportedTypeError
        If a mask is not of bools, its parameter is not floating-point, has no values yet, or was
        made in inference mode, `model` or `optimizer` has the wrong type, such as a class, or the
        optimizer cannot be followed.
    UnknownNameError
        If `others` is something else.
    LayoutError
        If elements of a parameter share memory.

    Notes
    -----
    After an error, nothing has changed. Frozen weights are those of the model: if you load a state
    or assign a parameter later, its values are the ones that stay. During a step of an optimizer,
    parameters that are partly frozen are in memory twice; masks take a byte per weight.

    References
    ----------
    Sung, Nair and Raffel, "Training Neural Networks with Fixed Sparse Masks", NeurIPS 2021.
    Ansell et al., "Composable Sparse Fine-Tuning for Cross-Lingual Transfer", ACL 2022.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> model = torch.nn.Linear(4, 2)
    >>> optimizer = torch.optim.AdamW(model.parameters())
    >>> model = sft.finetune(model, {"weight": torch.arange(8).view(2, 4) % 4 == 0}, optimizer)
    >>> before = model.weight.clone()
    >>> model(torch.randn(3, 4)).sum().backward()
    >>> optimizer.step()
    >>> model.weight != before
    tensor([[ True, False, False, False],
            [ True, False, False, False]])
    """
    if others not in ("frozen", "trained"):
        raise UnknownNameError(f'others must be "frozen" or "trained", not {others!r}')
    inner = unwrapped(check_model(model))
    with torch.inference_mode(False):
        checked = checked_masks(inner, masks_of(masks))
        if others == "frozen":
            checked |= checked_masks(inner, _of_others(inner, checked))
        weights = {name: inner.get_parameter(name) for name in checked}
        check_can_be_masked(weights, checked)
        if not _trains_something(inner, checked):
            raise StructureError("no weight would be trained: the masks keep none")
        install(inner, checked, optimizer, freezes=True)
    return model


def _of_others(model: nn.Module, masks: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Masks that freeze the trained parameters which have none."""
    known = {id(model.get_parameter(name)) for name in masks}
    found = {}
    for name, one in model.named_parameters():
        if id(one) not in known and one.requires_grad and holds_weights(one):
            has_shape = not isinstance(one, nn.parameter.UninitializedParameter)
            found[name] = torch.zeros(one.shape if has_shape else (), dtype=torch.bool)
    return found


def _trains_something(model: nn.Module, masks: Mapping[str, torch.Tensor]) -> bool:
    """Whether a weight of a trained parameter is trained."""
    known = {id(model.get_parameter(name)): mask for name, mask in masks.items()}
    return any(
        id(one) not in known or is_sharded(known[id(one)]) or bool(known[id(one)].any())
        for one in model.parameters()
        if one.requires_grad
    )
