"""Fixtures of the tests of pytrees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import swiftforce as sf


@pytest.fixture
def gradients_read(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, np.ndarray]]:
    """The gradients that searches read, step by step."""
    read: list[dict[str, np.ndarray]] = []
    step = sf.MaskSearch.step

    def noted(self: sf.MaskSearch, grads: Any = None, **options: Any) -> sf.Step:
        if grads is not None:
            read.append({name: grad.copy() for name, grad in grads.items()})
        return step(self, grads, **options)

    monkeypatch.setattr(sf.MaskSearch, "step", noted)
    return read
