"""How much is measured, in full and in small, and what sizes are called."""

from __future__ import annotations

from dataclasses import dataclass, field

import swiftforce as sf


def _threads() -> tuple[int, ...]:
    return tuple(sorted({1, sf.get_num_threads()}))


@dataclass(frozen=True)
class Plan:
    """How much of everything is measured.

    Attributes
    ----------
    size : int
        Weights of the sections that have one size.
    sparsities : tuple of float
    sizes : tuple of tuple of (int, str)
        Numbers of weights and their type.
    per_weight : tuple of int
        The two sizes whose cost per weight is compared.
    memory : tuple of tuple of (int, str)
        Numbers of weights and their type whose extra memory is measured, that of peers at the
        first alone.
    steps : int
        Of a whole search.
    threads : tuple of int
        One, and all there are.
    repeats, peer_repeats, small_repeats : int
        Timed runs; fewer of peers that take seconds, many of the smallest problem.
    largest_peer, largest_step : int
        Bytes of weights and gradients beyond which peers, or steps, take too long or do not fit.
    """

    size: int = 25_000_000
    sparsities: tuple[float, ...] = (0.1, 0.9, 0.99, 0.995)
    sizes: tuple[tuple[int, str], ...] = (
        (10**5, "float32"),
        (10**6, "float32"),
        (10**7, "float32"),
        (10**7, "bfloat16"),
        (10**8, "float32"),
        (10**8, "bfloat16"),
        (10**9, "bfloat16"),
        (10**9, "float32"),
    )
    per_weight: tuple[int, int] = (10**7, 10**9)
    memory: tuple[tuple[int, str], ...] = ((25_000_000, "float32"), (10**9, "bfloat16"))
    steps: int = 60
    threads: tuple[int, ...] = field(default_factory=_threads)
    repeats: int = 21
    peer_repeats: int = 3
    small_repeats: int = 5000
    largest_peer: int = 10**9
    largest_step: int = 4 * 10**9


QUICK = Plan(
    size=200_000,
    sparsities=(0.9, 0.99),
    memory=((200_000, "float32"),),
    sizes=((10**4, "float32"), (3 * 10**5, "float32")),
    per_weight=(10**4, 3 * 10**5),
    steps=5,
    repeats=3,
    peer_repeats=1,
    small_repeats=50,
)


def in_threads(number: int) -> str:
    """The number in words."""
    return f"{number} thread" if number == 1 else f"{number} threads"


def in_words(number: int) -> str:
    """A number of weights, short where it is round."""
    for power in (9, 8, 7, 6, 5, 4, 3):
        if number == 10**power:
            return f"10^{power}"
    return f"{number / 10**6:g} million" if number >= 10**6 else f"{number:,}"


def kept(size: int, sparsity: float) -> int:
    """How many weights are kept."""
    return max(1, round(size * (1 - sparsity)))
