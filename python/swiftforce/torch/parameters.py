"""Which parameters of a model are pruned, by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from torch import nn

from swiftforce.adapters import Patterns, listed, matching
from swiftforce.errors import StructureError, UnsupportedTypeError
from swiftforce.torch.arguments import check_model
from swiftforce.torch.wrappers import unwrapped

#: The modules whose weights are pruned, and the names of these weights in the module.
WEIGHTS: tuple[tuple[type[nn.Module], tuple[str, ...]], ...] = (
    (nn.Linear, ("weight",)),
    (nn.modules.conv._ConvNd, ("weight",)),
    (
        nn.MultiheadAttention,
        ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"),
    ),
)
#: A parameter that is also the weight of one of these is not pruned.
TABLES = (nn.Embedding, nn.EmbeddingBag)


def prunable(
    model: nn.Module,
    *,
    include: Patterns | None = None,
    exclude: Patterns = (),
) -> dict[str, nn.Parameter]:
    """The parameters that `prune` searches.

    By default these are the weights of `nn.Linear`, of convolutions and transposed convolutions of
    any number of dimensions, and the projections of `nn.MultiheadAttention`, if they are trained
    (``requires_grad``). Biases, normalisation layers, recurrent layers and embeddings are not among
    them; neither is a weight that an embedding shares, or one that is computed from other
    parameters (as by `torch.nn.utils.parametrizations` and `torch.nn.utils.prune`). Choose such
    parameters by name with `include`.

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
    dict of name to nn.Parameter
        In the model's order. A parameter that several modules share appears once, by its first
        name.

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
    >>> list(sft.prunable(model, exclude="3.*"))
    ['0.weight']
    """
    model = unwrapped(check_model(model))
    _check_not_flattened(model)
    named = dict(model.named_parameters())
    if include is None:
        wanted = _default(model)
        chosen = {name: one for name, one in named.items() if id(one) in wanted}
    else:
        matched = matching(tuple(named), include, "include")
        chosen = {name: one for name, one in named.items() if name in matched}
        for name, parameter in chosen.items():
            if not parameter.is_floating_point():
                raise UnsupportedTypeError(_not_floating(name, parameter))
    left_out = matching(tuple(named), exclude, "exclude")
    chosen = {name: one for name, one in chosen.items() if name not in left_out}
    if not chosen:
        raise _nothing_to_prune(model, named)
    for name, parameter in chosen.items():
        _check_has_values(name, parameter)
    return chosen


def _nothing_to_prune(model: nn.Module, named: Mapping[str, nn.Parameter]) -> Exception:
    """The error for a model that has no prunable weight."""
    for name, parameter in named.items():
        if parameter.is_complex():
            return UnsupportedTypeError(_not_floating(name, parameter))
    floating = [name for name, one in named.items() if one.is_floating_point()]
    return StructureError(
        f"{type(model).__name__} has no weight to prune: no trained weight of a linear layer or a "
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


def _default(model: nn.Module) -> set[int]:
    """Identities of the parameters that are pruned by default."""
    modules = tuple(model.modules())
    tables = {id(module.weight) for module in modules if isinstance(module, TABLES)}
    weights = {
        id(parameter)
        for module in modules
        for parameter in _weights(module)
        if parameter.requires_grad and parameter.is_floating_point()
    }
    return weights - tables


def _weights(module: nn.Module) -> Iterator[nn.Parameter]:
    own = dict(module.named_parameters(recurse=False))
    for kind, names in WEIGHTS:
        if isinstance(module, kind):
            yield from (own[name] for name in names if name in own)


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
