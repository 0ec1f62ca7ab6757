"""What parameters are by the modules that own them: weights, or why they are none."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

from swiftforce.adapters import Candidate, NameRule, Reason
from swiftforce.torch.layer_trials import keeps_zeros, may_compute, multiplies_by
from swiftforce.torch.sharded import is_sharded

#: Modules that multiply by their parameters, and patterns of the names of these in the module.
LAYERS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.Linear, r"weight$"),
    (nn.modules.conv._ConvNd, r"weight$"),
    (nn.Bilinear, r"weight$"),
    (nn.MultiheadAttention, r"(in|q|k|v)_proj_weight$"),
    (nn.RNNBase, r"weight_"),
    (nn.RNNCellBase, r"weight_"),
)
#: Modules whose ``weight`` is a table.
TABLES = (nn.Embedding, nn.EmbeddingBag)
#: Parts of the names of wrappers in the names of parameters, which patterns may leave out.
_WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.")
#: Names of classes that choose experts, and of those that normalise.
_ROUTERS = re.compile(r"Router|MoE?Gate|TopK\w*Gat")
_NORMS = re.compile(r"Norm(?!\w*(Linear|Conv))")


def candidates_of(model: nn.Module, wrapped: nn.Module) -> list[Candidate]:
    """All parameters of a model, each once, and what is known of them.

    Parameters
    ----------
    model : nn.Module
        Without wrappers.
    wrapped : nn.Module
        The model in its wrappers, whose names of parameters patterns may use, too.
    """
    names, of_wrapped = _names(model), _names(wrapped)
    named = dict(model.named_parameters())
    shapes = {name: _shape(one) for name, one in named.items()}
    rule = NameRule({**shapes, **{each: () for one in names.values() for each in one[1:]}})
    known = _Known(model, rule)
    found = []
    for name, parameter in named.items():
        of_all = names[id(parameter)]
        spelt = {_WRAPPERS.sub("", one) for one in of_all}
        spelt.update(of_wrapped.get(id(parameter), ()))
        found.append(
            Candidate(
                name,
                shapes[name],
                known.reason(parameter),
                floating=parameter.is_floating_point(),
                trained=parameter.requires_grad,
                aliases=tuple(of_all[1:]),
                spellings=tuple(sorted(spelt - set(of_all))),
            )
        )
    return found


def _names(model: nn.Module) -> dict[int, list[str]]:
    """All names of each parameter."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return names


def _shape(parameter: nn.Parameter) -> tuple[int, ...]:
    is_lazy = isinstance(parameter, nn.parameter.UninitializedParameter)
    return () if is_lazy else tuple(parameter.shape)


class _Known:
    """What is known of the parameters of a model by the modules that own them."""

    def __init__(self, model: nn.Module, rule: NameRule) -> None:
        self._rule = rule
        self._owners: dict[int, list[tuple[nn.Module, str, str]]] = {}
        for path, module in model.named_modules():
            for own, parameter in module._parameters.items():
                if parameter is not None:
                    name = f"{path}.{own}" if path else own
                    self._owners.setdefault(id(parameter), []).append((module, own, name))

    def reason(self, parameter: nn.Parameter) -> Reason | None:
        """What a parameter is; None where its name decides."""
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            owners = self._owners[id(parameter)]
            is_weight = any(_is_of_layer(module, own) for module, own, _ in owners)
            return Reason.LAYER if is_weight else Reason.VECTOR
        if (of_type := _of_dtype(parameter)) is not None:
            return of_type
        if parameter.dim() < 2:
            return Reason.VECTOR
        reasons = list(self._of_modules(parameter))
        if Reason.TABLE in reasons:
            return Reason.TABLE if len(set(reasons)) == 1 else Reason.TIED
        # A module that cannot be told from its type may stand beside one that can.
        return next((one for one in reasons if one is not None), None)

    def _of_modules(self, parameter: nn.Parameter) -> Iterator[Reason | None]:
        for module, own, name in self._owners[id(parameter)]:
            kind = type(module).__name__
            if isinstance(module, ParametrizationList):
                yield _of_parametrizations(module, own)
            elif own == "weight" and (
                isinstance(module, TABLES) or (kind.endswith("Embedding") and parameter.dim() == 2)
            ):
                yield Reason.TABLE
            elif _ROUTERS.search(kind) or self._rule.is_router(name):
                yield Reason.ROUTER
            elif _is_of_layer(module, own):
                yield _of_layer(module, own)
            elif _NORMS.search(kind):
                yield Reason.NORM
            else:
                yield None


def _of_dtype(parameter: nn.Parameter) -> Reason | None:
    """What the dtype of a parameter says; None for one that may be pruned."""
    if parameter.is_complex():
        return Reason.COMPLEX
    if parameter.dtype != torch.bool and parameter.dtype.itemsize == 1 and parameter.dim() > 1:
        return Reason.QUANTISED
    return None if parameter.is_floating_point() else Reason.NOT_FLOATING


def _is_of_layer(module: nn.Module, own: str) -> bool:
    if any(isinstance(module, kind) and re.match(names, own) for kind, names in LAYERS):
        return True
    # The linear layer of GPT-2 in transformers, whose weight is transposed.
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf") and own == "weight"


def _of_layer(module: nn.Module, own: str) -> Reason:
    """What the weight of a layer is: a subclass may compute another from it."""
    if not may_compute(module, own):
        return Reason.LAYER
    found = multiplies_by(module, own)
    if found is None:
        # The weights of one that is sharded can be seen on all ranks only.
        parameter = module._parameters[own]
        is_hidden = parameter is not None and is_sharded(parameter)
        return Reason.LAYER if is_hidden else Reason.UNKNOWN
    return Reason.LAYER if found else Reason.COMPUTED


def _of_parametrizations(module: ParametrizationList, own: str) -> Reason | None:
    """What an original is: a weight if the computed one is zero where it is."""
    if keeps_zeros(module, own):
        return Reason.LAYER
    return Reason.SCALE if own == "original0" else Reason.COMPUTED
