"""Layers whose every score was zero at the first step, and the weights of zeros that cause it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from swiftforce.inputs import Array

#: Parts of the last part of a name, of arrays that layers multiply by.
_FACTORS = re.compile(r"weight|kernel|gamma|scale|gain|alpha")


@dataclass(frozen=True)
class ZeroScores:
    """Why scores are zero.

    Attributes
    ----------
    layers : tuple of str
        Tensors whose every score was zero at the first step.
    factors : tuple of str
        Tensors of zeros that layers multiply by: no gradient passes them.
    """

    layers: tuple[str, ...]
    factors: tuple[str, ...]

    @classmethod
    def of(
        cls, names: Sequence[str], weights: Sequence[Array], gradients: Sequence[Array]
    ) -> ZeroScores:
        """Those of one step, whose scores are products of weights and gradients."""
        # An empty tensor has no score.
        factors = [
            name for name, one in zip(names, weights, strict=True) if one.size and not one.any()
        ]
        of_zeros = set(factors)
        layers = [
            name
            for name, one in zip(names, gradients, strict=True)
            if name in of_zeros or (one.size and not one.any())
        ]
        return cls(tuple(layers), tuple(factors))

    @classmethod
    def of_step(
        cls,
        count: int,
        names: Sequence[str],
        weights: Sequence[Array],
        gradients: Sequence[Array],
    ) -> ZeroScores | None:
        """Those of a step with so many scores of zero; None if those are no whole tensor."""
        if not count or count < min((one.size for one in weights if one.size), default=count + 1):
            return None
        return cls.of(names, weights, gradients)

    def with_factors(self, others: Mapping[str, Any]) -> ZeroScores:
        """Also look among other arrays of the model, by name, for zeros that layers multiply by."""
        known = set(self.factors)
        found = [
            name
            for name, one in others.items()
            if name not in known
            and _FACTORS.search(re.split("[./]", name.removesuffix("/value"))[-1])
            and not one.any()
        ]
        return replace(self, factors=(*self.factors, *found))
