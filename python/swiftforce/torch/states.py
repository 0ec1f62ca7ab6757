"""Saved states: the masks in them, the masks that their zeros are, and states without masks."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from swiftforce.adapters import Candidate, Patterns, Reason, choose
from swiftforce.errors import (
    LayerCollapseWarning,
    MasksLostWarning,
    StructureError,
    UnsupportedTypeError,
)
from swiftforce.torch.arguments import check_model
from swiftforce.torch.mask_hooks import SUFFIX, masked_parameters
from swiftforce.torch.parameters import prunable
from swiftforce.torch.wrappers import ENTRIES, WRAPPERS, unwrapped

#: What `torch.nn.utils.prune` adds to the name of a weight that it masks.
ORIGINAL = "_orig"


def masks(source: nn.Module | Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The masks of a model, or those that a saved state holds.

    States hold masks if an earlier version of this package saved them, or if they are of a model
    that `torch.nn.utils.prune` has masked. For others, see `masks_of_zeros`.

    Parameters
    ----------
    source : nn.Module or mapping
        A model that masks were applied to, or the ``state_dict`` of one.

    Returns
    -------
    dict of name to bool tensor
        Masks by parameter name, as new tensors of a model, or those of the state; empty if there
        are none. `apply` takes them.

    Raises
    ------
    UnsupportedTypeError
        If `source` is neither.
    StructureError
        If a mapping is not a ``state_dict`` but has one as an entry.

    Warns
    -----
    MasksLostWarning
        If a state holds no masks, but weights that are partly zero.
    """
    if not isinstance(source, Mapping):
        inner = unwrapped(check_model(source, may_be_sparse=True))
        return {name: one.mask for name, one in masked_parameters(inner).items()}
    state = _without_wrappers(_checked(source))
    found = {_weight_of(key): _as_bool(state[key]) for key in _mask_keys(state)}
    if not found and (zeros := _partly_zero(state)):
        warnings.warn(
            f"the state holds no masks, although {zeros[0]} is partly zero: to go on training what "
            "is not, apply swiftforce.torch.masks_of_zeros(state), or the file of pruning.save",
            MasksLostWarning,
            stacklevel=2,
        )
    return found


def masks_of_zeros(
    source: nn.Module | Mapping[str, Any],
    *,
    include: Patterns | None = None,
    exclude: Patterns = (),
) -> dict[str, torch.Tensor]:
    """Masks that keep all weights but those that are exactly zero.

    So a saved state of a model with masks is enough to go on training with the same masks.

    Parameters
    ----------
    source : nn.Module or mapping
        A model, or the ``state_dict`` of one.
    include : str or sequence of str, optional
        Patterns of parameter names, as in `fnmatch`: take the floating-point parameters that one
        of them matches, instead of those that are pruned by default.
    exclude : str or sequence of str
        Patterns of parameter names to leave out.

    Returns
    -------
    dict of name to bool tensor
        Masks of the parameters that have a zero, by name. `apply` takes them.

    Raises
    ------
    StructureError
        If no parameter has a zero, or nothing is chosen.
    UnknownNameError
        If a pattern matches no parameter.
    UnsupportedTypeError
        If `source` is neither a model nor a mapping.

    Warns
    -----
    LayerCollapseWarning
        If all values of a parameter are zero, which may be its initial state.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> state = {"weight": torch.tensor([[0.0, 1.0], [2.0, 0.0]]), "bias": torch.zeros(2)}
    >>> sft.masks_of_zeros(state)
    {'weight': tensor([[False,  True],
            [ True, False]])}
    """
    weights: Mapping[str, torch.Tensor]
    if not isinstance(source, Mapping):
        weights = prunable(check_model(source), include=include, exclude=exclude)
    else:
        weights = _weights(_without_wrappers(strip(source)), include, exclude)
    found = {name: (one != 0).detach() for name, one in weights.items()}
    found = {name: mask for name, mask in found.items() if not mask.all()}
    if not found:
        raise StructureError("no weight is exactly zero: these are not weights of a masked model")
    if empty := [name for name, mask in found.items() if not mask.any()]:
        warnings.warn(
            f"all values of {', '.join(empty[:3])} are zero, so their masks keep none: exclude "
            "them if they are zero only because training has not begun",
            LayerCollapseWarning,
            stacklevel=2,
        )
    return found


