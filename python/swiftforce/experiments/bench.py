"""What a mask costs on this machine, against reading the numbers once and against numpy.

A look for users. The measurements that docs/PERFORMANCE.md shows, with other peers, sizes and
types, are made by the scripts of the repository.
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
READING = "reading weights and gradients once"
SNIP = "swiftforce.snip"
NUMPY = "numpy: abs, multiply, partition"


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes
    ----------
    weights : int
        Their number, in all tensors.
    sparsity : float
    dtype : str
        Of weights and gradients.
    repeats : int
        Timed runs of each; the first, untimed one is besides.
    """

    weights: int = 25_000_000
    sparsity: float = 0.9
    dtype: str = "float32"
    repeats: int = 7

    @property
    def memory(self) -> int:
        """Bytes that the measurement takes: arrays, scores of numpy in two copies, masks."""
        score = self._score.itemsize
        return self.weights * (2 * dtype_of(self.dtype).itemsize + 2 * score + 2)

    @property
    def _score(self) -> np.dtype[np.float32 | np.float64]:
        return np.dtype(np.float64 if self.dtype == "float64" else np.float32)


def run(settings: Settings) -> dict[str, float]:
    """Median seconds of each way, which take turns.

    Raises
    ------
    AllocationError
        If the machine has not the memory for it; nothing is done then.
    ImportError
        If bfloat16 is asked for and ml_dtypes is not installed.
    SwiftForceError
        If the mask is not numpy's: figures of a wrong mask mean nothing.

    Examples
    --------
    >>> from swiftforce import bench
    >>> list(bench.run(bench.Settings(weights=10_000, repeats=1)))
    ['reading weights and gradients once', 'swiftforce.snip', 'numpy: abs, multiply, partition']
    """
    available = _available_memory()
    if available is not None and settings.memory > available:
        raise AllocationError(
            f"{settings.weights:,} weights take {settings.memory / 1e9:.2f} GB of memory to "
            f"measure, and {available / 1e9:.2f} GB are free: measure fewer"
        )
    weights, gradients = _arrays(settings, seed=1), _arrays(settings, seed=2)
    keep = keep_count(settings.weights, settings.sparsity)

    def ours() -> list[Array]:
        masks: list[Array] = snip(weights, gradients, keep=keep).masks
        return masks

    def numpys() -> list[Array]:
        return _by_numpy(weights, gradients, keep, settings._score)

    with warnings.catch_warnings():
        # The tensors are made up: what a mask leaves of one means nothing.
        warnings.simplefilter("ignore", LayerCollapseWarning)
        _check(ours(), numpys(), keep)
        return _in_turn(
            {READING: lambda: _core.scan([*weights, *gradients]), SNIP: ours, NUMPY: numpys},
            settings.repeats,
        )


def rows(seconds: Mapping[str, float]) -> list[tuple[str, ...]]:
    """The rows of a table, with its heading."""
    found: list[tuple[str, ...]] = [("", "ms", "times reading", "times snip")]
    for what, taken in seconds.items():
        ratios = (f"{taken / seconds[against]:.2f}" for against in (READING, SNIP))
        found.append((what, f"{1000 * taken:.3g}", *ratios))
    return found


def _by_numpy(
    weights: Sequence[Array],
    gradients: Sequence[Array],
    keep: int,
    kind: np.dtype[np.float32 | np.float64],
) -> list[Array]:
    """Masks as one would find them with numpy; all scores equal to the threshold are kept."""
    scores = [
        np.abs(w.astype(kind, copy=False) * g.astype(kind, copy=False))
        for w, g in zip(weights, gradients, strict=True)
    ]
    everything = np.concatenate(scores)
    place = everything.size - keep
    everything.partition(place)
    return [score >= everything[place] for score in scores]


def _check(ours: Sequence[Array], numpys: Sequence[Array], keep: int) -> None:
    kept = sum(int(np.count_nonzero(mask)) for mask in ours)
    more = any(np.any(mine & ~theirs) for mine, theirs in zip(ours, numpys, strict=True))
    if kept != keep or more:
        raise SwiftForceError(f"the mask of {kept} weights is not numpy's of {keep}: a defect")


def _arrays(settings: Settings, seed: int) -> list[Array]:
    """Normal numbers in tensors of unequal sizes, the largest some hundred times the smallest."""
    rng = np.random.default_rng(seed)
    shares = np.cumsum(np.geomspace(1, 400, TENSORS))
    ends = [int(settings.weights * share / shares[-1]) for share in shares[:-1]]
    sizes = np.diff([0, *ends, settings.weights])
    dtype = dtype_of(settings.dtype)
    return [rng.standard_normal(size, np.float32).astype(dtype, copy=False) for size in sizes]


def _in_turn(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of calls that take turns, so that what else runs hits all of them alike."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:  # the first run of each finds memory that was never touched
                found[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in found.items()}


def _available_memory() -> int | None:
    """Bytes that may be taken without swapping; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(x.split()[1]) for x in lines if x.startswith("MemAvailable:")), None)
