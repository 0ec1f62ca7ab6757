"""Nested mappings and sequences of arrays: results mirror them, and names join their keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from oracle import assert_same_masks
from swiftforce.inputs import node_from

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


STRUCTURES: dict[str, Any] = {
    "two levels": {"a": {"weight": floats(1, -2)}, "b": {"weight": floats(3), "v": floats(4, 5)}},
    "layers of a list": [{"w": floats(1, 2)}, {"w": floats(3)}, {"w": floats(4, 5)}],
    "tuples": (floats(1), (floats(2), (floats(3, 4), floats(5)))),
    "mixed depth": {"head": floats(1, 2), "body": [floats(3), {"k": (floats(4), floats(5))}]},
    "empty parts": {"a": {}, "b": [], "c": {"w": floats(1, 2, 3)}, "d": (floats(4), ())},
    "keys of any kind": {1: {None: floats(1)}, ("x", 2): [floats(2, 3)], "s": floats(4, 5)},
    "read-only mapping": MappingProxyType({"a": MappingProxyType({"w": floats(1, 2, 3, 4)})}),
}


def flat(value: Any, path: str = "") -> dict[str, np.ndarray]:
    """The arrays by name, found here by other means."""
    if isinstance(value, np.ndarray):
        return {path: value}
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    found: dict[str, np.ndarray] = {}
    for key, one in items:
        found |= flat(one, f"{path}/{key}" if path else str(key))
    return found


def shape(value: Any) -> Any:
    """The structure without the arrays."""
    if isinstance(value, np.ndarray):
        return "array"
    if isinstance(value, Mapping):
        return {key: shape(one) for key, one in value.items()}
    return type(value)(shape(one) for one in value)


def contents(value: Any) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in flat(value).items()}


def mapped(function: Any, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return function(value)
    if isinstance(value, Mapping):
        return {key: mapped(function, one) for key, one in value.items()}
    return type(value)(mapped(function, one) for one in value)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_everything_takes_and_returns_the_structure(kind: str, tmp_path: Path) -> None:
    weights = STRUCTURES[kind]
    plain = flat(weights)
    grads = mapped(lambda array: array[::-1].copy(), weights)
    options: dict[str, Any] = {"keep": 2, "steps": 2}
    found = sf.force(weights, lambda masked: mapped(lambda a: a + np.float32(1), masked), **options)
    expected = sf.force(
        plain, lambda masked: {k: a + np.float32(1) for k, a in masked.items()}, **options
    )
    assert shape(found.masks) == shape(weights)
    assert_same_masks(flat(found.masks), expected.masks)
    assert found.layers == expected.layers
    assert [layer.name for layer in found.layers] == list(plain)
    for pruning, other in (
        (sf.snip(weights, grads, keep=2), sf.snip(plain, flat(grads), keep=2)),
        (sf.magnitude(weights, keep=2), sf.magnitude(plain, keep=2)),
        (
            sf.iterative_snip(weights, lambda _: grads, initial_masks=found, keep=1, steps=1),
            sf.iterative_snip(
                plain, lambda _: flat(grads), initial_masks=expected, keep=1, steps=1
            ),
        ),
    ):
        assert shape(pruning.masks) == shape(weights)
        assert_same_masks(flat(pruning.masks), other.masks)
    for value, other in (
        (sf.saliency(weights, grads), sf.saliency(plain, flat(grads))),
        (sf.select(grads, keep=2), sf.select(flat(grads), keep=2)),
        (sf.apply_masks(weights, found), sf.apply_masks(plain, expected)),
        (sf.apply_masks(weights, found.masks), sf.apply_masks(plain, expected)),
        (sf.checks.shuffle(found, seed=1), sf.checks.shuffle(expected, seed=1)),
        (sf.checks.invert(found.masks, seed=1), sf.checks.invert(expected, seed=1)),
        (
            sf.checks.invert(found, scores=sf.saliency(weights, grads)),
            sf.checks.invert(expected, scores=sf.saliency(plain, flat(grads))),
        ),
    ):
        assert shape(value) == shape(weights)
        assert contents(value) == contents(other)
    assert sf.checks.layer_densities(found.masks) == sf.checks.layer_densities(expected)
    found.save(tmp_path / "masks")
    loaded = sf.load(tmp_path / "masks", weights)
    assert shape(loaded.masks) == shape(mapped_keys(weights))
    assert_same_masks(flat(loaded.masks), expected.masks)
    assert contents(sf.apply_masks(weights, loaded)) == contents(sf.apply_masks(plain, loaded))


def mapped_keys(value: Any) -> Any:
    """With keys as strings, as a file has them."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Mapping):
        return {str(key): mapped_keys(one) for key, one in value.items()}
    return type(value)(mapped_keys(one) for one in value)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_a_search_of_several_steps(kind: str, tmp_path: Path) -> None:
    weights = STRUCTURES[kind]
    masked = mapped(np.zeros_like, weights)
    search = sf.MaskSearch(weights, keep=2, steps=2, masked_weights=masked)
    assert shape(search.masked_weights) == shape(search.masks) == shape(weights)
    search.step(mapped(lambda a: a + np.float32(1), search.masked_weights))
    search.save(tmp_path / "search")
    other = sf.MaskSearch.resume(tmp_path / "search", weights)
    for one in (search, other):
        one.step(mapped(lambda a: a + np.float32(1), one.masked_weights))
        assert shape(one.result().masks) == shape(weights)
    assert search.history == other.history
    assert contents(masked) == contents(sf.apply_masks(weights, search.result()))


