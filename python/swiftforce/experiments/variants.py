"""The ways to find masks that experiments compare, by names that say all about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from swiftforce.comparison import DENSE
from swiftforce.errors import UnknownNameError
from swiftforce.inputs import Allocation, canonical_name, method_name, methods
from swiftforce.search import MaskSearch

#: Random masks with the same density in every layer. The package's method ``random`` draws from the
#: weights of all layers together.
UNIFORM_RANDOM = "uniform_random"
#: Random masks with the densities of Erdős-Rényi kernels: small layers keep larger shares.
ERK_RANDOM = "erk_random"
#: Iterative SNIP by gradients that need no data: `swiftforce.nn.synaptic_flow`.
SYNFLOW = "synflow"
#: The settings that a name can give: of damped searches, and floors and caps of an `Allocation`.
_DAMPING = ("momentum", "nested_from", "removed_factor")
_BOUNDS = ("floor", "cap", "floor_per_output", "cap_per_output")
#: A floor on the output units of the last layer alone.
_CLASSES = "floor_per_class"
_SETTINGS = (*_DAMPING, *_BOUNDS, _CLASSES)
_SHUFFLED = "shuffled"
#: The sparsity is of multiply-adds, and scores compete by what they are for each.
_MULTIPLY_ADDS = "multiply_adds"


def compared_methods() -> tuple[str, ...]:
    """Names of the methods that can be compared: the dense network and every way to find masks."""
    return (DENSE, *methods(), SYNFLOW, UNIFORM_RANDOM, ERK_RANDOM)


@dataclass(frozen=True)
class Variant:
    """A method, settings of its search, and whether its masks are shuffled.

    Attributes
    ----------
    method : str
        One of `compared_methods`.
    settings : mapping of str to float
        What damps the search; floors and caps.
    shuffled : bool
        Whether the masks are shuffled within each layer: the control that tells the choice of
        weights from the densities of layers.
    multiply_adds : bool
        Whether a weight costs what it takes to multiply by it: see the cost of an `Allocation`.
    """

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    shuffled: bool = False
    multiply_adds: bool = False

    @classmethod
    def parse(cls, text: str) -> Variant:
        """A variant from its name, such as ``force``, ``force momentum=0.5 shuffled``.

        Raises
        ------
        UnknownNameError
        HyperparameterError, BoundsError
            If a setting is out of range, or not for this method.

        Examples
        --------
        >>> Variant.parse("FORCE nested_from=0.5").settings
        {'nested_from': 0.5}
        """
        name, *words = text.split() or [""]
        settings: dict[str, float] = {}
        for word in (word for word in words if word not in {_SHUFFLED, _MULTIPLY_ADDS}):
            setting, _, value = word.partition("=")
            try:
                key = canonical_name("setting", setting, _SETTINGS)
                settings[key] = int(value) if value.isdecimal() else float(value)
            except ValueError as error:
                raise UnknownNameError(
                    f"{word!r} in {text!r} is not {_SHUFFLED!r}, {_MULTIPLY_ADDS!r} or a number "
                    f"for {', '.join(_SETTINGS)}: write for example 'force momentum=0.5'"
                ) from error
        method = canonical_name("method", name, compared_methods())
        words_only = (_SHUFFLED in words, _MULTIPLY_ADDS in words)
        variant = cls(method, dict(sorted(settings.items())), *words_only)
        if method not in methods():
            if settings or variant.multiply_adds:
                known = f"no settings but {_SHUFFLED!r}" if method == SYNFLOW else "no settings"
                raise UnknownNameError(f"{method} has {known}: {text!r}")
            if variant.shuffled and method != SYNFLOW:
                raise UnknownNameError(f"{method} is not searched, so not shuffled: {text!r}")
        elif settings:
            # A search refuses what its method does not have, before it begins.
            damping = {**variant.arguments({"last": 1}), "allocation": None}
            MaskSearch(np.ones(2), method=method_name(method), keep=1, **damping)
        return variant

    def arguments(self, multiply_adds: Mapping[str, int]) -> dict[str, Any]:
        """The settings as arguments of `swiftforce.prune`, for the weights of a network."""
        bounds = {name: value for name, value in self.settings.items() if name in _BOUNDS}
        found = {name: value for name, value in self.settings.items() if name in _DAMPING}
        if _CLASSES in self.settings:
            bounds["floor_per_output"] = {[*multiply_adds][-1]: self.settings[_CLASSES]}
        if self.multiply_adds:
            bounds["cost"] = multiply_adds
        return {**found, "allocation": Allocation(**bounds)} if bounds else found

    def __str__(self) -> str:
        """The name that gives this variant."""
        settings = [f"{name}={value!r}" for name, value in self.settings.items()]
        words = {_MULTIPLY_ADDS: self.multiply_adds, _SHUFFLED: self.shuffled}
        return " ".join([self.method, *settings, *(word for word, said in words.items() if said)])
