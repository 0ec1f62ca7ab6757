"""Scores that the caller computes with the masked model, in the order of the parameters.

Which weights they keep does not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import nn

from swiftforce.adapters import listed
from swiftforce.errors import (
    MissingGradientsError,
    ShapeError,
    StructureError,
    UnsupportedTypeError,
)
from swiftforce.torch.ranks import Ranks
from swiftforce.torch.step_scoring import Scoring
from swiftforce.torch.wrappers import unwrapped

#: ``scores(model)``: from the masked model to scores by the names of parameters.
Scores = Callable[[nn.Module], Mapping[str, torch.Tensor]]


class GivenScores(Scoring):
    """Scores by the caller's function, averaged over the ranks that have copies of the model.

    Parameters
    ----------
    model : nn.Module
        The model, whose weights are masked in place.
    parameters : mapping of name to nn.Parameter
        Those that are searched. Scores of others are left out.
    scores : callable
        The caller's function. It may leave gradients in the model, which has none when it is
        called.
    ranks : Ranks, optional
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Mapping[str, nn.Parameter],
        scores: Scores,
        ranks: Ranks | None,
    ) -> None:
        super().__init__((), 0)
        self._model = model
        self._parameters = parameters
        self._scores = scores
        self._ranks = ranks
        self._begin: Callable[[], None] = lambda: None

    @property
    def are_scores(self) -> bool:
        """Whether what it returns are scores themselves."""
        return True

    def begin_batches_by(self, begin_batch: Callable[[], None]) -> None:
        """Call a function before each call of the caller's."""
        self._begin = begin_batch

    def __call__(self) -> list[torch.Tensor]:
        """Scores of the next step, one tensor for each parameter.

        Raises
        ------
        MissingGradientsError
            If the function returns None.
        StructureError
            If it returns no mapping, or one that lacks a parameter, or has a name that is none.
        ShapeError
            If scores have another shape than their parameter.
        UnsupportedTypeError
            If they are no tensor of floating-point numbers.
        """
        if self._ranks is None:
            return self._computed()
        with self._ranks.agreement():
            # Copies, which sums over ranks are written to.
            found = [
                one.to(torch.promote_types(one.dtype, torch.float32), copy=True)
                for one in self._computed()
            ]
        self._ranks.average(found, 1)
        return found

    def _computed(self) -> list[torch.Tensor]:
        self._begin()
        # The weights were changed in place, so the casts that autocast has cached are stale.
        torch.clear_autocast_cache()
        for one in self._model.parameters():
            one.grad = None
        found = self._scores(self._model)
        _check_names(found, unwrapped(self._model), self._parameters)
        for name, one in self._parameters.items():
            _check(name, found[name], one)
        return [found[name].detach() for name in self._parameters]


def _check_names(found: object, model: nn.Module, searched: Iterable[str]) -> None:
    if found is None:
        raise MissingGradientsError(
            "scores(model) returned None: return a mapping of names of parameters to tensors"
        )
    if not isinstance(found, Mapping):
        raise StructureError(
            "scores(model) must return a mapping of names of parameters to tensors, "
            f"not {type(found).__name__}"
        )
    if lacking := [name for name in searched if name not in found]:
        raise StructureError(
            f"scores(model) returned none of {listed(lacking)}: return scores of all parameters "
            "that are searched, which are those of prunable(model)"
        )
    known = dict(model.named_parameters(remove_duplicate=False))
    if unknown := [name for name in found if name not in known]:
        raise StructureError(
            f"scores(model) returned scores of {unknown[0]!r}, and {type(model).__name__} has no "
            f"parameter of that name; there are {listed(list(known))}"
        )


def _check(name: str, scores: object, parameter: nn.Parameter) -> None:
    if not isinstance(scores, torch.Tensor):
        raise UnsupportedTypeError(
            f"the scores of {name} must be a tensor, not {type(scores).__name__}"
        )
    if scores.shape != parameter.shape:
        raise ShapeError(
            f"the scores of {name} have shape {tuple(scores.shape)} where the parameter has "
            f"{tuple(parameter.shape)}"
        )
    if not scores.is_floating_point():
        raise UnsupportedTypeError(
            f"the scores of {name} have dtype {scores.dtype}: convert them by .float()"
        )