def test_in_place() -> None:
    weights = {"a": {"w": floats(1, -2)}, "b": [floats(3)]}
    arrays = flat(weights)
    masks = {"b": [np.array([True])], "a": {"w": np.array([False, True])}}
    assert sf.apply_masks(weights, masks, out=weights) is weights
    assert {name: array.tolist() for name, array in arrays.items()} == {"a/w": [0, -2], "b/0": [3]}


W, V = floats(1, 2), floats(3)


@pytest.mark.parametrize(
    ("gradients", "text"),
    [
        ({"a": {"w": W}}, "^gradients lack 'b', which weights have"),
        ({"a": {}, "b": [V]}, r"^gradients\['a'\] lack 'w', which weights\['a'\] have"),
        (
            {"a": {"w": W, "x": W}, "b": [V]},
            r"^gradients\['a'\] have 'x', which weights\['a'\] lack",
        ),
        ({"a": [W], "b": [V]}, r"^gradients\['a'\] must be a mapping .* as weights\['a'\] is"),
        ({"a": W, "b": [V]}, r"^gradients\['a'\] must be a mapping .* not ndarray"),
        ({"a": {"w": W}, "b": V}, r"^gradients\['b'\] must be a sequence .* not ndarray"),
        (
            {"a": {"w": W}, "b": [V, V]},
            r"^gradients\['b'\] hold 2 arrays where weights\['b'\] hold 1",
        ),
        ({"a/w": W, "b/0": V}, "^gradients lack 'a', 'b'"),
    ],
)
def test_structures_that_differ(gradients: Any, text: str) -> None:
    with pytest.raises(sf.StructureError, match=text):
        sf.snip({"a": {"w": W}, "b": [V]}, gradients, keep=1)


