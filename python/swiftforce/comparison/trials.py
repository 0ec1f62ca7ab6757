"""What is compared: one trial for each method, sparsity and seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swiftforce.errors import UnknownNameError, UnsupportedTypeError
from swiftforce.inputs import check_seed, check_sparsity

#: The method name of the network that is not pruned: one trial for each seed, at no sparsity.
DENSE = "dense"


@dataclass(frozen=True)
class Trial:
    """One training run of a comparison.

    Attributes
    ----------
    method : str
        One of the names that `compare` was given; ``"dense"`` is the network that is not pruned.
    sparsity : float
        Share of weights to remove, in [0, 1); 0 for the dense network.
    seed : int
        For initial weights, batches and whatever else is random, so that all methods of a seed
        start from the same weights and see the same batches.
    """

    method: str
    sparsity: float
    seed: int

    @property
    def is_dense(self) -> bool:
        """Whether the network is not pruned."""
        return self.method == DENSE

    def __str__(self) -> str:
        """Seed, method and sparsity."""
        pruned = "" if self.is_dense else f" {self.sparsity:.6g}"
        return f"seed {self.seed}: {self.method}{pruned}"


def checked_plan(
    methods: Sequence[str], sparsities: Sequence[float], seeds: Sequence[int]
) -> tuple[tuple[str, ...], tuple[float, ...], tuple[int, ...]]:
    """Methods, sparsities and seeds, checked and without repetitions.

    Raises
    ------
    UnknownNameError
        If a method is no text, or there are no methods or seeds, or no sparsities for them.
    UnsupportedTypeError
        If one of them is no list.
    SparsityError, SeedError
    """
    for name, given in (("methods", methods), ("sparsities", sparsities), ("seeds", seeds)):
        if not isinstance(given, Iterable) or (isinstance(given, str) and given is not methods):
            raise UnsupportedTypeError(f"{name} must be a list, not {given!r}")
    names = [methods] if isinstance(methods, str) else list(methods)
    unnamed = [method for method in names if not (isinstance(method, str) and method)]
    if unnamed or not names:
        wrong = repr(unnamed[0]) if unnamed else "none"
        raise UnknownNameError(
            f"methods must be one or more names, not {wrong}: pass for example "
            "methods=['dense', 'force', 'snip']"
        )
    plan = (
        tuple(dict.fromkeys(names)),
        tuple(dict.fromkeys(map(check_sparsity, sparsities))),
        tuple(dict.fromkeys(map(check_seed, seeds))),
    )
    if not trials_of(*plan):
        raise UnknownNameError(
            "there is nothing to compare: pass at least one sparsity and one seed"
        )
    return plan


def trials_of(
    methods: Sequence[str], sparsities: Sequence[float], seeds: Sequence[int]
) -> list[Trial]:
    """Seed by seed; of each, the dense network first, then all methods at each sparsity."""
    dense = [(DENSE, 0.0)] if DENSE in methods else []
    pruned = [(each, share) for share in sparsities for each in methods if each != DENSE]
    return [Trial(method, share, seed) for seed in seeds for method, share in dense + pruned]
