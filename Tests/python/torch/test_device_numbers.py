"""The selection on a device refuses numbers that are not finite, in the core's words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

from device_steps import SIZES, TYPES, Both, named, of_kind  # noqa: E402
from swiftforce.torch.device import scores as device_scores  # noqa: E402
from swiftforce.torch.device.selection import kept_sum  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of a few hundred weights have several parts."""
    monkeypatch.setattr(device_scores, "PART", 64)


@pytest.mark.parametrize(
    ("dtype", "value"), list(zip(TYPES, (np.nan, np.inf, -np.inf, np.nan), strict=True)), ids=str
)
@pytest.mark.parametrize("where", ["weights", "gradients", "both"])
@pytest.mark.parametrize("method", ["force", "grasp_it", "iterative_snip", "magnitude", "random"])
def test_values_that_are_not_finite_are_named(
    method: str, where: str, dtype: Any, value: float
) -> None:
    weights, gradients = (of_kind("random", SIZES, seed, dtype) for seed in (1, 2))
    for tensors in {"weights": [weights], "gradients": [gradients]}.get(
        where, [weights, gradients]
    ):
        tensors[3][100], tensors[3][130] = value, np.nan
    both = Both(method, weights, (30,))
    if where == "gradients" and method in {"magnitude", "random"}:
        both.step(gradients)  # They are not read.
        return
    with pytest.raises(sf.NonFiniteError) as wanted:
        both.in_core(gradients)
    with pytest.raises(sf.NonFiniteError) as found:
        both.on_device(gradients, 1)
    assert str(found.value) == str(wanted.value)
    assert repr(vars(found.value)) == repr(vars(wanted.value))
    assert not any(mask.any() for mask in both.masks)  # Nothing was written.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("method", ["iterative_snip", "force", "grasp_it"])
def test_products_that_overflow(method: str, dtype: Any) -> None:
    """They are named where their weights compete; the others may overflow."""
    huge = torch.finfo(dtype).max / 2
    weights, small = torch.arange(1.0, 201.0).to(dtype), torch.ones(200, dtype=dtype)
    both = Both(method, [weights], (150, 100))
    falling = torch.arange(200.0, 0.0, -1.0).to(dtype) if method == "grasp_it" else small
    both.step([falling])
    removed = int((~both.masks[0]).nonzero()[9])
    gradients = falling.clone()
    gradients[removed] = huge
    if method != "force":
        both.step([gradients])
        return
    with pytest.raises(sf.NonFiniteError, match=r"scores\['t0'\] has 1 value that is") as wanted:
        both.in_core([gradients])
    with pytest.raises(sf.NonFiniteError) as found:
        both.on_device([gradients], 2)
    assert str(found.value) == str(wanted.value)


@pytest.mark.parametrize("gradient", [torch.float32, torch.float64], ids=str)
def test_sums_over_steps_that_overflow(gradient: Any) -> None:
    """Also those of float64 that overflow where they are stored, in float32."""
    weights = torch.arange(1.0, 201.0)
    both = Both("force", [weights], (150, 100), momentum=0.9)
    gradients = torch.ones(200, dtype=gradient)
    gradients[5] = torch.finfo(torch.float32).max / 6
    both.step([gradients])
    with pytest.raises(sf.NonFiniteError) as wanted:
        both.in_core([gradients])
    with pytest.raises(sf.NonFiniteError) as found:
        both.on_device([gradients], 2)
    assert str(found.value) == str(wanted.value)


def test_the_objective_is_the_core_s() -> None:
    both = Both("force", of_kind("random", SIZES, 1, *TYPES), (100,))
    both.step(of_kind("random", SIZES, 2, torch.float32))
    gradients = of_kind("random", SIZES, 3, torch.bfloat16)
    found = kept_sum(both.scores(gradients), both.masks)
    assert found == pytest.approx(both.search.objective(named(gradients)), rel=2**-21)
    gradients[3][7] = torch.nan
    with pytest.raises(sf.NonFiniteError) as wanted:
        both.search.objective(named(gradients))
    with pytest.raises(sf.NonFiniteError) as raised:
        kept_sum(both.scores(gradients), both.masks)
    assert str(raised.value) == str(wanted.value)
