"""The overlap of two masks is what sets of positions say."""

from __future__ import annotations

import dataclasses
import itertools
import math
import tracemalloc
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from kinds import cut, cuts, shaped
from mask_data import Masks, some
from swiftforce import checks

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

DENSITIES = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])


@st.composite
def two_masks(draw: st.DrawFn) -> tuple[Masks, Masks]:
    """Two masks of the same tensors, each of any density, some of the tensors empty."""
    n = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    places = draw(cuts(n))
    a, b = (shaped(cut(rng.random(n) < draw(DENSITIES), places)) for _ in range(2))
    return a, b


def kept(mask: np.ndarray) -> set[int]:
    """The oracle: the positions that a mask keeps."""
    return {i for i, keep in enumerate(mask.ravel().tolist()) if keep}


def ratio(part: set[Any], whole: set[Any]) -> float:
    return len(part) / len(whole) if whole else 1.0


def figures(counts: checks.Overlap | checks.LayerOverlap) -> tuple[float, ...]:
    kept_of_each = (counts.kept_a, counts.kept_b, counts.kept_both)
    return (counts.size, *kept_of_each, counts.jaccard, counts.share_of_a)


def expected_figures(a: set[Any], b: set[Any], size: int) -> tuple[float, ...]:
    return (size, len(a), len(b), len(a & b), ratio(a & b, a | b), ratio(a & b, a))


@given(two_masks())
def test_counts_are_those_of_sets(masks: tuple[Masks, Masks]) -> None:
    found = checks.overlap(*masks)
    all_a: set[tuple[int, int]] = set()
    all_b: set[tuple[int, int]] = set()
    chance = Fraction(0)
    for position, (layer, a, b) in enumerate(zip(found.layers, *masks, strict=True)):
        assert (layer.name, layer.shape) == (str(position), a.shape)
        assert figures(layer) == expected_figures(kept(a), kept(b), a.size)
        by_chance = Fraction(len(kept(a)) * len(kept(b)), max(1, a.size))
        assert layer.expected == float(by_chance)
        chance += by_chance
        all_a |= {(position, i) for i in kept(a)}
        all_b |= {(position, i) for i in kept(b)}
    assert figures(found) == expected_figures(all_a, all_b, sum(mask.size for mask in masks[0]))
    assert math.isclose(found.expected, chance)


@given(two_masks())
def test_exchanged_masks_exchange_their_counts(masks: tuple[Masks, Masks]) -> None:
    a, b = masks
    found, other = checks.overlap(a, b), checks.overlap(b, a)
    assert (found.kept_a, found.kept_b) == (other.kept_b, other.kept_a)
    assert found.kept_both == other.kept_both
    assert (found.jaccard, found.expected) == (other.jaccard, other.expected)
    assert found.share_of_a * found.kept_a == pytest.approx(other.share_of_a * other.kept_a)


@given(two_masks())
def test_a_mask_with_itself_and_with_what_it_removes(masks: tuple[Masks, Masks]) -> None:
    itself = checks.overlap(masks[0], masks[0])
    assert itself.kept_both == itself.kept_a == itself.kept_b
    assert itself.jaccard == itself.share_of_a == 1
    removed = checks.overlap(masks[0], [~mask for mask in masks[0]])
    assert removed.kept_both == removed.jaccard == 0
    assert removed.kept_a + removed.kept_b == removed.size


def test_the_share_is_that_of_the_first() -> None:
    few, many = np.array([1, 0, 0, 0], bool), np.array([1, 1, 1, 1], bool)
    assert checks.overlap(few, many).share_of_a == 1
    assert checks.overlap(many, few).share_of_a == 0.25


def test_expected_is_the_mean_over_all_masks() -> None:
    a = np.array([1, 1, 1, 0, 0], bool)
    found = []
    for positions in itertools.combinations(range(5), 2):
        b = np.zeros(5, bool)
        b[list(positions)] = True
        found.append(checks.overlap(a, b))
    mean = sum(one.kept_both for one in found) / len(found)
    assert {one.expected for one in found} == {mean} == {1.2}


