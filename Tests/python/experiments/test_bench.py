"""Timing the search for a mask: what is measured, of which masks, and in how much memory."""

from __future__ import annotations

import re

import numpy as np
import pytest
import swiftforce as sf
from swiftforce import cli
from swiftforce.experiments import bench

SMALL = bench.Settings(weights=3000, repeats=1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_every_type(dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    seconds = bench.run(bench.Settings(weights=3000, dtype=dtype, repeats=2))
    assert list(seconds) == [bench.SCAN, bench.SNIP, bench.NUMPY]
    assert all(taken > 0 for taken in seconds.values())


@pytest.mark.parametrize(("weights", "sparsity"), [(1, 0.9), (10, 0.0), (3000, 0.999)])
def test_few_weights(weights: int, sparsity: float) -> None:
    assert bench.run(bench.Settings(weights, sparsity, repeats=1))


def test_arrays_are_those_of_the_settings() -> None:
    arrays = bench._arrays(SMALL, seed=1)
    assert len(arrays) == bench.TENSORS
    assert sum(array.size for array in arrays) == 3000
    assert all(array.dtype == np.float32 for array in arrays)
    assert len({array.size for array in arrays}) > 10


def test_a_wrong_mask_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(weights: list, gradients: list, *, keep: int) -> sf.Pruning:
        return sf.random(weights, keep=keep)

    monkeypatch.setattr(bench, "snip", wrong)
    with pytest.raises(sf.SwiftForceError, match="differs from numpy's"):
        bench.run(SMALL)


def test_memory_is_asked_for_first(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = bench.Settings(weights=10**15)
    assert settings.memory == 18 * 10**15
    with pytest.raises(sf.AllocationError, match=r"take 18000000\.00 GB of memory to measure"):
        bench.run(settings)
    monkeypatch.setattr(bench, "_available_memory", lambda: SMALL.memory - 1)
    with pytest.raises(sf.AllocationError):
        bench.run(SMALL)
    monkeypatch.setattr(bench, "_available_memory", lambda: None)
    assert bench.run(SMALL)


def test_rows() -> None:
    seconds = {bench.SCAN: 0.01, bench.SNIP: 0.02, bench.NUMPY: 0.3}
    assert bench.rows(seconds)[1:] == [
        (bench.SCAN, "10", "1.00", "0.50"),
        (bench.SNIP, "20", "2.00", "1.00"),
        (bench.NUMPY, "300", "30.00", "15.00"),
    ]


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--weights", "3000", "--sparsity", "0.99", "--quick"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith(
        "3,000 float32 weights and gradients in 50 tensors: 0.00 GB of memory\n\n"
        "Mask of sparsity 0.99: median time of 3 runs\n\n"
    )
    for what in (bench.SCAN, bench.SNIP, bench.NUMPY):
        assert re.search(rf"^{what} +[\d.e+-]+ +[\d.]+ +[\d.]+$", captured.out, re.MULTILINE)
    last = captured.out.splitlines()[-1]
    assert last.startswith(f"swiftforce {sf.__version__}, CPU level {sf.cpu_levels()[0]}, ")
    assert last.endswith(f", numpy {np.__version__}")


def test_too_many_weights_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--weights", "1000000000000"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
