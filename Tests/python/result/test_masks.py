"""Masks applied to weights."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from interrupts import interrupted_calls
from kinds import network

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def bools(text: str) -> np.ndarray:
    return np.array([letter == "1" for letter in text], bool)


# ------------------------------------------------------------------------- apply_masks


@given(st.integers(0, 2**32 - 1))
def test_applied_as_by_the_oracle(seed: int) -> None:
    weights, gradients = network(seed)
    masks = sf.snip(weights, gradients, sparsity=0.6).masks
    before = [array.tobytes() for array in (*weights, *masks)]
    found = sf.apply_masks(weights, masks)
    for array, expected in zip(found, oracle.masked(weights, masks), strict=True):
        assert array.tobytes() == expected.tobytes()
    assert [array.tobytes() for array in (*weights, *masks)] == before
    assert not any(np.shares_memory(a, w) for a, w in zip(found, weights, strict=True))


def test_a_choice_and_not_a_product() -> None:
    weights = floats(math.nan, -1, math.inf, math.nan, -0.0)
    found = sf.apply_masks(weights, bools("00011"))
    assert found.tobytes() == floats(0, 0, 0, math.nan, -0.0).tobytes()


def test_in_place() -> None:
    weights = {"a": floats(1, -2), "b": floats(3)}
    arrays = list(weights.values())
    found = sf.apply_masks(weights, {"b": bools("1"), "a": bools("10")}, out=weights)
    assert found is weights
    assert [array.tolist() for array in arrays] == [[1, 0], [3]]


def test_into_other_arrays() -> None:
    weights, out = [floats(1, 2)], [floats(8, 9)]
    assert sf.apply_masks(weights, [bools("01")], out=out) is out
    assert out[0].tolist() == [0, 2]
    assert weights[0].tolist() == [1, 2]


def test_into_a_view_of_the_weights() -> None:
    weights = floats(1, 2, 3)
    sf.apply_masks(weights, bools("101"), out=weights[:])
    assert weights.tolist() == [1, 0, 3]


def read_only(*values: float) -> np.ndarray:
    array = floats(*values)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (read_only(8, 9), sf.LayoutError, "is read-only and would be written"),
        (np.zeros(2, int), sf.UnsupportedTypeError, "has dtype int64 where float16"),
        (floats(1), sf.ShapeError, r"has shape \(1,\) where weights\['b'\] has \(2,\)"),
        (np.zeros(4, np.float32)[::2], sf.LayoutError, "is not C-contiguous"),
        ([1.0, 2.0], sf.UnsupportedTypeError, "is a list, not an array"),
    ],
)
def test_outputs_that_are_refused_are_all_left_alone(wrong: Any, error: type, text: str) -> None:
    weights = {"a": floats(1, 2), "b": floats(3, 4)}
    masks = {"a": bools("00"), "b": bools("00")}
    out = {"a": floats(5, 6), "b": wrong}
    with pytest.raises(error, match=rf"^out\['b'\] {text}"):
        sf.apply_masks(weights, masks, out=out)
    assert out["a"].tolist() == [5, 6]
    assert weights["b"].tolist() == [3, 4]


def test_structures_that_differ() -> None:
    with pytest.raises(sf.StructureError, match=r"^masks lack 'a'"):
        sf.apply_masks({"a": floats(1)}, {})
    with pytest.raises(sf.StructureError, match=r"^out must be a mapping"):
        sf.apply_masks({"a": floats(1)}, {"a": bools("1")}, out=floats(1))


def test_outputs_that_overlap_other_weights_are_refused_or_right() -> None:
    a, b = floats(1, 2), floats(3, 4)
    masks = {"a": bools("11"), "b": bools("11")}
    try:
        sf.apply_masks({"a": a, "b": b}, masks, out={"a": b, "b": a})
    except sf.OverlapError:
        return
    assert (b.tolist(), a.tolist()) == ([1, 2], [3, 4])


def test_a_numpy_scalar_is_no_output() -> None:
    with pytest.raises(sf.SwiftForceError):
        sf.apply_masks(np.array(1, np.float32), np.array(False), out=np.float32(5))


# ------------------------------------------------------------------------- the masks of a result


WEIGHTS = {"a": floats(1, -2, 3), "b": floats(4, 5)}
FOUND = sf.magnitude(WEIGHTS, keep=3)


@pytest.mark.parametrize("structure", [lambda w: w, lambda w: [*w.values()], lambda w: w["a"]])
def test_a_result_is_applied_as_its_masks_are(structure: Any) -> None:
    weights = structure(WEIGHTS)
    found = sf.magnitude(weights, keep=2)
    expected = sf.apply_masks(weights, found.masks)
    shown = sf.apply_masks(weights, found)
    assert type(shown) is type(expected)
    assert str(shown) == str(expected)


def test_a_result_is_applied_in_place() -> None:
    weights = {name: weight.copy() for name, weight in WEIGHTS.items()}
    assert sf.apply_masks(weights, FOUND, out=weights) is weights
    assert {name: weight.tolist() for name, weight in weights.items()} == {
        "a": [0, 0, 3],
        "b": [4, 5],
    }


def test_the_tensors_of_a_result_go_by_their_names() -> None:
    found = sf.apply_masks({"b": floats(4, 5), "a": floats(1, -2, 3)}, FOUND)
    assert [(name, weight.tolist()) for name, weight in found.items()] == [
        ("b", [4, 5]),
        ("a", [0, 0, 3]),
    ]


def test_names_that_became_strings_in_a_file(tmp_path: Path) -> None:
    weights = {1: floats(1, 2), ("x", 2): floats(3)}
    sf.magnitude(weights, keep=2).save(tmp_path / "m")
    found = sf.apply_masks(weights, sf.load(tmp_path / "m"))
    assert {name: weight.tolist() for name, weight in found.items()} == {1: [0, 2], ("x", 2): [3]}


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ({"a": floats(1, 2, 3)}, "'b' missing$"),
        ({**WEIGHTS, "c": floats(1)}, "'c' unknown$"),
        ({"a": floats(1, 2, 3), "b": floats(1)}, r"'b' has shape \(1,\), not \(2,\)$"),
        ([*WEIGHTS.values()], "'a', 'b' missing; '0', '1' unknown$"),
    ],
)
def test_a_result_of_other_weights_is_refused(weights: Any, text: str) -> None:
    with pytest.raises(
        sf.WeightsDifferError,
        match=f"^the masks of magnitude do not fit the weights: {text}",
    ):
        sf.apply_masks(weights, FOUND)


# ------------------------------------------------------------------------- outputs


def test_outputs_of_another_type_are_refused() -> None:
    weights, masks = [floats(1, 2), np.array([3.0, 4.0])], [bools("11"), bools("01")]
    for wrong in ([np.zeros(2), np.zeros(2)], [floats(0, 0), floats(0, 0)]):
        with pytest.raises(sf.UnsupportedTypeError, match=r"^out\[[01]\] has dtype float.* where"):
            sf.apply_masks(weights, masks, out=wrong)
        assert not any(array.any() for array in wrong)


@pytest.mark.parametrize(
    ("places", "outputs", "text"),
    [
        ([(0, 4), (4, 8)], [(10, 14), (12, 16)], r"out\[1\] shares memory with out\[0\]"),
        ([(0, 4), (4, 8)], [(10, 14), (10, 14)], r"out\[[01]\] shares memory with out\[[01]\]"),
        ([(0, 4), (4, 8)], [(4, 8), (0, 4)], r"out\[[01]\] shares memory with weights\[[01]\]"),
        ([(0, 4), (4, 8)], [(1, 5), (10, 14)], r"out\[0\] shares memory with weights\[[01]\]"),
        ([(4, 8), (0, 4)], [(10, 14), (3, 7)], r"out\[1\] shares memory with weights\[[01]\]"),
        ([(0, 4), (0, 4)], [(0, 4), (10, 14)], r"out\[0\] shares memory with weights\[1\]"),
        ([(0, 4), (2, 6)], [(0, 4), (10, 14)], r"out\[0\] shares memory with weights\[1\]"),
    ],
)
def test_outputs_that_overlap_are_refused(places: Any, outputs: Any, text: str) -> None:
    memory = np.arange(1, 41, dtype=np.float32)
    before = memory.tobytes()
    weights = [memory[slice(*place)] for place in places]
    out = [memory[slice(*place)] for place in outputs]
    with pytest.raises(sf.OverlapError, match=text):
        sf.apply_masks(weights, [bools("0110")] * 2, out=out)
    assert memory.tobytes() == before


def test_outputs_in_the_memory_of_masks_are_refused() -> None:
    masks = np.ones(8, bool)
    out = masks.view(np.float32)
    with pytest.raises(sf.OverlapError, match=r"^out shares memory with masks"):
        sf.apply_masks(floats(1, 2), masks[2:4], out=out)
    assert masks.all()


def test_some_outputs_may_be_the_weights_themselves() -> None:
    memory = np.arange(1, 9, dtype=np.float32)
    weights, masks = [memory[:2], memory[2:4], memory[2:2]], [bools("01"), bools("10"), bools("")]
    out = [memory[:2], memory[4:6], memory[2:2]]
    assert sf.apply_masks(weights, masks, out=out) is out
    assert memory.tolist() == [0, 2, 3, 4, 3, 0, 7, 8]
    # Weights that share memory are no matter where they are only read.
    tied = [memory[:2], memory[:2]]
    assert [a.tolist() for a in sf.apply_masks(tied, [bools("01")] * 2)] == [[0, 2]] * 2


@pytest.mark.parametrize("names", ["list", "mapping", "nested"])
def test_the_number_of_comparisons_grows_with_the_number_of_tensors(
    names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: calls of Python functions in the package."""

    def calls(n: int) -> int:
        arrays = [np.ones(4, np.float32) for _ in range(n)]
        weights: Any = arrays
        if names != "list":
            weights = {str(i): array for i, array in enumerate(arrays)}
        if names == "nested":
            weights = {name: {"w": array} for name, array in weights.items()}
        masks = sf.select(weights, keep=2 * n)
        count = 0

        def profile(*_: Any) -> None:
            nonlocal count
            count += 1

        sys.setprofile(profile)
        try:
            sf.apply_masks(weights, masks, out=weights)
        finally:
            sys.setprofile(None)
        return count

    assert calls(400) < 4.5 * calls(100)


def test_outputs_are_all_written_or_none() -> None:
    shown = [floats(1, 2), floats(3, 4), floats(5, 6)]
    masks = [bools("01"), bools("10"), bools("01")]
    whole = [[0, 2], [3, 0], [0, 6]]
    states = []
    for weights in interrupted_calls(
        lambda: [array.copy() for array in shown],
        lambda weights: sf.apply_masks(weights, masks, out=weights),
    ):
        found = [array.tolist() for array in weights]
        assert found in (whole, [array.tolist() for array in shown])
        states.append(found == whole)
    assert states == sorted(states)
    assert set(states) == {False, True}
