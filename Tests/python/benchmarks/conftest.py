"""For tests that import modules of the benchmarks."""

from __future__ import annotations

import pytest
from benchmarking import ROOT


@pytest.fixture
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the package ``benchmarks`` importable."""
    monkeypatch.syspath_prepend(str(ROOT))
