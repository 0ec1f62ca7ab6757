"""Which weights live or die together, as a caller says it: checked.

What must not live here: which weights that is, for given tensors (`swiftforce.search`).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

from swiftforce.errors import BoundsError
from swiftforce.inputs.vocabulary import canonical_name, case_names

PatternName = Literal["weights", "outputs", "inputs", "kernels"]
_SCORES = ("sum", "mean")


@dataclass(frozen=True)
class Pattern:
    """Which weights live or die together, and how their scores make one.

    A search with a pattern keeps or removes *units*. Best units come first, of equal ones those at
    the lower position, for as long as their weights fit into the number to keep; so it may keep
    fewer, by less than a unit. It keeps one unit at least; if an `Allocation` says how many weights
    each tensor keeps, one of each tensor that keeps any. Tensors of fewer than two dimensions
    have no units but their weights. The axis of output units is that of the `Allocation`.

    Attributes
    ----------
    shape : str or (int, int)
        ``"outputs"``: all weights of an output unit, which makes layers smaller on any hardware
        (`swiftforce.torch.compact`). ``"inputs"``: all that read an input unit. ``"kernels"``:
        those between an input and an output unit. Or ``(r, c)``: blocks of r output units and of c
        neighbouring weights in each, smaller at the ends. ``"weights"``: each weight alone.
    score : str
        The score of a unit is the ``"sum"`` of those of its weights that compete, which prefers
        large units, or their ``"mean"``.

    Raises
    ------
    UnknownNameError, BoundsError

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> weights = np.float32([[1, 9, 2, 3], [8, 1, 7, 4]])
    >>> sf.prune(weights, method="magnitude", keep=4, pattern="outputs").masks
    array([[False, False, False, False],
           [ True,  True,  True,  True]])
    >>> sf.prune(weights, method="magnitude", keep=4, pattern=(2, 1)).masks
    array([[ True,  True, False, False],
           [ True,  True, False, False]])
    """

    shape: PatternName | tuple[int, int] = "weights"
    score: Literal["sum", "mean"] = "sum"

    def __post_init__(self) -> None:
        """Check both."""
        object.__setattr__(self, "score", canonical_name("score of a unit", self.score, _SCORES))
        object.__setattr__(self, "shape", _shape(self.shape))

    @property
    def is_plain(self) -> bool:
        """Whether each weight lives alone."""
        return self.shape in {"weights", (1, 1)}

    def __str__(self) -> str:
        """The pattern in words."""
        shape = self.shape if isinstance(self.shape, str) else "{} x {} blocks".format(*self.shape)
        return shape if self.score == "sum" else f"{shape} by their mean"

    def to_json(self) -> dict[str, Any]:
        """Both values, as JSON can hold them; ``Pattern(**...)`` reads them."""
        return {"shape": self.shape, "score": self.score}


#: What an argument ``pattern`` may be.
Patterned = Pattern | PatternName | tuple[int, int]


def pattern_of(value: Patterned | None) -> Pattern:
    """What a caller passes as a pattern.

    Raises
    ------
    UnknownNameError, BoundsError
    """
    if isinstance(value, Pattern):
        return value
    return Pattern() if value is None else Pattern(value)


def _shape(shape: object) -> str | tuple[int, int]:
    if isinstance(shape, (tuple, list)):
        whole = [one for one in shape if isinstance(one, Integral) and not isinstance(one, bool)]
        sides = [int(one) for one in whole]
        if len(sides) != 2 or len(shape) != 2 or not 0 < min(sides) <= max(sides) < 1 << 62:
            raise BoundsError(f"a block must be (rows, columns), both at least 1, not {shape!r}")
        return sides[0], sides[1]
    known = [name for name in case_names("pattern") if name != "blocks"]
    return canonical_name("pattern", shape, known)
