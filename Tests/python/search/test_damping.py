"""Damped searches: accumulated scores, a factor for removed weights, a step that nests."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from damped import DAMPINGS, STEPS, both, finished
from oracle import assert_same_masks
from steps import assert_same_step
from swiftforce import _core

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


# ------------------------------------------------------------------------------- as the oracle


@pytest.mark.parametrize("damping", DAMPINGS, ids=str)
@pytest.mark.parametrize("method", ["force", "iterative_snip", "grasp_it"])
def test_every_step_is_the_oracles(method: str, damping: dict[str, Any]) -> None:
    if method != "force":
        damping = {"momentum": damping.get("momentum", 0.75)}
    weights, gradients = both()
    keeps = (700, 400, 300, 150, 70, 21)
    masks, steps = oracle.search(
        weights, gradients, method, keeps, damping=oracle.Damping(**damping)
    )
    search = sf.MaskSearch(weights, method=method, schedule=keeps, **damping)
    for mask in masks:
        search.step(gradients(search.masked_weights))
        assert_same_masks(search.masks, mask)
    for found, expected in zip(search.history, steps, strict=True):
        assert_same_step(found, expected)
    assert search.result().damping == sf.Damping(**damping)


def test_a_step_by_hand() -> None:
    """Scores 1 2 4, then 4 0 0: sums 4.5 1 2, the first, removed, counts half."""
    search = sf.MaskSearch(
        np.float32([1, 2, 4]), schedule=[2, 2, 1], momentum=0.5, removed_factor=0.5
    )
    search.step(np.float32([1, 1, 1]))
    assert search.masks.tolist() == [False, True, True]
    step = search.step(np.float32([4, 0, 0]))
    assert search.masks.tolist() == [True, False, True]
    assert (step.threshold, step.saliency, step.total_saliency) == (2.0, 4.25, 5.25)
    assert search.history[0].objective == 0  # of the weights that step 1 kept
    assert search._buffers.accumulated[0].tolist() == [4.5, 1, 2]


@pytest.mark.parametrize(
    "same", [{"removed_factor": 0}, {"nested_from": 1}, {"removed_factor": 0, "nested_from": 3}]
)
def test_force_without_returns_is_iterative_snip(same: dict[str, Any]) -> None:
    weights, gradients = both()
    options = {"keep": 40, "steps": STEPS, "momentum": 0.9}
    found = sf.force(weights, gradients, **options, **same)
    expected = sf.iterative_snip(weights, gradients, **options)
    assert_same_masks(found.masks, expected.masks)
    assert found.history == expected.history


def test_defaults_are_the_paper() -> None:
    weights, gradients = both()
    found = sf.force(weights, gradients, keep=40, steps=STEPS)
    neutral = {"momentum": 0.0, "removed_factor": 1.0, "nested_from": None}
    same = sf.force(weights, gradients, keep=40, steps=STEPS, **neutral)
    assert found.history == same.history
    assert sum(step.revived for step in found.history) > 0
    assert found.damping == sf.Damping()


@pytest.mark.parametrize(
    ("share", "steps", "step"),
    [(0.5, 60, 31), (0.9, 60, 55), (0.29, 100, 30), (0.001, 10, 1), (0.999, 10, 10)],
)
def test_a_share_of_the_steps(share: float, steps: int, step: int) -> None:
    weights = np.arange(1, 2001, dtype=np.float32)
    search = sf.MaskSearch(weights, keep=3, steps=steps, nested_from=share)
    assert search._damping.nested_from == step
    assert sf.MaskSearch(weights, keep=3, steps=steps, nested_from=np.float32(share))


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7, 60])
def test_the_core_and_python_agree_from_which_step_a_method_is_nested(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, gradients = both()

    def result() -> sf.Pruning[Any]:
        search = sf.MaskSearch(weights, method="force_nested", keep=40, steps=steps)
        return finished(search, gradients).result()

    expected = result()
    assert expected.damping.nested_from == min(steps, round(steps / 2) + 1)
    create = _core.search_create
    monkeypatch.setattr(_core, "search_create", lambda *given: create(*given[:11], 0, *given[12:]))
    assert result().history == expected.history


@pytest.mark.parametrize("share", [Fraction(1, 2), np.longdouble(0.5), np.float16(0.5), 0.5])
def test_any_real_number_is_a_share(share: Any) -> None:
    search = sf.MaskSearch(np.ones(100, np.float32), keep=3, steps=10, nested_from=share)
    assert search._damping.nested_from == 6


@pytest.mark.parametrize("value", [Fraction(3, 2), 1.0, 0.0, float("nan"), 3 + 0j, "0.5", True])
def test_what_is_neither_step_nor_share(value: Any) -> None:
    with pytest.raises(sf.HyperparameterError, match="nested_from"):
        sf.MaskSearch(np.ones(100, np.float32), keep=3, steps=10, nested_from=value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "damping",
    [
        {"momentum": 1 - 1e-9},
        {"momentum": 1e-46},
        {"removed_factor": 1e-46},
        {"removed_factor": 1 - 1e-9},
    ],
    ids=str,
)
def test_factors_that_round_to_others_are_refused(damping: dict[str, float], dtype: str) -> None:
    weights = np.ones(10, dtype)
    with pytest.raises(sf.HyperparameterError, match=f"{next(iter(damping))} .*float32.*round it"):
        sf.MaskSearch(weights, keep=3, steps=2, **damping)
    nearest = {name: float(np.float32(0.9999999)) for name in damping}
    assert sf.MaskSearch(weights, keep=3, steps=2, **nearest)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_momentum_does_not_change_the_type_of_scores(momentum: float) -> None:
    """Squares overflow in float32, the type of the gradients, whatever that of the weights."""
    weights = np.ones(3, np.float64)
    search = sf.MaskSearch(weights, method="grasp_it", schedule=[2, 1], momentum=momentum)
    with pytest.raises(sf.NonFiniteError, match="scores"):
        search.step(np.float32([1, 2, 1e20]))
    gradients = np.float32([1, 2, 0.1])
    step = search.step(gradients)
    assert step.total_saliency == float((gradients * gradients).astype(np.float64).sum())
    search.objective(gradients)
    with pytest.raises(sf.NonFiniteError, match=r"gradients|scores"):
        search.objective(np.float32([1e20, 1, 1]))


@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_methods_without_gradients_have_no_objective(method: Any) -> None:
    weights = np.arange(1, 11, dtype=np.float32)
    search = sf.MaskSearch(weights, method=method, keep=3)
    search.step()
    for gradients in ((), (weights,)):
        with pytest.raises(sf.HyperparameterError, match=f"which {method} does not"):
            search.objective(*gradients)
    assert search.history[-1].objective is None


# ------------------------------------------------------------------------------- warnings


MASKED = [*DAMPINGS, {"momentum": 0.9, "nested_from": 3}, {"removed_factor": 1e-30}]


@pytest.mark.parametrize("damping", MASKED, ids=str)
def test_masked_gradients_are_told(damping: dict[str, Any], tmp_path: Path) -> None:
    """By the scores of each step alone: those of earlier steps are not zero."""
    weights, gradients = both()

    def masked(at: Any) -> Any:
        pairs = zip(gradients(at), at, strict=True)
        return [gradient * (weight != 0) for gradient, weight in pairs]

    competing = damping.get("nested_from", STEPS + 1) - 1
    which = f"{competing} steps" + " in which they competed" * (competing < STEPS)
    with pytest.warns(sf.MaskedGradientsWarning, match=f"in all {which}, so none") as caught:
        found = sf.force(weights, masked, keep=40, steps=STEPS, **damping)
    assert found.warnings == tuple(str(one.message) for one in caught)
    found.save(tmp_path / "m")
    assert sf.load(tmp_path / "m").warnings == found.warnings


@pytest.mark.parametrize(
    "damping", [*DAMPINGS, {"nested_from": 1}, {"nested_from": 2}, {"removed_factor": 0}], ids=str
)
def test_dense_gradients_are_not_taken_for_masked_ones(damping: dict[str, Any]) -> None:
    weights, gradients = both()
    found = sf.force(weights, gradients, keep=40, steps=STEPS, **damping)
    assert not any("removed weights" in text for text in found.warnings)


@pytest.mark.parametrize("damping", [{"nested_from": 2}, {"removed_factor": 0}], ids=str)
def test_gradients_of_weights_that_never_compete_may_be_masked(damping: dict[str, Any]) -> None:
    weights = np.arange(1, 101, dtype=np.float32)
    found = sf.force(weights, lambda masked: masked, keep=10, steps=STEPS, **damping)
    assert found.warnings == ()


def test_zeros_are_those_of_a_step_alone() -> None:
    search = sf.MaskSearch(
        np.float32([1, 2, 4, 8]), schedule=[3, 2, 1], momentum=0.5, nested_from=3
    )
    zeros = [
        search.step(np.float32(gradients)).zero_scores
        for gradients in ([1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 0, 1])
    ]
    assert zeros == [0, 2, 1]  # in the last step 4 and 8 compete


# ------------------------------------------------------------------------------- shown


def test_results_say_how_they_were_damped() -> None:
    weights, gradients = both()
    plain = sf.force(weights, gradients, keep=40, steps=STEPS)
    damped = sf.force(weights, gradients, keep=40, steps=STEPS, momentum=0.9, nested_from=4)
    for text in (str(damped), damped._repr_html_()):
        assert "momentum 0.9, nested from step 4" in text
        assert "accumulated saliency" in text
        assert "sum of all accumulated |weight x gradient|" in text
    for text in (str(plain), plain._repr_html_()):
        assert "saliency" in text
        assert not any(word in text for word in ("momentum", "nested", "accumulated"))
    half = sf.force(weights, gradients, keep=40, steps=STEPS, removed_factor=0.5)
    assert "removed factor 0.5" in str(half) and "accumulated" not in str(half)


def test_settings_are_shown_with_all_digits() -> None:
    """The label of a checkpoint has them, by which a search is recognised."""
    assert str(sf.Damping(momentum=0.9)) != str(sf.Damping(momentum=0.90000001))
    assert str(sf.Damping(removed_factor=0.1)) != str(sf.Damping(removed_factor=0.100000001))
    assert str(sf.Damping()) == ""


def test_no_weight_returns_from_the_step_on() -> None:
    weights, gradients = both()
    search = finished(sf.MaskSearch(weights, keep=40, steps=STEPS, nested_from=4), gradients)
    returned = [step.revived for step in search.history]
    assert all(returned[1:3]) and not any(returned[3:])
    candidates = [step.candidates for step in search.history]
    assert candidates == [1068, 1068, 1068, *(step.keep for step in search.history[2:5])]


def test_initial_masks_are_no_step() -> None:
    """The step that nests is counted from the first one of the search."""
    weights, gradients = both()
    begins = sf.random(weights, keep=600).masks
    search = sf.MaskSearch(weights, initial_masks=begins, keep=40, steps=STEPS, nested_from=3)
    finished(search, gradients)
    assert [step.candidates for step in search.history[:3]] == [1068, 1068, search.keeps[1]]


# ------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("method", "options", "why"),
    [
        ("force", {"momentum": 1.0}, r"momentum must be in \[0, 1\), not 1"),
        ("force", {"momentum": -0.1}, "momentum"),
        ("force", {"momentum": float("nan")}, "momentum"),
        ("force", {"momentum": "0.9"}, "momentum must be a number"),
        ("force", {"momentum": True}, "momentum"),
        ("force", {"removed_factor": 1.1}, r"removed_factor must be in \[0, 1\]"),
        ("force", {"removed_factor": float("nan")}, "removed_factor"),
        ("force", {"removed_factor": None}, "removed_factor"),
        ("force", {"nested_from": 0}, "nested_from must be in 1 ... 6"),
        ("force", {"nested_from": 7}, "nested_from must be in 1 ... 6"),
        ("force", {"nested_from": 1.0}, "a share of the steps"),
        ("force", {"nested_from": float("nan")}, "a share of the steps"),
        ("force", {"nested_from": True}, "nested_from"),
        ("iterative_snip", {"nested_from": 2}, "nested_from must be left out"),
        ("grasp_it", {"removed_factor": 0.5}, "removed_factor must be 1"),
        ("magnitude", {"momentum": 0.5}, "momentum must be 0 for a method of one step"),
        ("snip", {"removed_factor": 0.5}, "removed_factor must be 1"),
    ],
)
def test_what_is_refused(method: str, options: dict[str, Any], why: str) -> None:
    weights, _ = both()
    steps = None if method in ("magnitude", "snip") else STEPS
    with pytest.raises(sf.HyperparameterError, match=why):
        sf.MaskSearch(weights, method=method, keep=9, steps=steps, **options)
