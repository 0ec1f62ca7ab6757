"""Sizes of the selection benchmark, full and quick, and texts for them."""

from __future__ import annotations

from dataclasses import dataclass, field

import swiftforce as sf


def _threads() -> tuple[int, ...]:
    return tuple(sorted({1, sf.get_num_threads()}))


@dataclass(frozen=True)
class Plan:
    """Sizes and repeats.

    Attributes
    ----------
    size : int
        Number of weights in the sections with a single size.
    sparsities : tuple of float
    sizes : tuple of tuple of (int, str)
        Numbers of weights and their type.
    per_weight : tuple of int
        The two sizes whose time per weight is compared.
    memory : tuple of tuple of (int, str)
        Numbers of weights and their type for the measurement of memory; peers only at the first.
    steps : int
        Steps of a whole search.
    threads : tuple of int
        One, and all.
    repeats, peer_repeats, small_repeats : int
        Timed runs; fewer for peers, which take seconds, and many for the smallest problem.
    largest_peer, largest_step : int
        Most bytes of weights and gradients for which peers, or steps, are measured.
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


def threads_text(number: int) -> str:
    """A number of threads as text."""
    return f"{number} thread" if number == 1 else f"{number} threads"


def count_text(number: int) -> str:
    """A number of weights as text, short if it is a round number."""
    for power in (9, 8, 7, 6, 5, 4, 3):
        if number == 10**power:
            return f"10^{power}"
    return f"{number / 10**6:g} million" if number >= 10**6 else f"{number:,}"


def keep_for(size: int, sparsity: float) -> int:
    """How many weights a sparsity keeps."""
    return max(1, round(size * (1 - sparsity)))
