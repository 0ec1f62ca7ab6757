"""Numbers that callers pass: checked, and converted to the types that the core takes."""

from __future__ import annotations

import operator
from numbers import Integral, Real

from swiftforce.errors import SeedError, SparsityError


def check_sparsity(value: float) -> float:
    """A sparsity in [0, 1) as a float."""
    if not isinstance(value, float) and (isinstance(value, bool) or not isinstance(value, Real)):
        raise SparsityError(f"sparsity must be a number in [0, 1), not {value!r}")
    share = float(value)
    if not 0 <= share < 1:
        hint = f" (for {share:g} % give {share / 100:g})" if 1 < share < 100 else ""
        raise SparsityError(f"sparsity must be in [0, 1), not {value!r}{hint}")
    return share


def integer(value: object, name: str, error: type[Exception]) -> int:
    """A Python or numpy integer that fits into 63 bits."""
    whole = _whole(value, name, error)
    if abs(whole) >= 1 << 63:
        raise error(f"{name} must fit into 64 bits, not {value!r}")
    return whole


def check_seed(value: int, name: str = "seed") -> int:
    """A seed in 0 ... 2**64 - 1."""
    seed = _whole(value, name, SeedError)
    if not 0 <= seed < 1 << 64:
        raise SeedError(f"{name} must be in 0 ... 2**64 - 1, not {seed}")
    return seed


def _whole(value: object, name: str, error: type[Exception]) -> int:
    # The type that nearly every caller passes; `isinstance` of an abstract class is slow.
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise error(f"{name} must be an integer, not {value!r}")
    return operator.index(value)