def test_nothing_kept_and_empty_tensors() -> None:
    nothing = checks.overlap(np.zeros(4, bool), np.zeros(4, bool))
    assert (nothing.jaccard, nothing.share_of_a, nothing.expected) == (1, 1, 0)
    masks = {"none": np.zeros((0, 3), bool), "one": np.ones(1, bool)}
    found = checks.overlap(masks, masks)
    assert figures(found.layers[0]) == (0, 0, 0, 0, 1, 1)
    assert (found.layers[0].expected, found.expected) == (0, 1)
    one_sided = checks.overlap(np.zeros(2, bool), np.ones(2, bool))
    assert (one_sided.jaccard, one_sided.share_of_a) == (0, 1)


def test_results_and_masks_of_any_structure() -> None:
    weights = {"a": np.float32([3, 1, 2]), "b": {"c": np.float32([[5], [4]])}}
    pruning = sf.magnitude(weights, keep=3)
    turned = {"b": pruning.masks["b"], "a": pruning.masks["a"]}
    for a, b in itertools.product((pruning, pruning.masks, turned), repeat=2):
        found = checks.overlap(a, b)
        assert {layer.name: layer.kept_both for layer in found.layers} == {"a": 1, "b/c": 2}
        assert found == checks.overlap(a, a)
    alone = checks.overlap(np.ones((2, 1), bool), np.ones((2, 1), bool))
    assert [layer.name for layer in alone.layers] == ["masks"]
    assert checks.overlap(tuple(some()), some()[:3]).jaccard == 1


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        ({"a": np.ones(3, bool)}, sf.StructureError, "masks b lack 'w', which masks a have"),
        (
            {"a": np.ones(3, bool), "w": np.ones(2, bool), "x": np.ones(1, bool)},
            sf.StructureError,
            "masks b have 'x', which masks a lack",
        ),
        (
            {"a": np.ones(3, bool), "w": np.ones((2, 1), bool)},
            sf.ShapeError,
            r"masks b\['w'\] has shape \(2, 1\) where masks a\['w'\] has \(2,\)",
        ),
        ([np.ones(3, bool), np.ones(2, bool)], sf.StructureError, "must be a mapping of names"),
        (
            {"a": np.ones(3, np.int8), "w": np.ones(2, bool)},
            sf.UnsupportedTypeError,
            r"masks b\['a'\] has dtype int8 where bool is needed: convert it with .astype",
        ),
        (
            {"a": np.ones(6, bool)[::2], "w": np.ones(2, bool)},
            sf.LayoutError,
            r"masks b\['a'\] is not C-contiguous: copy it",
        ),
        ({}, sf.StructureError, "masks b hold no elements"),
        (None, sf.UnsupportedTypeError, "masks b must be an array"),
    ],
)
def test_masks_that_do_not_fit_are_refused(other: Any, error: Any, message: str) -> None:
    masks = {"a": np.ones(3, bool), "w": np.ones(2, bool)}
    with pytest.raises(error, match=message):
        checks.overlap(masks, other)


def test_pieces_of_one_rank_are_refused() -> None:
    pruning = sf.magnitude([np.float32([1, 2, 3])], keep=1)
    whole = dataclasses.replace(pruning.layers[0], shape=(6,), size=6)
    piece = dataclasses.replace(pruning, layers=(whole,))
    for masks in ((piece, pruning), (pruning, piece), ([np.ones(6, bool)], piece)):
        with pytest.raises(sf.StructureError, match=r"only a piece: shape \(3,\) of \(6,\)"):
            checks.overlap(*masks)


def test_masks_are_not_changed_and_one_tensor_at_a_time_is_copied() -> None:
    size = 1 << 20
    a = [np.arange(size) % (3 + i) == 0 for i in range(8)]
    b = [np.arange(size) % (4 + i) == 0 for i in range(8)]
    for mask in (*a, *b):
        mask.flags.writeable = False
    tracemalloc.start()
    checks.overlap(a, b)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * size


def test_text() -> None:
    masks = {"fc": np.array([[1, 1], [0, 0]], bool), "head": np.zeros(2, bool)}
    other = {"fc": np.array([[1, 0], [1, 1]], bool), "head": np.ones(2, bool)}
    found = checks.overlap(masks, other)
    assert repr(found) == "<Overlap: 1 of 2 and 5 weights kept>"
    assert str(found).splitlines() == [
        "1 weights are kept by both, of 2 kept by a and 5 kept by b (by chance 1.5)",
        "layer  shape   weights  a  b  both  by chance  share of a  jaccard",
        "fc     (2, 2)        4  2  3     1        1.5         0.5     0.25",
        "head   (2,)          2  0  2     0        0.0           1        0",
        "all                  6  2  5     1        1.5         0.5   0.1667",
    ]
