"""Inverted masks keep as many weights of each tensor: the last ones, or removed ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from kinds import cut, cuts, values
from mask_data import Masks, some_masks
from swiftforce import checks

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


@given(st.data())
def test_the_last_of_each_tensor_are_kept(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 60))
    scores = cut(data.draw(values(n)), data.draw(cuts(n)))
    masks = [np.arange(score.size) < data.draw(st.integers(0, score.size)) for score in scores]
    for score, mask, found in zip(scores, masks, checks.invert(masks, scores=scores), strict=True):
        order = sorted(range(score.size), key=lambda i: (-score[i], i))
        expected = set(order[score.size - mask.sum() :])
        assert set(np.flatnonzero(found)) == expected


@given(st.data())
def test_what_a_method_keeps_its_inversion_removes(data: st.DataObject) -> None:
    scores = [data.draw(values(data.draw(st.integers(2, 40)))) for _ in range(2)]
    best = [sf.select(score, keep=score.size // 2) for score in scores]
    inverted = checks.invert(best, scores=scores)
    assert not any((a & b).any() for a, b in zip(best, inverted, strict=True))


@given(some_masks(), st.integers(0, 2**64 - 1))
def test_without_scores_removed_weights_come_first(masks: Masks, seed: int) -> None:
    for mask, found in zip(masks, checks.invert(masks, seed=seed), strict=True):
        kept, removed = int(mask.sum()), int((~mask).sum())
        assert int((found & ~mask).sum()) == min(kept, removed)


def test_scores_that_are_not_finite_name_their_tensor() -> None:
    masks = {"a": np.array([True]), "b": np.array([True, False])}
    scores = {"a": np.float32([1]), "b": np.float32([1, math.nan])}
    with pytest.raises(sf.NonFiniteError, match=r"scores\['b'\] has 1 value") as caught:
        checks.invert(masks, scores=scores)
    assert caught.value.first_index == 1
    with pytest.raises(sf.NonFiniteError, match=r"scores\['a'\]"):
        checks.invert(masks, scores={**scores, "a": np.float32([math.inf])})


def test_scores_of_another_structure_are_refused() -> None:
    masks = {"a": np.array([True, False])}
    with pytest.raises(sf.StructureError, match="scores lack 'a'"):
        checks.invert(masks, scores={"b": np.float32([1, 2])})
    with pytest.raises(sf.ShapeError):
        checks.invert(masks, scores={"a": np.float32([1, 2, 3])})
