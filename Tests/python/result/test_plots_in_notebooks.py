"""`Pruning.plot` in a notebook: each form of the call shows one image."""

from __future__ import annotations

import pytest
from notebook_cells import outputs_of

pytest.importorskip("matplotlib")

pytestmark = pytest.mark.slow

BEFORE = """\
import numpy as np
import swiftforce as sf
found = sf.magnitude({"a": np.arange(10.0), "b": np.arange(10.0)}, keep=10)
"""
#: Cells, and how many images each of them shows.
CELLS = {
    "found.plot()": 1,
    "found.plot();": 1,
    "found.plot()\n1 + 1": 1,
    "figure = found.plot()": 1,
    "figure": 1,
    "display(figure)": 1,
    "display(figure)\nfigure": 1,
    "display(found.plot())": 1,
    "figure = found.plot()\nfigure": 1,
    "figure = found.plot()\nfigure.suptitle('other')\nfigure": 2,
    "for _ in range(2):\n    found.plot()": 2,
    "found.plot(); found.plot()": 2,
    "figure.savefig('figure.png')": 0,
}


@pytest.mark.parametrize("pyplot", ["", "import matplotlib.pyplot as plt", "%matplotlib inline"])
def test_each_form_shows_one_image(pyplot: str) -> None:
    shown = dict(zip(CELLS, outputs_of(f"{BEFORE}{pyplot}", *CELLS)[1:], strict=True))
    images = {
        cell: sum("image/png" in output.get("data", {}) for output in outputs)
        for cell, outputs in shown.items()
    }
    assert images == CELLS
    assert not [output for outputs in shown.values() for output in outputs if "text" in output]
