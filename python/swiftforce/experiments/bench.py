"""Times the search for a mask on this machine, against a scan of the arrays and against numpy.

This is a quick check for users. The figures in docs/PERFORMANCE.md, with more sizes, types and
libraries, come from the scripts in the repository's folder ``benchmarks``.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swiftforce import _core
from swiftforce.errors import AllocationError, LayerCollapseWarning, SwiftForceError
from swiftforce.files import dtype_of
from swiftforce.inputs import Array
from swiftforce.search import keep_count, snip

TENSORS = 50
SCAN = "scan of weights and gradients"
SNIP = "swiftforce.snip"
NUMPY = "numpy: abs, multiply, partition"


@dataclass(frozen=True)
class Settings:
    """Settings of a measurement.

    Attributes
    ----------
    weights : int
        Number of weights in all tensors.
    sparsity : float
    dtype : str
        Type of weights and gradients.
    repeats : int
        Timed runs of each. One more run before them is not timed.
    """

    weights: int = 25_000_000
    sparsity: float = 0.9
    dtype: str = "float32"
    repeats: int = 7

    @property
    def memory(self) -> int:
        """Bytes that the measurement takes: arrays, two copies of numpy's scores, masks."""
        score = self._score.itemsize
        return self.weights * (2 * dtype_of(self.dtype).itemsize + 2 * score + 2)

    @property
    def _score(self) -> np.dtype[np.float32 | np.float64]:
        return np.dtype(np.float64 if self.dtype == "float64" else np.float32)


def run(settings: Settings) -> dict[str, float]:
    """Median seconds of a scan, of `swiftforce.snip` and of numpy. Their runs alternate.

    Raises
    ------
    AllocationError
        If the measurement takes more memory than the machine has free. Nothing is allocated.
    ImportError
        If `dtype` is bfloat16 and ml_dtypes is not installed.
    SwiftForceError
        If the mask differs from numpy's: times of a wrong mask would mean nothing.

    Examples
    --------
    >>> from swiftforce.experiments import bench
    >>> list(bench.run(bench.Settings(weights=10_000, repeats=1)))
    ['scan of weights and gradients', 'swiftforce.snip', 'numpy: abs, multiply, partition']
    """
    available = _available_memory()
    if available is not None and settings.memory > available:
        raise AllocationError(
            f"{settings.weights:,} weights take {settings.memory / 1e9:.2f} GB of memory to "
            f"measure, but {available / 1e9:.2f} GB are free: use fewer weights"
        )
    weights, gradients = _arrays(settings, seed=1), _arrays(settings, seed=2)
    keep = keep_count(settings.weights, settings.sparsity)

    def by_snip() -> list[Array]:
        masks: list[Array] = snip(weights, gradients, keep=keep).masks
        return masks

    def by_numpy() -> list[Array]:
        return _numpy_masks(weights, gradients, keep, settings._score)

    with warnings.catch_warnings():
        # The tensors are random, so an empty layer means nothing.
        warnings.simplefilter("ignore", LayerCollapseWarning)
        _check(by_snip(), by_numpy(), keep)
        return _in_turn(
            {SCAN: lambda: _core.scan([*weights, *gradients]), SNIP: by_snip, NUMPY: by_numpy},
            settings.repeats,
        )


def rows(seconds: Mapping[str, float]) -> list[tuple[str, ...]]:
    """The rows of the table, heading first."""
    table: list[tuple[str, ...]] = [("", "ms", "/ scan", "/ snip")]
    for name, time_taken in seconds.items():
        ratios = (f"{time_taken / seconds[base]:.2f}" for base in (SCAN, SNIP))
        table.append((name, f"{1000 * time_taken:.3g}", *ratios))
    return table


def _numpy_masks(
    weights: Sequence[Array],
    gradients: Sequence[Array],
    keep: int,
    kind: np.dtype[np.float32 | np.float64],
) -> list[Array]:
    """Masks as users of numpy would find them. All scores equal to the threshold are kept."""
    scores = [
        np.abs(w.astype(kind, copy=False) * g.astype(kind, copy=False))
        for w, g in zip(weights, gradients, strict=True)
    ]
    all_scores = np.concatenate(scores)
    position = all_scores.size - keep
    all_scores.partition(position)
    return [score >= all_scores[position] for score in scores]


def _check(masks: Sequence[Array], expected: Sequence[Array], keep: int) -> None:
    kept = sum(int(np.count_nonzero(mask)) for mask in masks)
    differ = any(np.any(mask & ~other) for mask, other in zip(masks, expected, strict=True))
    if kept != keep or differ:
        raise SwiftForceError(
            f"the mask of {kept} weights differs from numpy's of {keep}: please report this bug"
        )


def _arrays(settings: Settings, seed: int) -> list[Array]:
    """Normal numbers in tensors of unequal sizes: the largest is 400 times the smallest."""
    rng = np.random.default_rng(seed)
    shares = np.cumsum(np.geomspace(1, 400, TENSORS))
    ends = [int(settings.weights * share / shares[-1]) for share in shares[:-1]]
    sizes = np.diff([0, *ends, settings.weights])
    dtype = dtype_of(settings.dtype)
    return [rng.standard_normal(size, np.float32).astype(dtype, copy=False) for size in sizes]


def _in_turn(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of calls that alternate, so that other processes disturb all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:  # the first run of each allocates memory
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def _available_memory() -> int | None:
    """Bytes that can be allocated without swapping; None if the system does not report them."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(x.split()[1]) for x in lines if x.startswith("MemAvailable:")), None)
