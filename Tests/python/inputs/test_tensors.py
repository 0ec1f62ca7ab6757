"""Structures of arrays: results mirror them; what does not fit is refused, named, left alone."""

from __future__ import annotations

from array import array as typed_array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from oracle import assert_same_masks
from swiftforce.inputs.nesting import Node
from swiftforce.inputs.tensors import Tensors

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

FLOATS = np.float32([[1, -2, 3], [4, 5, -6]])


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def misaligned(n: int) -> np.ndarray:
    return np.frombuffer(bytes(4 * n + 1), np.float32, offset=1)


# ------------------------------------------------------------------------- what fits


@pytest.mark.parametrize(
    ("weights", "kind"),
    [
        ({"a": FLOATS, "b": floats(7, 8)}, dict),
        (OrderedDict(b=floats(1, 2), a=FLOATS), dict),
        (MappingProxyType({"a": FLOATS}), dict),
        ([FLOATS, floats(7, 8)], list),
        ((FLOATS, floats(7, 8)), tuple),
        (FLOATS, np.ndarray),
        (np.array(3, np.float32), np.ndarray),
        (np.arange(1, 33, dtype=np.float32).reshape(2, 2, 2, 2, 2), np.ndarray),
        ([np.empty((0, 4), np.float32), floats(1, 2)], list),
    ],
)
def test_results_mirror_the_structure(weights: Any, kind: type) -> None:
    def flat(value: Any) -> dict[Any, np.ndarray]:
        if isinstance(value, np.ndarray):
            return {"": value}
        return dict(value) if hasattr(value, "keys") else dict(enumerate(value))

    for found, dtype in (
        (sf.magnitude(weights, sparsity=0.5).masks, bool),
        (sf.saliency(weights, criterion="magnitude"), np.float32),
        (sf.select(weights, sparsity=0.5), bool),
        (sf.MaskSearch(weights, keep=1).masks, bool),
        (sf.MaskSearch(weights, keep=1).masked_weights, np.float32),
        (sf.apply_masks(weights, sf.magnitude(weights, keep=1).masks), np.float32),
    ):
        assert type(found) is kind
        assert list(flat(found)) == list(flat(weights))
        for array, weight in zip(flat(found).values(), flat(weights).values(), strict=True):
            assert (array.shape, array.dtype) == (weight.shape, dtype)


def test_gradients_see_the_structure_of_the_weights() -> None:
    seen = []

    def gradients(masked: Any) -> Any:
        seen.append(masked)
        return masked.__class__(masked) if isinstance(masked, dict) else masked

    sf.snip({"a": FLOATS}, gradients, keep=2)
    sf.snip((FLOATS,), gradients, keep=2)
    sf.snip(FLOATS, gradients, keep=2)
    assert [type(item) for item in seen] == [dict, tuple, np.ndarray]


def test_the_order_of_a_mapping_of_gradients_does_not_matter() -> None:
    weights = {"a": floats(1, 2), "b": floats(3, 4)}
    straight = {"a": floats(9, 0), "b": floats(1, 2)}
    turned = {"b": straight["b"], "a": straight["a"]}
    found = sf.snip(weights, turned, keep=2).masks
    assert_same_masks(found, sf.snip(weights, straight, keep=2).masks)
    assert_same_masks(found, {"a": np.array([True, False]), "b": np.array([False, True])})


def test_a_sequence_may_be_matched_by_another_kind_of_sequence() -> None:
    found = sf.snip([floats(1, 2)], (floats(1, 1),), keep=1)
    assert_same_masks(found.masks, [np.array([False, True])])


def test_names_that_are_no_strings() -> None:
    weights = {1: floats(1, 2), ("conv", 3): floats(3, 4), None: floats(5)}
    found = sf.snip(weights, weights, keep=2)
    assert list(found.masks) == [1, ("conv", 3), None]
    assert [layer.name for layer in found.layers] == ["1", "('conv', 3)", "None"]
    with pytest.raises(sf.ShapeError, match=r"gradients\[\('conv', 3\)\] has shape \(1,\)"):
        sf.snip(weights, {**weights, ("conv", 3): floats(1)}, keep=2)


