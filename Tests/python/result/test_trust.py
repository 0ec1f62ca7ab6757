"""What speaks against trusting a mask: warned of when it is found, and kept with the result."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import swiftforce as sf

WEIGHTS = {"a": np.float32([1, 2, 3, 4]), "b": np.float32([1e-3, 2e-3])}


def warned(search: Callable[[], sf.Pruning]) -> tuple[sf.Pruning, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = search()
    return found, [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("search", "count"),
    [
        (lambda: sf.magnitude(WEIGHTS, keep=5), 0),
        (lambda: sf.magnitude(WEIGHTS, keep=4), 1),
        (lambda: sf.snip(WEIGHTS, {"a": np.zeros(4, "f"), "b": np.zeros(2, "f")}, keep=3), 2),
        (lambda: sf.force(WEIGHTS, lambda masked: masked, keep=3, steps=3), 2),
        (lambda: sf.iterative_snip(WEIGHTS, lambda masked: masked, keep=3, steps=3), 1),
        (
            lambda: sf.force(
                WEIGHTS, lambda masked: {n: w * 0 for n, w in masked.items()}, keep=2, steps=3
            ),
            2,
        ),
    ],
)
def test_a_result_keeps_what_was_warned_of(search: Callable[[], sf.Pruning], count: int) -> None:
    found, told = warned(search)
    assert len(told) == count
    assert found.warnings == tuple(told)


def test_a_result_that_was_saved_keeps_its_warnings(tmp_path) -> None:
    pytest.importorskip("safetensors")
    found, _ = warned(lambda: sf.force(WEIGHTS, lambda masked: masked, keep=3, steps=3))
    found.save(tmp_path / "masks.safetensors")
    assert sf.load(tmp_path / "masks.safetensors").warnings == found.warnings
    assert len(found.warnings) == 2


def test_a_step_that_removed_nothing_says_nothing_of_gradients() -> None:
    weights = np.float32([1, 2, 3, 0])
    found, told = warned(lambda: sf.force(weights, lambda w: w, schedule=[4, 4, 3]))
    assert (found.warnings, told) == ((), [])


@pytest.mark.parametrize("kept", [0.5, 0.2, 0.1, 0.05])
@pytest.mark.parametrize("method", [sf.force, sf.iterative_snip])
def test_weights_of_zero_are_not_taken_for_masked_gradients(
    method: Callable[..., sf.Pruning], kept: float
) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=2000).astype(np.float32)
    weights[rng.permutation(2000)[:1800]] = 0
    dense = rng.normal(size=2000).astype(np.float32)
    found, told = warned(lambda: method(weights, lambda _: dense, keep=int(kept * 2000), steps=5))
    assert found.warnings == tuple(told)
    assert not any("removed weights" in text for text in told)


@pytest.mark.parametrize("zeros", [0, 500])
def test_masked_gradients_are_told_beside_weights_of_zero(zeros: int) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=2000).astype(np.float32)
    weights[:zeros] = 0
    dense = rng.normal(size=2000).astype(np.float32)
    with pytest.warns(sf.MaskedGradientsWarning, match="score of zero in all 5 steps") as caught:
        sf.force(weights, lambda masked: dense * (masked != 0), keep=200, steps=5)
    assert len(caught) == 1


def test_masked_gradients_are_told_where_a_search_begins_at_masks() -> None:
    weights = np.arange(1, 101, dtype=np.float32)
    start = weights > 50
    with pytest.warns(sf.MaskedGradientsWarning):
        search = sf.MaskSearch(weights, keep=50, steps=3, method="force", initial_masks=start)
        while search.taken < search.steps:
            search.step(search.masked_weights)
        search.result()


def test_steps_are_numbered_up_to_five() -> None:
    weights = np.float32([1, 2, 3])
    with pytest.warns(sf.DegenerateSaliencyWarning, match=r"^7 of 7 steps \(1, 2, 3, 4, 5, ...\)"):
        sf.force(weights, lambda w: w * 0, keep=1, steps=7, schedule=[2] * 6 + [1])


def test_layers_are_named_up_to_five() -> None:
    weights = {f"layer{i}": np.float32([i + 1]) for i in range(8)}
    with pytest.warns(sf.LayerCollapseWarning) as caught:
        sf.magnitude(weights, keep=3)
    # What the network computes is not known here: something may bypass a layer.
    assert str(caught[0].message) == ("no weight is kept in layer0, layer1, layer2, layer3, layer4")
    with pytest.warns(sf.LayerCollapseWarning, match="layer3, layer4 and 2 more layers$"):
        sf.magnitude(weights, keep=1)
