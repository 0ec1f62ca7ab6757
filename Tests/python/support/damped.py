"""What tests of damped searches share: settings, a network, and a search that runs to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import swiftforce as sf
from kinds import network

STEPS = 6
DAMPINGS = [
    {"momentum": 0.9},
    {"removed_factor": 0.25},
    {"nested_from": 4},
    {"momentum": 0.5, "removed_factor": 0.1, "nested_from": 5},
]


def both(dtype: str = "float32") -> tuple[list[Any], Callable[[Any], Any]]:
    """Weights in a list, and gradients that depend on the mask."""
    arrays, gradients = network(7, ((20, 30), (0,), (300,), (7, 8, 3)))
    weights = [array.astype(dtype) for array in arrays]
    return weights, lambda masked: gradients([array.astype(np.float32) for array in masked])


def finished(search: sf.MaskSearch[Any], gradients: Callable[[Any], Any]) -> sf.MaskSearch[Any]:
    while not search.done:
        search.step(gradients(search.masked_weights))
    return search