def test_memory_mapped_read_only_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.npy"
    values = np.random.default_rng(0).standard_normal((300, 50)).astype(np.float32)
    np.save(path, values)
    content = path.read_bytes()
    mapped = np.load(path, mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    found = sf.force(mapped, lambda w: w + np.float32(1), sparsity=0.9, steps=4)
    expected = sf.force(values, lambda w: w + np.float32(1), sparsity=0.9, steps=4)
    assert_same_masks(found.masks, expected.masks)
    assert type(found.masks) is np.ndarray
    assert path.read_bytes() == content


def test_read_only_inputs() -> None:
    weights, gradients = FLOATS.copy(), FLOATS.copy()
    weights.flags.writeable = gradients.flags.writeable = False
    masks = sf.snip(weights, gradients, keep=2).masks
    masks.flags.writeable = False
    assert sf.apply_masks(weights, masks).tolist() == [[0, 0, 0], [0, 5, -6]]


def test_zero_and_five_dimensions() -> None:
    weights = {"scalar": np.array(2, np.float32), "deep": np.ones((1, 2, 1, 2, 1), np.float32)}
    found = sf.snip(weights, weights, keep=2)
    assert found.masks["scalar"].shape == ()
    assert found.masks["scalar"]
    assert found.masks["deep"].ravel().tolist() == [True, False, False, False]
    assert [layer.shape for layer in found.layers] == [(), (1, 2, 1, 2, 1)]


def test_rows_of_a_matrix_are_tensors() -> None:
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = sf.magnitude(list(matrix), keep=5).masks
    assert [mask.sum() for mask in found] == [0, 1, 4]


# ------------------------------------------------------------------------- what does not fit

#: A wrong array in place of a float32 vector of two: (array, error, part of the message).
WRONG_ARRAYS: dict[str, tuple[Any, type, str]] = {
    "longdouble": (np.array([1, 2], np.longdouble), sf.UnsupportedTypeError, "has dtype float128"),
    "int64": (np.array([1, 2]), sf.UnsupportedTypeError, "has dtype int64"),
    "bool": (np.array([True, False]), sf.UnsupportedTypeError, "has dtype bool"),
    "complex": (
        np.array([1j, 2]),
        sf.UnsupportedTypeError,
        r"has dtype complex128, and complex numbers are not supported: .* \.view\('float64'\)$",
    ),
    "narrow complex": (
        np.array([1j, 2], np.complex64),
        sf.UnsupportedTypeError,
        r"has dtype complex64, and complex numbers are not supported: .* \.view\('float32'\)$",
    ),
    "object": (np.array([1.0, None]), sf.UnsupportedTypeError, "has dtype object"),
    "string": (np.array(["1", "2"]), sf.UnsupportedTypeError, "has dtype <U1"),
    "big-endian": (np.array([1, 2], ">f4"), sf.UnsupportedTypeError, "has dtype >f4 .* float32"),
    "structured": (np.zeros(2, "f4,f4"), sf.UnsupportedTypeError, "has dtype .*: pass each"),
    "list": ([1.0, 2.0], sf.UnsupportedTypeError, "is a list, not an array"),
    "number": (1.0, sf.UnsupportedTypeError, "is a float, not an array"),
    "none": (None, sf.UnsupportedTypeError, "is a NoneType, not an array"),
    "text": ("weights", sf.UnsupportedTypeError, "is a str, not an array"),
    "class": (np.float32, sf.UnsupportedTypeError, "is a type, not an array"),
    "list of numbers": (
        [1, 2],
        sf.UnsupportedTypeError,
        "is a list, .* make an array of it with np.array",
    ),
    "memoryview": (
        memoryview(b"12"),
        sf.UnsupportedTypeError,
        r"is a memoryview, .* np\.asarray of",
    ),
    "bytearray": (bytearray(8), sf.UnsupportedTypeError, "is a bytearray, .* np.asarray of it"),
    "typed array": (
        typed_array("f", [1, 2]),
        sf.UnsupportedTypeError,
        "is a array, .* np.asarray of it",
    ),
    "array of arrays": (
        np.array([floats(1), floats(1, 2)], object),
        sf.UnsupportedTypeError,
        "has dtype object and holds arrays: pass a list",
    ),
    "masked": (
        np.ma.masked_array(floats(1, 2), [True, False]),
        sf.UnsupportedTypeError,
        r"is a masked array: pass its \.data",
    ),
}

#: Right, but for their places in memory.
WRONG_LAYOUTS: dict[str, tuple[Any, type, str]] = {
    "strided": (np.zeros(4, np.float32)[::2], sf.LayoutError, "is not C-contiguous: copy it"),
    "reversed": (np.zeros(2, np.float32)[::-1], sf.LayoutError, "is not C-contiguous: copy it"),
    "broadcast": (np.broadcast_to(np.float32(1), 2), sf.LayoutError, "is not C-contiguous: copy"),
    "misaligned": (misaligned(2), sf.LayoutError, "is not aligned in memory: copy it"),
}

#: Wrong as the counterpart of another array only.
WRONG_SHAPES: dict[str, tuple[Any, type, str]] = {
    "longer": (floats(1, 2, 3), sf.ShapeError, r"has shape \(3,\) where .* has \(2,\)"),
    "shorter": (floats(1), sf.ShapeError, r"has shape \(1,\) where .* has \(2,\)"),
    "empty": (floats(), sf.ShapeError, r"has shape \(0,\) where .* has \(2,\)"),
    "matrix": (FLOATS[:1, :2].copy(), sf.ShapeError, r"has shape \(1, 2\) where .* has \(2,\)"),
}


def assert_refused(call: Callable[[], Any], error: type, text: str) -> None:
    builtin = TypeError if issubclass(error, TypeError) else ValueError
    with pytest.raises(error, match=text) as caught:
        call()
    assert type(caught.value) is error
    assert isinstance(caught.value, builtin)
    assert isinstance(caught.value, sf.SwiftForceError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [*WRONG_ARRAYS, *WRONG_LAYOUTS])
def test_weights_that_are_refused(wrong: str) -> None:
    array, error, text = {**WRONG_ARRAYS, **WRONG_LAYOUTS}[wrong]
    good = floats(1, 2)
    named, listed = {"fine": good, "fc": array}, [good, array]
    for call in (
        lambda w: sf.magnitude(w, keep=1),
        lambda w: sf.MaskSearch(w, keep=1),
        lambda w: sf.saliency(w, criterion="magnitude"),
        lambda w: sf.apply_masks(w, {}),
    ):
        assert_refused(lambda call=call: call(named), error, rf"^weights\['fc'\] {text}")
        assert_refused(lambda call=call: call(listed), error, rf"^weights\[1\] {text}")
    assert_refused(lambda: sf.select(named, keep=1), error, rf"^scores\['fc'\] {text}")


@pytest.mark.parametrize("wrong", [*WRONG_ARRAYS, *WRONG_SHAPES])
def test_gradients_that_are_refused(wrong: str) -> None:
    array, error, text = {**WRONG_ARRAYS, **WRONG_SHAPES}[wrong]
    weights = {"fine": floats(1, 2), "fc": floats(3, 4)}
    gradients = {"fc": array, "fine": floats(5, 6)}
    before = [item.tobytes() for item in (*weights.values(), gradients["fine"])]
    search = sf.MaskSearch(weights, keep=1)
    for call in (
        lambda: sf.snip(weights, gradients, keep=1),
        lambda: sf.saliency(weights, gradients),
        lambda: sf.force(weights, lambda _: gradients, keep=1),
        lambda: search.step(gradients),
    ):
        assert_refused(call, error, rf"^gradients\['fc'\] {text}")
    assert search.taken == 0
    after = [item.tobytes() for item in (*weights.values(), gradients["fine"])]
    assert after == before


@pytest.mark.parametrize("wrong", sorted({*WRONG_ARRAYS, *WRONG_LAYOUTS} - {"bool", "misaligned"}))
def test_masks_that_are_refused(wrong: str) -> None:
    array, error, text = {**WRONG_ARRAYS, **WRONG_LAYOUTS}[wrong]
    if "complex" in wrong:
        text = "has dtype complex.* where bool is needed"
    if error is sf.LayoutError:
        array = np.array([True, False, True, False])[::2]
    text = text.replace("where float32", "where bool").replace(".* float32", ".* bool")
    weights = {"fc": floats(1, 2)}
    assert_refused(lambda: sf.apply_masks(weights, {"fc": array}), error, rf"^masks\['fc'\] {text}")


def test_float_masks_are_refused() -> None:
    assert_refused(
        lambda: sf.apply_masks(floats(1), floats(1)),
        sf.UnsupportedTypeError,
        "^masks has dtype float32 where bool is needed",
    )


@pytest.mark.parametrize("weights", [{}, [], (), floats(), [floats()], {"a": floats()}])
def test_no_elements(weights: Any) -> None:
    for call in (
        lambda: sf.magnitude(weights, keep=1),
        lambda: sf.MaskSearch(weights, sparsity=0.5),
        lambda: sf.saliency(weights, criterion="magnitude"),
    ):
        assert_refused(call, sf.StructureError, "^weights hold no elements")
    assert_refused(
        lambda: sf.select(weights, keep=1), sf.StructureError, "^scores hold no elements"
    )


@pytest.mark.parametrize("weights", [None, 1.0, "weights", b"weights", {1.0}, iter([])])
def test_what_is_no_structure(weights: Any) -> None:
    assert_refused(
        lambda: sf.magnitude(weights, keep=1),
        sf.UnsupportedTypeError,
        f"^weights must be an array, a sequence of arrays or a mapping .* {type(weights).__name__}",
    )


A, B, C = floats(1, 2), floats(3, 4), floats(5, 6)


@pytest.mark.parametrize(
    ("weights", "gradients", "text"),
    [
        ({"a": A, "b": B}, {"a": A}, "^gradients lack 'b', which weights have"),
        ({"a": A}, {"a": A, "b": B}, "^gradients have 'b', which weights lack"),
        ({"a": A}, {"b": B}, "^gradients lack 'a'"),
        ({"a": A, 1: B}, {"a": A, "1": B}, "^gradients lack 1"),
        (
            {name: floats(1) for name in "abcde"},
            {"x": A},
            "^gradients lack 'a', 'b', 'c' and 2 more",
        ),
        ({"a": A}, [A], "^gradients must be a mapping .* not list"),
        ({"a": A}, A, "^gradients must be a mapping .* not ndarray"),
        ([A], {"a": A}, "^gradients must be a sequence .* not dict"),
        ([A], A, "^gradients must be a sequence .* not ndarray"),
        ([A], iter([A]), "^gradients must be a sequence .* not list_iterator"),
        ([A, B], [A], "^gradients hold 1 arrays where weights hold 2"),
        ([A], [A, B], "^gradients hold 2 arrays where weights hold 1"),
        ((A,), (), "^gradients hold 0 arrays where weights hold 1"),
        (A, [A], "^gradients must be one array, as weights is, not list"),
        (A, {"a": A}, "^gradients must be one array, as weights is, not dict"),
    ],
)
def test_structures_that_differ(weights: Any, gradients: Any, text: str) -> None:
    for call in (
        lambda: sf.snip(weights, gradients, keep=1),
        lambda: sf.saliency(weights, gradients),
    ):
        assert_refused(call, sf.StructureError, text)


def test_gradients_whose_arrays_come_in_another_order_of_shapes() -> None:
    assert_refused(
        lambda: sf.snip([FLOATS, A], [A, FLOATS], keep=1),
        sf.ShapeError,
        r"^gradients\[0\] has shape \(2,\) where weights\[0\] has \(2, 3\)",
    )


@pytest.mark.parametrize(
    "array", [FLOATS.T, FLOATS.T.copy(), np.asfortranarray(FLOATS.T)], ids=["view", "C", "F"]
)
def test_transposed_gradients_are_told_by_their_shape(array: np.ndarray) -> None:
    """Whatever their layout: a copy of it would not help."""
    assert_refused(
        lambda: sf.snip([FLOATS], [array], keep=1),
        sf.ShapeError,
        r"^gradients\[0\] has shape \(3, 2\) where weights\[0\] has \(2, 3\): it looks transposed, "
        "pass its transpose$",
    )


def test_another_shape_is_not_said_to_be_transposed() -> None:
    with pytest.raises(sf.ShapeError) as caught:
        sf.snip(FLOATS, floats(*range(6)), keep=1)
    assert "transposed" not in str(caught.value)


@pytest.mark.parametrize("layout", ["transposed", "Fortran", "strided", "reversed", "misaligned"])
def test_gradients_of_any_layout(layout: str) -> None:
    """They are copied; weights are read in place, and are not."""
    whole = np.random.default_rng(3).standard_normal((8, 10)).astype(np.float32)
    gradients = {
        "transposed": np.ascontiguousarray(whole.T).T,
        "Fortran": np.asfortranarray(whole),
        "strided": np.repeat(whole, 2, axis=1)[:, ::2],
        "reversed": whole[::-1].copy()[::-1],
        "misaligned": misaligned(80).reshape(8, 10),
    }[layout]
    expected = np.ascontiguousarray(gradients)
    before = gradients.tobytes()
    weights = whole[:, ::-1].copy() + np.float32(1)
    for found, wanted in (
        (sf.snip(weights, gradients, keep=9).masks, sf.snip(weights, expected, keep=9).masks),
        (sf.saliency(weights, gradients), sf.saliency(weights, expected)),
        (
            sf.force(weights, lambda _: gradients, keep=9, steps=3).masks,
            sf.force(weights, lambda _: expected, keep=9, steps=3).masks,
        ),
    ):
        assert found.tobytes() == wanted.tobytes()
    assert gradients.tobytes() == before


def test_a_transposed_matrix() -> None:
    for call in (
        lambda: sf.magnitude(FLOATS.T, keep=1),
        lambda: sf.magnitude(np.asfortranarray(FLOATS), keep=1),
        lambda: sf.magnitude(FLOATS[:, :2], keep=1),
    ):
        assert_refused(call, sf.LayoutError, "^weights is not C-contiguous: copy it with")


def test_masked_arrays_are_refused() -> None:
    weights = np.ma.masked_array(np.float32([1, 2]), mask=[True, False])
    with pytest.raises(sf.UnsupportedTypeError, match="weights is a masked array"):
        sf.magnitude(weights, keep=1)


def test_a_mapping_that_has_a_key_twice_is_refused() -> None:
    class Twice(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            return np.ones(2, np.float32)

        def __iter__(self) -> Iterator[str]:
            return iter(["a", "b", "a"])

        def __len__(self) -> int:
            return 3

    with pytest.raises(sf.StructureError, match="two of the names of weights are equal"):
        Tensors(Twice(), "weights")


def test_paths_to_arrays_are_found_once() -> None:
    """Arrays that are no plain numpy arrays are labelled one by one."""

    class Calls(Node):
        walks = 0

        def paths(self, before: Any = ()) -> Any:
            Calls.walks += 1
            return super().paths(before)

    node = Calls("mapping", ("a", "b"), (None, Node("list", (0, 1))))
    assert [node.path(position) for position in range(3)] == [("a",), ("b", 0), ("b", 1)]
    assert Calls.walks == 1