def strip(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state as that of a model without masks: no entries of masks, removed weights zero.

    States of models with masks are so already. This is for states that hold masks: those saved by
    an earlier version of this package, and those of models that `torch.nn.utils.prune` has masked.

    Parameters
    ----------
    state : mapping
        The ``state_dict`` of a model, wrapped or not. It is not changed.

    Returns
    -------
    dict of name to tensor
        In the order of the state, with its other entries as they are.

    Raises
    ------
    StructureError
        If a mapping is not a ``state_dict`` but has one as an entry.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> weight, mask = torch.ones(1, 2), torch.tensor([[True, False]])
    >>> sft.strip({"weight": weight, "weight_mask": mask})
    {'weight': tensor([[1., 0.]])}
    """
    keys = {_weight_of(key): key for key in _mask_keys(_checked(state))}
    plain: dict[str, Any] = OrderedDict() if isinstance(state, OrderedDict) else {}
    for key, value in state.items():
        name = key.removesuffix(ORIGINAL)
        if name in keys:
            removed = state[keys[name]] == 0
            plain[name] = value.masked_fill(removed.to(value.device), 0)
        elif key not in keys.values():
            plain[key] = value
    if hasattr(state, "_metadata"):  # The versions of its modules.
        plain._metadata = state._metadata  # type: ignore[attr-defined]
    return plain


def _checked(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuse a checkpoint that has a state as one of its entries."""
    if not isinstance(state, Mapping):
        raise UnsupportedTypeError(
            f"state must be a state_dict, not {type(state).__name__}: pass model.state_dict()"
        )
    if not any(isinstance(value, torch.Tensor) for value in state.values()):
        for key, value in state.items():
            inner = value.values() if isinstance(value, Mapping) else ()
            if any(isinstance(one, torch.Tensor) for one in inner):
                raise StructureError(f"this is no state_dict, but its entry {key!r} is: pass that")
    return state


def _without_wrappers(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state dict without the name prefixes of wrappers, and without entries of their own."""
    own = {name: value for name, value in state.items() if name not in ENTRIES}
    for prefix in WRAPPERS:
        if own and all(name.startswith(prefix) for name in own):
            return _without_wrappers({name.removeprefix(prefix): own[name] for name in own})
    return state


def _mask_keys(state: Mapping[str, Any]) -> Iterator[str]:
    """The names of the entries that are masks of other entries."""
    for key, mask in state.items():
        if not key.endswith(SUFFIX) or not isinstance(mask, torch.Tensor):
            continue
        name = _weight_of(key)
        own, original = state.get(name), state.get(name + ORIGINAL)
        is_own = isinstance(own, torch.Tensor) and mask.dtype == torch.bool
        for weight in (own if is_own else None, original):
            if isinstance(weight, torch.Tensor) and weight.shape == mask.shape:
                yield key
                break


def _weight_of(key: str) -> str:
    return key.removesuffix(SUFFIX)


def _as_bool(mask: torch.Tensor) -> torch.Tensor:
    return mask if mask.dtype == torch.bool else mask != 0


def _weights(
    state: Mapping[str, Any], include: Patterns | None, exclude: Patterns
) -> dict[str, torch.Tensor]:
    """The entries of a state that are weights, by name."""
    tensors = {name: one for name, one in state.items() if isinstance(one, torch.Tensor)}
    candidates = [
        Candidate(
            name,
            tuple(one.shape),
            None if one.is_floating_point() else Reason.NOT_FLOATING,
            floating=one.is_floating_point(),
        )
        for name, one in tensors.items()
    ]
    nothing = "the state has no weights; of floating-point numbers there are"
    decisions = choose(candidates, include, exclude, nothing=nothing)
    return {one.name: tensors[one.name] for one in decisions if one.chosen}


def _partly_zero(state: Mapping[str, Any]) -> list[str]:
    """Names of weights in a state that have zeros and other values."""
    try:
        weights = _weights(state, None, ())
    except StructureError:
        return []
    zeros = {name: int((one == 0).sum()) for name, one in weights.items() if not one.is_meta}
    return [name for name, number in zeros.items() if 0 < number < weights[name].numel()]
