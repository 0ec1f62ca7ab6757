"""Weights that share memory are refused; neighbours in one piece of memory are not."""

from __future__ import annotations

import numpy as np
import pytest
import swiftforce as sf
from swiftforce.inputs import lies_in, spans

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

FLOATS = np.float32([[1, -2, 3], [4, 5, -6]])


A, B = np.float32([[1, 2]]), np.float32([3])


@pytest.mark.parametrize("function", ["magnitude", "saliency", "MaskSearch"])
def test_a_shared_tensor_is_to_be_passed_once(function: str) -> None:
    options = {"criterion": "magnitude"} if function == "saliency" else {"keep": 1}
    with pytest.raises(
        sf.OverlapError, match=r"^weights\['out'\] shares memory with weights\['in'\]"
    ):
        getattr(sf, function)({"in": A, "x": B, "out": A}, **options)
    with pytest.raises(sf.OverlapError, match=r"^weights\[1\] shares memory with weights\[0\]"):
        getattr(sf, function)([A, A.reshape(2, 1)], **options)


def test_tensors_that_overlap_in_part() -> None:
    whole = np.float32([1, 2, 3, 4])
    for call in (
        lambda: sf.magnitude([whole[:3], whole[1:]], keep=1),
        lambda: sf.saliency([whole[:3], whole[1:]], criterion="magnitude"),
    ):
        with pytest.raises(sf.OverlapError, match=r"^weights\[1\] shares memory with"):
            call()


def test_neighbours_in_one_arena_do_not_overlap() -> None:
    arena = np.arange(1, 9, dtype=np.float32)
    found = sf.magnitude([arena[4:], arena[:4], arena[4:4]], keep=3).masks
    assert [mask.tolist() for mask in found] == [[False, True, True, True], [False] * 4, []]


def test_where_arrays_lie() -> None:
    memory = np.zeros(20, np.float32)
    places = spans([memory[10:14], memory[:0], memory[2:5]])
    assert [position for _, _, position in places] == [2, 0]
    for start in range(20):
        for end in range(start, 21):
            expected = any(i in (2, 3, 4, 10, 11, 12, 13) for i in range(start, end))
            assert lies_in(memory[start:end], places) is expected
    assert not lies_in(memory, [])
