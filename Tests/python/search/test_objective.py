"""The objective of the masks that searches find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from damped import STEPS, both

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def exact(weights: list[Any], gradients: list[Any], masks: list[Any]) -> float:
    products = np.abs(oracle.join(weights) * oracle.join(gradients)).astype(np.float64)
    return float(products[oracle.join(masks)].sum())


@pytest.mark.parametrize("method", ["force", "iterative_snip"])
def test_the_objective_of_each_step(method: str) -> None:
    weights, gradients = both()
    search = sf.MaskSearch(weights, method=method, keep=40, steps=STEPS)
    measured = []
    while not search.done:
        search.step(gradients(search.masked_weights))
        assert search.history[-1].objective is None
        own = gradients(search.masked_weights)
        measured.append(exact(weights, own, search.masks))
        if search.taken == 3:
            assert search.objective(own) == pytest.approx(measured[-1], rel=1e-12)
    assert [step.objective for step in search.history[:-1]] == pytest.approx(measured[:-1])
    found = sf.prune(weights, gradients, method=method, keep=40, steps=STEPS, objective=True)
    assert found.objective == pytest.approx(measured[-1], rel=1e-12)
    assert found.history[-1].objective == found.objective
    assert sf.prune(weights, gradients, method=method, keep=40, steps=STEPS).objective is None


def test_the_objective_is_saved(tmp_path: Path) -> None:
    weights, gradients = both()
    found = sf.force(weights, gradients, keep=40, steps=3, objective=True)
    found.save(tmp_path / "m")
    again = sf.load(tmp_path / "m")
    assert again.history == found.history and again.objective == found.objective
    assert found.to_dict()["objective"] == found.objective


def test_the_objective_takes_one_gradient_more() -> None:
    weights, gradients = both()
    calls = []
    for objective in (False, True):
        seen: list[int] = []

        def counted(masked: Any, seen: list[int] = seen) -> Any:
            seen.append(sum(int(np.count_nonzero(array)) for array in masked))
            return gradients(masked)

        sf.force(weights, counted, keep=40, steps=3, objective=objective)
        calls.append(seen)
    assert calls[1] == [*calls[0], 40]


def test_what_the_objective_cannot_be_measured_by() -> None:
    weights, gradients = both()
    with pytest.raises(sf.MissingGradientsError, match="new gradients"):
        sf.prune(weights, gradients(weights), method="force", keep=9, steps=1, objective=True)
    with pytest.raises(sf.HyperparameterError, match="magnitude"):
        sf.prune(weights, method="magnitude", keep=9, objective=True)
    search = sf.MaskSearch(weights, keep=9, steps=2)
    with pytest.raises(sf.SearchDoneError, match="no step"):
        search.objective(gradients(weights))
    search.step(gradients(weights))
    with pytest.raises(sf.MissingGradientsError):
        search.objective()
    spoiled = gradients(weights)
    spoiled[2][5] = np.nan
    with pytest.raises(sf.NonFiniteError, match=r"gradients\[2\]"):
        search.objective(spoiled)
    assert search.taken == 1 and search.history[0].objective is None


def test_fewer_gradients_where_survivors_compete() -> None:
    """A function that leaves out gradients of zeros is asked for them only where they count."""

    class Gradients:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def __call__(self, masked: Any) -> Any:
            self.asked.append("all")
            return [np.ones_like(array) for array in masked]

        def of_nonzero(self, masked: Any) -> Any:
            self.asked.append("kept")
            return [(array != 0).astype(array.dtype) for array in masked]

    weights, _ = both()
    for method, options, asked in [
        ("force", {}, ["all"] * 4),
        ("force", {"nested_from": 3}, ["all", "all", "kept", "kept"]),
        ("force", {"removed_factor": 0}, ["kept"] * 4),
        ("iterative_snip", {"momentum": 0.5}, ["kept"] * 4),
        ("grasp_it", {}, ["all"] * 4),
    ]:
        gradients = Gradients()
        sf.prune(weights, gradients, method=method, keep=9, steps=4, **options)
        assert gradients.asked == asked, (method, options)
