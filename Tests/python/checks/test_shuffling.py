"""Shuffled masks keep as many weights of each tensor, at random positions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from mask_data import Masks, digest, some, some_masks
from swiftforce import checks
from swiftforce.checks.inversion import _INVERT_STREAMS
from swiftforce.checks.shuffling import _SHUFFLE_STREAMS
from swiftforce.nn import samples

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


@given(some_masks(), st.integers(0, 2**64 - 1))
def test_the_order_of_each_tensor_is_as_documented(masks: Masks, seed: int) -> None:
    for position, (mask, found) in enumerate(zip(masks, checks.shuffle(masks, seed), strict=True)):
        if mask.size:
            order = sf.permutation(mask.size, seed, (3 << 32) + position)
            assert np.array_equal(found.reshape(-1), mask.reshape(-1)[order])


def test_equal_tensors_and_other_seeds_are_shuffled_differently() -> None:
    first, second = checks.shuffle([some()[0], some()[0]], seed=7)
    assert not np.array_equal(first, second)
    assert digest(checks.shuffle(some(), 1)) != digest(checks.shuffle(some(), 2))


def test_no_two_users_share_a_stream() -> None:
    starts = [0, samples.TRAINING_STREAM, samples.SCORING_STREAM, _SHUFFLE_STREAMS, _INVERT_STREAMS]
    assert starts == [i << 32 for i in range(5)]


def test_every_mask_of_that_density_comes_up() -> None:
    mask = np.array([True, True, False, False, False])
    found = {checks.shuffle(mask, seed).tobytes() for seed in range(200)}
    assert len(found) == math.comb(5, 2)
