"""Which parameters of a model are pruned, by name."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from swiftforce.adapters import NameRule, Patterns, Reason, as_patterns, choose, listed, matching
from swiftforce.errors import MasksLostWarning, StructureError, UnsupportedTypeError
from swiftforce.result import Prunable
from swiftforce.torch.arguments import check_model
from swiftforce.torch.candidates import candidates_of
from swiftforce.torch.wrappers import unwrapped


def prunable(
    model: nn.Module,
    *,
    include: Patterns | None = None,
    exclude: Patterns = (),
) -> Prunable[nn.Parameter]:
    """The parameters that `prune` searches, and why it leaves the others out.

    By default these are the trained parameters (``requires_grad``) of two or more dimensions that a
    matrix product or a convolution uses, wherever they are kept: in `nn.Linear` and convolutions,
    attention, recurrent layers, or as parameters of the model's own modules, such as experts. The
    type of a module decides, or else the name and the shape of the parameter.

    Biases, scales, normalisation layers, embeddings, position tables and the routers of experts are
    not among them; neither is a weight that an embedding shares, nor one from which its layer
    computes the weight that acts, so that a removed weight would not be zero there: by weight
    standardisation, for example. Choose such parameters by name with `include`.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.
    include : str or sequence of str, optional
        Patterns of parameter names, as in `fnmatch`: prune the floating-point parameters that one
        of them matches, frozen ones too, instead of those that `prunable` takes by default.
    exclude : str or sequence of str
        Patterns of parameter names to leave out.

    Returns
    -------
    Prunable
        A dict of parameters by name, in the model's order. ``print`` and notebooks show it as a
        table of all parameters: chosen and left out, and why. A parameter that several modules
        share appears once, by its first name; patterns may use the others, too.

    Raises
    ------
    UnknownNameError
        If a pattern matches no parameter.
    StructureError
        If there is nothing to prune.
    UnsupportedTypeError
        If `model` is not a `torch.nn.Module`; or if a parameter is not floating-point, has no
        values yet (a lazy module before its first batch), or has no memory (device ``meta``).

    Examples
    --------
    >>> from torch import nn
    >>> import swiftforce.torch as sft
    >>> model = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    >>> list(sft.prunable(model))
    ['0.weight', '3.weight']
    >>> print(sft.prunable(model, exclude="3.*"))
    1 of 6 arrays are prunable: 32 of 54 numbers, 80 % of the elements of matrices
              name      shape   why                         numbers
    pruned    0.weight  (4, 8)  its layer multiplies by it       32
    left out  3.weight  (2, 4)  matched by exclude                8
    left out  4 others          a vector or a number             14
    """
    return chosen_of(model, as_patterns(include), as_patterns(exclude) or ())


def chosen_of(
    model: nn.Module,
    include: Patterns | None,
    exclude: Patterns,
    observed: Mapping[str, Reason] | None = None,
) -> Prunable[nn.Parameter]:
    """The parameters to prune, some of which were observed in a forward pass."""
    wrapped = check_model(model)
    model = unwrapped(wrapped)
    _check_not_flattened(model)
    named = dict(model.named_parameters())
    observed = observed or {}
    candidates = [
        replace(one, known=observed.get(one.name, one.known))
        for one in candidates_of(model, wrapped)
    ]
    if include is not None:
        # A pattern that matches a number of another type deserves more than "matches nothing".
        every = [one.name for one in candidates]
        others = {one.name: (*one.aliases, *one.spellings) for one in candidates}
        matched = matching(every, include, "include", others=others)
        for name in every:
            if name in matched and not named[name].is_floating_point():
                raise UnsupportedTypeError(_not_floating(name, named[name]))
    try:
        decisions = choose(candidates, include, exclude, nothing="nothing to prune")
    except StructureError:
        raise _nothing_to_prune(model, named, include) from None
    found = Prunable(named, decisions)
    for name, parameter in found.items():
        _check_has_values(name, parameter)
    return found


def computed_names(model: nn.Module) -> list[str]:
    """The parameters from which layers compute the weights that they multiply by."""
    candidates = candidates_of(model, model)
    rule = NameRule({one.name: one.shape for one in candidates})
    reasons = {one.name: one.known or rule.reason(one.name) for one in candidates}
    return [name for name, reason in reasons.items() if reason is Reason.COMPUTED]


def warn_about_computed(parameters: Prunable[nn.Parameter], *, stacklevel: int) -> None:
    """Warn of parameters that are searched where removed weights do not act as zeros."""
    searched = [one for one in parameters.decisions if one.chosen]
    found = [one.name for one in searched if one.found is Reason.COMPUTED]
    _warn_about_computed(found, "include", stacklevel=stacklevel + 1)


def warn_about_masks_of_computed(
    model: nn.Module, masks: Mapping[str, torch.Tensor], *, stacklevel: int
) -> None:
    """Warn of masks that remove weights where these do not act as zeros."""
    computed = {id(model.get_parameter(name)) for name in computed_names(model)}
    found = [name for name in masks if id(model.get_parameter(name)) in computed]
    removing = [name for name in found if not bool(masks[name].all())]
    _warn_about_computed(removing, "the masks", stacklevel=stacklevel + 1)


def _warn_about_computed(names: Sequence[str], chosen_by: str, *, stacklevel: int) -> None:
    if names:
        warnings.warn(
            f"{listed(names)}: the layer computes its weight from this parameter, so removed "
            "weights are zero in the parameter, but not in what the layer multiplies by: leave it "
            f"out of {chosen_by} to prune what stays sparse",
            MasksLostWarning,
            stacklevel=stacklevel + 1,
        )


def _nothing_to_prune(
    model: nn.Module, named: Mapping[str, nn.Parameter], include: Patterns | None
) -> Exception:
    """The error for a model that has no prunable weight."""
    for name, parameter in named.items():
        if parameter.is_complex():
            return UnsupportedTypeError(_not_floating(name, parameter))
    kind = type(model).__name__
    floating = [name for name, one in named.items() if one.is_floating_point()]
    if include is None and named and not any(one.requires_grad for one in named.values()):
        return StructureError(
            f"{kind} has no weight to prune: no parameter is trained (requires_grad is False); "
            "call requires_grad_(True) before, or choose frozen parameters with include"
        )
    return StructureError(
        f"{kind} has no weight to prune: no trained matrix of a product or a "
        f"convolution is left; choose others with include, of: {listed(floating) or 'none'}"
    )


def _not_floating(name: str, parameter: nn.Parameter) -> str:
    """The message for a parameter that is not floating-point."""
    if parameter.is_complex():
        return (
            f"{name} has dtype {parameter.dtype}, and complex weights cannot be pruned: exclude "
            "it, or keep its real and imaginary parts in two real parameters"
        )
    return f"{name} has dtype {parameter.dtype}, which is not floating-point: exclude it"


def _check_not_flattened(model: nn.Module) -> None:
    """Refuse a model whose parameters FullyShardedDataParallel has flattened."""
    # Code that wraps a model in it has imported the module.
    fsdp = sys.modules.get("torch.distributed.fsdp")
    if fsdp is None:
        return
    if any(isinstance(module, fsdp.FullyShardedDataParallel) for module in model.modules()):
        raise UnsupportedTypeError(
            "FullyShardedDataParallel flattens parameters, so they have no masks of their own: use "
            "torch.distributed.fsdp.fully_shard, or prune the model before it is wrapped"
        )


def _check_has_values(name: str, parameter: nn.Parameter) -> None:
    """Refuse a parameter whose values cannot be read."""
    if isinstance(parameter, nn.parameter.UninitializedParameter):
        raise UnsupportedTypeError(
            f"{name} has no values yet: run one batch through the model before pruning it"
        )
    if parameter.is_meta:
        raise UnsupportedTypeError(
            f"{name} is on the device meta and has no values: move the model with "
            "to_empty(device=...) and initialise it"
        )
