"""How the kept weights are shared out, as a caller says it: checked, and compared with names.

What must not live here: how many weights follow from it, for given tensors (`swiftforce.search`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from numbers import Integral, Real
from typing import Any, cast

from swiftforce.errors import BoundsError
from swiftforce.inputs.vocabulary import canonical_name, case_names

#: A share of weights as a float in [0, 1], or a number of them as an integer.
Amount = float | int


@dataclass(frozen=True)
class Allocation:
    """How the kept weights are shared out among tensors, output units and groups of neighbours.

    An *amount* is a number of weights if it is an integer, and a share of those of the tensor or of
    the output unit if it is a float in [0, 1], rounded to the nearest number. Instead of one value
    for all tensors, each argument but the first may be a mapping of names or patterns, as in
    `fnmatch`, to values: a name wins over patterns, and of several patterns the first one.
    Tensors of fewer than two dimensions have no output units and no groups.

    Attributes
    ----------
    shares : str or mapping
        ``"global"``: scores decide among all weights. ``"uniform"``: the same share of each
        tensor. ``"erk"``: Erdős-Rényi-Kernel, a share of each tensor in proportion to the sum of
        the lengths of its axes divided by their product; what would be more than all is all. Or a
        mapping of names or patterns to amounts, one for each tensor; then leave out sparsity and
        keep.
    floor, cap : amount or mapping, optional
        The fewest and the most weights that each tensor keeps.
    floor_per_output, cap_per_output : amount or mapping, optional
        The fewest and the most weights that each output unit keeps.
    n_m : (int, int) or mapping, optional
        N:M sparsity: of each M neighbouring weights of an output unit, in the order of memory, at
        most N are kept. If the sparsity is left out, as many as that allows.
    output_axis : int or mapping, optional
        The axis that counts output units. By default 0, and in JAX the last one.
    cost : int or mapping, optional
        What one weight costs, at least 1, for example its multiply-adds for one sample. Then
        sparsity is a share of what all weights cost, and keep is a budget: the best weights by
        score / cost are kept, as many as it pays for. With a global share, and no floors and caps.

    Raises
    ------
    BoundsError
        If a value is out of range.
    UnknownNameError
        If `shares` is an unknown name.

    Notes
    -----
    Among all masks that respect the floors and caps, a step finds those of the largest total score,
    with ties by position. In the earlier steps of a search floors and caps are the same, and
    numbers of the tensors fall with the schedule. Steps that would keep more than caps allow keep
    as many as those allow.

    References
    ----------
    Evci et al., "Rigging the Lottery", ICML 2020: Erdős-Rényi-Kernel. Zhou et al., "Learning N:M
    Fine-grained Structured Sparse Neural Networks From Scratch", ICLR 2021. Dantzig,
    "Discrete-variable extremum problems", Operations Research 1957: the order by score / cost.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> weights = np.float32([[9, 8, 7, 6], [1, 2, 3, 4]])
    >>> sf.magnitude(weights, keep=4, allocation=sf.Allocation(floor_per_output=1)).masks
    array([[ True,  True,  True, False],
           [False, False, False,  True]])
    >>> sf.magnitude(weights, allocation=sf.Allocation(n_m=(2, 4))).masks
    array([[ True,  True, False, False],
           [False, False,  True,  True]])
    """

    shares: str | Mapping[str, Amount] = "global"
    floor: Amount | Mapping[str, Amount] | None = None
    cap: Amount | Mapping[str, Amount] | None = None
    floor_per_output: Amount | Mapping[str, Amount] | None = None
    cap_per_output: Amount | Mapping[str, Amount] | None = None
    n_m: tuple[int, int] | Mapping[str, tuple[int, int]] | None = None
    output_axis: int | Mapping[str, int] | None = None
    cost: int | Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        """Check all values, and keep copies of mappings."""
        if isinstance(self.shares, Mapping):
            self._keep("shares", _mapped(self.shares, "shares", _amount))
        else:
            name = canonical_name("allocation", self.shares, case_names("allocation"))
            self._keep("shares", name)
        for name in ("floor", "cap", "floor_per_output", "cap_per_output"):
            self._keep(name, _checked(getattr(self, name), name, _amount))
        self._keep("n_m", _checked(self.n_m, "n_m", _n_m))
        self._keep("output_axis", _checked(self.output_axis, "output_axis", _axis))
        self._keep("cost", _checked(self.cost, "cost", _cost))
        if self.cost is not None and (self.shares != "global" or self.has_bounds):
            raise BoundsError(
                "weights with a cost are shared out by their scores alone: leave out the cost, or "
                "shares, floors and caps"
            )

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def has_bounds(self) -> bool:
        """Whether there are floors or caps."""
        bounds = (self.floor, self.cap, self.floor_per_output, self.cap_per_output, self.n_m)
        return any(bound is not None for bound in bounds)

    @property
    def is_plain(self) -> bool:
        """Whether scores alone decide."""
        return self.shares == "global" and not self.has_bounds and self.cost is None

    def __str__(self) -> str:
        """What differs from the default, in words; empty if nothing does."""
        parts = [] if self.shares == "global" else [f"shares {_shown(self.shares)}"]
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value is not None:
                name = "" if field.name == "n_m" else f"{field.name.replace('_', ' ')} "
                parts.append(f"{name}{_shown(value)}")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """The values that are set, as JSON can hold them; ``Allocation(**...)`` reads them."""
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }


def allocation_of(value: Allocation | str | Mapping[str, Amount]) -> Allocation:
    """What a caller passes as an allocation: one, or what its `shares` are.

    Raises
    ------
    BoundsError, UnknownNameError
    """
    return value if isinstance(value, Allocation) else Allocation(value)


class TensorValues:
    """The values of an allocation for tensors of these names.

    Parameters
    ----------
    allocation : Allocation
    names : iterable of str
    names_elsewhere : collection of str, optional
        Keys of values that are names of tensors of other ranks; None if all tensors are here.
        Patterns may be for tensors of other ranks.

    Attributes
    ----------
    matches : dict
        By the field and the key of each value for some tensors, whether there are any here.

    Raises
    ------
    BoundsError
        If a pattern matches no tensor.
    """

    def __init__(
        self,
        allocation: Allocation,
        names: Iterable[str],
        names_elsewhere: Collection[str] | None = None,
    ) -> None:
        known = dict.fromkeys(names)
        elsewhere = names_elsewhere or ()
        self.matches: dict[tuple[str, str], bool] = {}
        self._values: dict[str, tuple[Mapping[str, Any], list[tuple[str, Any]], Any]] = {}
        for field in fields(allocation):
            value = getattr(allocation, field.name)
            if not isinstance(value, Mapping):
                self._values[field.name] = ({}, [], value)
                continue
            # A key that is the name of a tensor is no pattern for others.
            patterns = [
                (key, one)
                for key, one in value.items()
                if key not in known and key not in elsewhere
            ]
            self.matches |= {(field.name, key): key in known for key in value}
            for pattern, _ in patterns:
                is_found = any(fnmatchcase(name, pattern) for name in known)
                self.matches[field.name, pattern] = is_found
                if not is_found and names_elsewhere is None:
                    shown = ", ".join(map(repr, [*known][:5])) + (", ..." if len(known) > 5 else "")
                    raise BoundsError(
                        f"{field.name} has {pattern!r}, which no tensor is called; there are: "
                        f"{shown}"
                    )
            self._values[field.name] = (value, patterns, None)

    def get(self, field: str, name: str) -> Any:  # noqa: ANN401 - of any of the fields
        """The value of a tensor: that of its name, or of the first pattern, or of all tensors."""
        named, patterns, default = self._values[field]
        if name in named:
            return named[name]
        return next((one for pattern, one in patterns if fnmatchcase(name, pattern)), default)


def _checked(value: Any, name: str, check: Any) -> Any:  # noqa: ANN401 - of any of the fields
    if value is None:
        return None
    return _mapped(value, name, check) if isinstance(value, Mapping) else check(value, name)


def _mapped(values: Mapping[str, Any], name: str, check: Any) -> dict[str, Any]:  # noqa: ANN401
    for key in values:
        if not isinstance(key, str):
            raise BoundsError(f"{name} maps names or patterns of tensors to values, not {key!r}")
    return {key: check(value, f"{name}[{key!r}]") for key, value in values.items()}


def _amount(value: object, name: str) -> Amount:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise BoundsError(
            f"{name} must be a number of weights (an int) or a share of them (a float), "
            f"not {value!r}"
        )
    if isinstance(value, Integral):
        number = int(value)
        if not 0 <= number < 1 << 62:
            raise BoundsError(f"{name} must be a number of weights, at least 0, not {value!r}")
        return number
    share = float(value)
    if not 0 <= share <= 1:
        raise BoundsError(
            f"{name} must be a share in [0, 1] or, as an int, a number of weights, not {value!r}"
        )
    return share


def _n_m(value: object, name: str) -> tuple[int, int]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise BoundsError(f"{name} must be (N, M), for example (2, 4), not {value!r}")
    kept, group = (_amount(one, name) for one in value)
    if not isinstance(kept, int) or not isinstance(group, int) or not 1 <= kept <= group:
        raise BoundsError(f"{name} must be integers (N, M) with 1 <= N <= M, not {value!r}")
    return kept, group


def _axis(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise BoundsError(f"{name} must be the number of an axis, not {value!r}")
    return int(value)


def _cost(value: object, name: str) -> int:
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or not 1 <= int(cast(int, value)) < 1 << 62:
        raise BoundsError(f"{name} must be what a weight costs, an int from 1 on, not {value!r}")
    return int(cast(int, value))


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_shown(one)}" for key, one in value.items()) + "}"
    return f"{value[0]}:{value[1]}" if isinstance(value, tuple) else str(value)