@pytest.mark.parametrize(
    ("weights", "error", "text"),
    [
        ({"a": {"w": 1.0}}, sf.UnsupportedTypeError, r"^weights\['a'\]\['w'\] is a float, not an"),
        ({"a": {"w": [1.0]}}, sf.UnsupportedTypeError, r"^weights\['a'\]\['w'\] is a list, not an"),
        ([[1.0, 2.0]], sf.UnsupportedTypeError, r"^weights\[0\] is a list, .* np.array"),
        ({"a": [W, None]}, sf.UnsupportedTypeError, r"^weights\['a'\]\[1\] is a NoneType"),
        ({"a": {"w": W.astype(int)}}, sf.UnsupportedTypeError, r"\['a'\]\['w'\] has dtype int64"),
        ({"a": {"w": np.ones((2, 3), "f4").T}}, sf.LayoutError, r"\['a'\]\['w'\] is not C-contig"),
        (
            {"a": [[1.0, 2.0], [3.0, 4.0]]},
            sf.UnsupportedTypeError,
            r"^weights\['a'\] is a list, not",
        ),
        ([[[[1], [2]], ((3,), (4,))]], sf.UnsupportedTypeError, r"^weights\[0\] is a list, not"),
        ({"a": [[1.0], W]}, sf.UnsupportedTypeError, r"^weights\['a'\]\[0\] is a list, not"),
        (
            {"a": {"b": W}, "c": V, "a/b": V},
            sf.StructureError,
            "equal as text: 'a/b'; keys of nested mappings are joined with '/': rename one of",
        ),
        ({1: W, "1": V, "c": V}, sf.StructureError, "equal as text: '1'; keys"),
        ({"a": {}, "b": [()]}, sf.StructureError, "hold no elements"),
        (
            {"a": {"w": W}, "b": (W,)},
            sf.OverlapError,
            r"weights\['b'\]\[0\] shares .*\['a'\]\['w'\]",
        ),
    ],
)
def test_what_is_refused(weights: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        sf.magnitude(weights, keep=1)


def test_a_leaf_that_is_no_array() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match=r"^gradients\['a'\] is a dict, not an array"):
        sf.snip({"a": W}, {"a": {"w": W}}, keep=1)


def test_structures_that_contain_themselves() -> None:
    circle: dict[str, Any] = {"w": W}
    circle["again"] = circle
    deep: Any = W
    for _ in range(5000):
        deep = [deep]
    twice: list[Any] = []
    twice += [twice, [1.0, twice]]
    for weights in (circle, deep, twice):
        with pytest.raises(sf.StructureError, match="nested more than 100 deep"):
            sf.magnitude(weights, keep=1)


@pytest.mark.parametrize(
    "described",
    [
        7,
        None,
        [],
        "set",
        ["set", ["a"], [None]],
        ["mapping", ["a"], []],
        ["mapping", [1], [None]],
        ["mapping", ["a", "a"], [None, None]],
        ["mapping", ["a", "b"], [None, None]],
        ["mapping", ["a"], [7]],
        ["mapping", "a", [None]],
    ],
)
def test_structures_that_files_must_not_have(described: Any) -> None:
    with pytest.raises(ValueError, match="structure"):
        node_from(described, ["one", "two", "three"])


def test_a_structure_in_a_file_that_is_too_deep() -> None:
    described: Any = ["list", ["0"], [None]]
    for _ in range(300):
        described = ["list", ["0"], [described]]
    with pytest.raises(ValueError, match="structure"):
        node_from(described, ["w"])


# ------------------------------------------------------------------------- arrays of others


class Frame:
    """As pandas' DataFrame: it converts by itself, and is also a container of columns."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._values

    def __getitem__(self, column: int) -> np.ndarray:
        return self._values[:, column]

    def __len__(self) -> int:
        return len(self._values)


def test_frames_are_arrays_wherever_they_are() -> None:
    values = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    expected = sf.magnitude(values, keep=2).masks
    assert_same_masks(sf.magnitude(Frame(values), keep=2).masks, expected)
    found = sf.snip({"a": {"w": Frame(values)}}, {"a": {"w": Frame(values)}}, keep=2)
    assert_same_masks(found.masks["a"]["w"], expected)
    assert sf.apply_masks([Frame(values)], [Frame(expected)])[0].tolist() == [[0] * 3, [0, 5, 6]]
    with pytest.raises(sf.LayoutError, match=r"not C-contiguous: .* np\.ascontiguousarray"):
        sf.magnitude(Frame(np.asfortranarray(values)), keep=2)
    with pytest.raises(sf.UnsupportedTypeError, match="only a numpy array can be written"):
        sf.apply_masks(values, expected, out=Frame(values))


def test_objects_that_say_how_they_convert() -> None:
    class Sparse:
        def toarray(self) -> np.ndarray: ...

    class Column:
        def to_numpy(self) -> np.ndarray: ...

    for value, text in ((Sparse(), r" Sparse.*\.toarray\(\)$"), (Column(), r"\.to_numpy\(\)$")):
        for weights in (value, {"a": value}, {"a": {"b": value}}):
            with pytest.raises(sf.UnsupportedTypeError, match=text):
                sf.magnitude(weights, keep=1)
