"""Positions of kept weights: they come back from the shorter coding, or are refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swiftforce.files import positions
from swiftforce.files.positions import BITS, GAPS, decoded, encoded


def mask_of(size: int, places: object) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[np.asarray(places, np.int64)] = True
    return mask


def bytes_of(*values: int) -> np.ndarray:
    return np.array(values, np.uint8)


def gap_bytes(mask: np.ndarray) -> int:
    """How many bytes the gaps take, counted one by one; the last leads to the end."""
    places = [-1, *np.flatnonzero(mask).tolist(), mask.size]
    return sum(1 + (after - before - 1) // 255 for before, after in itertools.pairwise(places))


def assert_comes_back(mask: np.ndarray) -> None:
    coding, code = encoded(mask)
    places = np.flatnonzero(mask)
    assert code.dtype == np.uint8
    np.testing.assert_array_equal(decoded(coding, code, mask.size, places.size), places)
    bits, gaps = (mask.size + 7) // 8, gap_bytes(mask)
    assert (coding, code.size) == ((GAPS, gaps) if gaps < bits else (BITS, bits))


@given(st.integers(0, 3000), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_positions_come_back_from_the_shorter_coding(size: int, density: float, seed: int) -> None:
    assert_comes_back(np.random.default_rng(seed).random(size) < density)


@given(
    st.lists(st.sampled_from([0, 1, 253, 254, 255, 256, 509, 510, 511, 765]), max_size=12),
    st.integers(0, 20_000),
)
def test_gaps_of_every_length_come_back(gaps: list[int], rest: int) -> None:
    places = np.cumsum(np.array(gaps, np.int64) + 1) - 1
    assert_comes_back(mask_of(sum(gaps) + len(gaps) + rest, places))


@pytest.mark.parametrize("size", range(11))
def test_all_masks_of_a_few_weights_come_back(size: int) -> None:
    for bits in itertools.product((False, True), repeat=size):
        assert_comes_back(np.array(bits, bool))


@pytest.mark.parametrize(
    ("gap", "code"),
    [
        (0, [0]),
        (254, [254]),
        (255, [255, 0]),
        (256, [255, 1]),
        (509, [255, 254]),
        (510, [255, 255, 0]),
        (511, [255, 255, 1]),
    ],
)
def test_a_gap_goes_on_after_255(gap: int, code: list[int]) -> None:
    coding, found = encoded(mask_of(gap + 8001, [gap]))
    # The rest leads to the end: 8000 is 31 times 255 and 95.
    assert (coding, found.tolist()) == (GAPS, [*code, *[255] * 31, 95])


def test_bits_are_written_if_gaps_take_as_many_bytes() -> None:
    mask = mask_of(320, np.arange(255, 293))
    assert gap_bytes(mask) == 40
    assert_comes_back(mask)
    assert encoded(mask)[0] == BITS
    mask[292] = False
    assert_comes_back(mask)
    assert encoded(mask)[0] == GAPS


def test_a_mask_of_any_shape_and_layout_is_read_in_its_order() -> None:
    mask = np.zeros((40, 50), bool)
    mask[3, 4] = mask[30, 1] = True
    flat = mask.reshape(-1)
    for one in (mask, np.asfortranarray(mask), np.repeat(mask, 2, axis=1)[:, ::2]):
        assert encoded(one)[0] == encoded(flat)[0]
        np.testing.assert_array_equal(encoded(one)[1], encoded(flat)[1])


# ------------------------------------------------------------------------- what is refused

DAMAGED = {
    "too few positions": (GAPS, bytes_of(3, 4), 100, 3),
    "too many positions": (GAPS, bytes_of(3, 4), 100, 1),
    "none at all": (GAPS, bytes_of(), 100, 1),
    "the last gap goes on": (GAPS, bytes_of(3, 255), 1000, 1),
    "nothing but a gap that goes on": (GAPS, bytes_of(255), 1000, 0),
    "a position beyond the end": (GAPS, bytes_of(99, 0), 100, 2),
    "a position in a tensor of none": (GAPS, bytes_of(0), 0, 1),
    "too few bits": (BITS, bytes_of(1), 9, 1),
    "too many bits": (BITS, bytes_of(1, 0, 0), 9, 1),
    "a bit beyond the end": (BITS, bytes_of(0, 2), 9, 1),
    "a bit beyond the end besides": (BITS, bytes_of(1, 2), 9, 1),
    "other bits": (BITS, bytes_of(3, 0), 9, 1),
    "no bits of many": (BITS, bytes_of(), 2**62, 0),
    "no coding": ("runs", bytes_of(1), 9, 1),
    "wider numbers": (GAPS, np.array([1], np.uint16), 9, 1),
    "signed numbers": (GAPS, np.array([-1], np.int8), 9, 1),
    "a matrix": (GAPS, np.zeros((1, 1), np.uint8), 9, 1),
    "no array": (GAPS, np.array(1, np.uint8), 9, 1),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_codes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"position|coding"):
        decoded(*DAMAGED[name])


def test_few_bytes_do_not_tell_of_many_weights() -> None:
    """So a short file cannot ask for much memory."""
    for code in (bytes_of(), bytes_of(255, 7)):
        with pytest.raises(ValueError, match="not 0 of 4611686018427387904 weights"):
            decoded(GAPS, code, 2**62, 0)


def test_masks_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "_CHUNK", 64)
    rng = np.random.default_rng(0)
    for size in (0, 1, 63, 64, 65, 127, 128, 129, 1000):
        for density in (0, 0.01, 0.05, 0.1, 0.5, 1):
            assert_comes_back(rng.random(size) < density)


@given(
    st.sampled_from([BITS, GAPS]),
    st.binary(max_size=40),
    st.integers(0, 400),
    st.integers(0, 12),
)
def test_any_bytes_are_positions_or_refused(
    coding: str, content: bytes, size: int, kept: int
) -> None:
    try:
        places = decoded(coding, np.frombuffer(content, np.uint8), size, kept)
    except ValueError:
        return
    assert places.size == kept
    assert (np.diff(places, prepend=-1) > 0).all()
    assert (places < size).all()
