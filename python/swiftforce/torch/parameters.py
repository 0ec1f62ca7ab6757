"""Which parameters of a model are pruned, and what they are called."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from torch import nn

from swiftforce.adapters import Patterns, matching
from swiftforce.errors import StructureError, UnsupportedTypeError

#: The weights of these modules are pruned, by the names they have there: matrices and kernels, of
#: any rank. `nn.MultiheadAttention` holds its projections as parameters of its own.
WEIGHTS: tuple[tuple[type[nn.Module], tuple[str, ...]], ...] = (
    (nn.Linear, ("weight",)),
    (nn.modules.conv._ConvNd, ("weight",)),
    (
        nn.MultiheadAttention,
        ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"),
    ),
)
#: A parameter that is the weight of one of these, too, is left out: rows of a table are looked up.
TABLES = (nn.Embedding, nn.EmbeddingBag)


#: What DistributedDataParallel and torch.compile put before the names of a model.
WRAPPERS = ("module.", "_orig_mod.")


def unwrapped(model: nn.Module) -> nn.Module:
    """The model that the caller wrote: without the wrappers of DDP and of torch.compile."""
    while True:
        if isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def parallel_of(model: nn.Module) -> nn.parallel.DistributedDataParallel | None:
    """The DistributedDataParallel around a model, which may be compiled; None if there is none."""
    inner = getattr(model, "_orig_mod", model)
    return inner if isinstance(inner, nn.parallel.DistributedDataParallel) else None


def prunable(
    model: nn.Module,
    *,
    include: Patterns | None = None,
    exclude: Patterns = (),
) -> dict[str, nn.Parameter]:
    """The parameters that `prune` searches.

    By default the weights of `nn.Linear`, of convolutions and transposed convolutions of any rank,
    and the projections of `nn.MultiheadAttention`, where they are trained
    (``requires_grad``). Not biases, normalisation layers, recurrent layers or embeddings, nor a
    weight that an embedding shares, nor one that is computed of other parameters (as by
    `torch.nn.utils.parametrizations` and `torch.nn.utils.prune`): `include` them by their names.

    Parameters
    ----------
    model : nn.Module
        May be wrapped by DistributedDataParallel or compiled; names are those of the model inside.
    include : str or sequence of str, optional
        Take instead the floating-point parameters whose names one of these patterns matches, as in
        `fnmatch`, frozen ones too.
    exclude : str or sequence of str
        Patterns of those to leave out.

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
        If nothing is left to prune.
    UnsupportedTypeError
        If a parameter has no values yet (a lazy module before its first batch), or no memory (of
        the device ``meta``).

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
    model = unwrapped(model)
    _check_not_flat(model)
    named = dict(model.named_parameters())
    if include is None:
        wanted = _default(model)
        chosen = {name: one for name, one in named.items() if id(one) in wanted}
    else:
        matched = matching(tuple(named), include, "include")
        chosen = {name: one for name, one in named.items() if name in matched}
        for name, parameter in chosen.items():
            if not parameter.is_floating_point():
                raise UnsupportedTypeError(f"{name} has dtype {parameter.dtype}: not a float")
    left_out = matching(tuple(named), exclude, "exclude")
    chosen = {name: one for name, one in chosen.items() if name not in left_out}
    if not chosen:
        raise StructureError(
            f"{type(model).__name__} has no weight to prune: no trained weight of a linear layer "
            "or a convolution is left; name others with include"
        )
    for name, parameter in chosen.items():
        _check_there(name, parameter)
    return chosen


def _check_not_flat(model: nn.Module) -> None:
    """Refuse what FullyShardedDataParallel has flattened."""
    # Who has such a module has imported it.
    fsdp = sys.modules.get("torch.distributed.fsdp")
    if fsdp is None:
        return
    if any(isinstance(module, fsdp.FullyShardedDataParallel) for module in model.modules()):
        raise UnsupportedTypeError(
            "FullyShardedDataParallel flattens parameters, whose masks nobody could read: use "
            "torch.distributed.fsdp.fully_shard, or prune the model before it is wrapped"
        )


def _default(model: nn.Module) -> set[int]:
    """Identities of the parameters that are pruned where the caller names none."""
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


def _check_there(name: str, parameter: nn.Parameter) -> None:
    if isinstance(parameter, nn.parameter.UninitializedParameter):
        raise UnsupportedTypeError(
            f"{name} has no values yet: run one batch through the model before pruning it"
        )
    if parameter.is_meta:
        raise UnsupportedTypeError(f"{name} is on the device meta, where nothing has values")
