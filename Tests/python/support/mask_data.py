"""Masks for tests of the checks: drawn by hypothesis, or the same on every machine."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from hypothesis import strategies as st
from kinds import cut, cuts, shaped

Masks = list[np.ndarray]


@st.composite
def some_masks(draw: st.DrawFn, most: int = 60) -> Masks:
    """Masks of some tensors, of all densities, some of them empty."""
    n = draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    flat = rng.random(n) < draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    return shaped(cut(flat, draw(cuts(n))))


def counts(masks: Any) -> list[int]:
    return [int(mask.sum()) for mask in masks]


def digest(masks: Masks) -> str:
    return hashlib.sha256(b"".join(mask.tobytes() for mask in masks)).hexdigest()[:16]


def some() -> Masks:
    """Masks that are the same on every machine."""
    numbers = np.arange(3 * 64).reshape(3, 8, 8)
    return [numbers[0] % 3 == 0, numbers[1] % 7 < 2, numbers[2] % 2 == 0]
