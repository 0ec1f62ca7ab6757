"""Masks that both checks accept, what they preserve, and the densities of layers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from mask_data import Masks, counts, digest, some, some_masks
from swiftforce import checks

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


@given(some_masks(), st.integers(0, 2**64 - 1))
def test_as_many_of_each_tensor_are_kept(masks: Masks, seed: int) -> None:
    before = digest(masks)
    for found in (checks.shuffle(masks, seed), checks.invert(masks, seed=seed)):
        assert counts(found) == counts(masks)
        assert [mask.shape for mask in found] == [mask.shape for mask in masks]
        assert not any(np.shares_memory(a, b) for a, b in zip(found, masks, strict=True))
    assert digest(masks) == before


def test_a_seed_gives_the_same_masks_on_every_machine() -> None:
    assert digest(checks.shuffle(some(), seed=7)) == "01e1231554560a6a"
    assert digest(checks.invert(some(), seed=7)) == "ee81ab0bc3322b81"


def test_results_mirror_what_was_passed() -> None:
    a, b = np.array([True, False, False]), np.array([[True], [False]])
    weights = {"a": np.float32([3, 1, 2]), "b": np.float32([[5], [4]])}
    pruning = sf.magnitude(weights, keep=3)
    for check in (checks.shuffle, checks.invert):
        assert list(check({"a": a, "b": b})) == ["a", "b"]
        assert isinstance(check((a, b)), tuple)
        assert check(a).shape == (3,)
        assert counts(check(pruning).values()) == counts(pruning.masks.values())


@pytest.mark.parametrize("check", [checks.shuffle, checks.invert])
def test_bad_masks_and_seeds_are_refused(check: Any) -> None:
    with pytest.raises(sf.UnsupportedTypeError, match=r"masks\['a'\] has dtype int64"):
        check({"a": np.arange(3)})
    with pytest.raises(sf.StructureError, match="no elements"):
        check([])
    with pytest.raises(sf.LayoutError, match="C-contiguous"):
        check(np.ones((4, 4), bool)[:, ::2])
    with pytest.raises(sf.SeedError):
        check(np.ones(3, bool), seed=-1)


def test_pieces_of_one_rank_are_refused() -> None:
    pruning = sf.magnitude([np.float32([1, 2, 3])], keep=1)
    whole = dataclasses.replace(pruning.layers[0], shape=(6,), size=6)
    piece = dataclasses.replace(pruning, layers=(whole,))
    with pytest.raises(sf.StructureError, match=r"only a piece: shape \(3,\) of \(6,\)"):
        checks.shuffle(piece)


@given(some_masks(), st.integers(0, 2**64 - 1))
def test_checks_preserve_densities(masks: Masks, seed: int) -> None:
    found = checks.layer_densities(masks)
    assert list(found) == [str(i) for i in range(len(masks))]
    assert list(found.values()) == [mask.mean() if mask.size else 1 for mask in masks]
    assert checks.layer_densities(checks.shuffle(masks, seed)) == found


def test_densities_of_a_result() -> None:
    pruning = sf.magnitude({"a": np.float32([3, 1]), "b": np.float32([2])}, keep=2)
    assert checks.layer_densities(pruning) == {"a": 0.5, "b": 1.0}
    assert checks.layer_densities(pruning.masks) == {"a": 0.5, "b": 1.0}


def test_only_public_names_are_shown() -> None:
    assert dir(checks) == sorted(checks.__all__)
    assert all(hasattr(checks, name) for name in checks.__all__)
