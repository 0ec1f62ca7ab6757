"""Masks at work, and masks in files: what is read is what was written, or an error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from kinds import network
from oracle import assert_same_masks
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from swiftforce.files.formats import _digest

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def bools(text: str) -> np.ndarray:
    return np.array([letter == "1" for letter in text])


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


# ------------------------------------------------------------------------- save and load


def example(structure: str = "mapping") -> sf.Pruning:
    shapes = ((7, 5), (0,), (5, 3), (), (11,), (2, 1, 2, 1, 2))
    weights, gradients = network(31, shapes)
    if structure == "array":
        return sf.force(weights[0], lambda w: gradients([w, *weights[1:]])[0], keep=9, steps=4)
    names = ["fc.1", "", "mask.0", "__metadata__", "naïve\n☃", "last"]

    def found(arrays: list[Any]) -> list[Any]:
        return [np.asarray(array, np.float32) for array in gradients(arrays)]

    if structure == "mapping":
        return sf.force(
            dict(zip(names, weights, strict=True)),
            lambda w: dict(zip(names, found(list(w.values())), strict=True)),
            keep=9,
            steps=4,
        )
    kind = {"list": list, "tuple": tuple}[structure]
    return sf.force(kind(weights), lambda w: kind(found(w)), keep=9, steps=4)


def assert_same(found: sf.Pruning, expected: sf.Pruning) -> None:
    assert type(found.masks) is type(expected.masks)
    assert_same_masks(found.masks, expected.masks)
    for name in ("layers", "history", "method", "seed", "schedule"):
        assert getattr(found, name) == getattr(expected, name)
    assert str(found) == str(expected)


@pytest.mark.parametrize("structure", ["mapping", "list", "tuple", "array"])
def test_what_is_read_is_what_was_written(structure: str, tmp_path: Path) -> None:
    pruning = example(structure)
    pruning.save(tmp_path / "masks.safetensors")
    assert_same(sf.load(tmp_path / "masks.safetensors"), pruning)
    pruning.save(str(tmp_path / "again"))
    assert_same(sf.load(str(tmp_path / "again")), pruning)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "masks.safetensors").read_bytes()


@given(st.integers(1, 70), st.data())
def test_any_mask(n: int, data: st.DataObject) -> None:
    import tempfile

    keep = data.draw(st.integers(1, n))
    pruning = sf.random(np.ones(n, np.float32), keep=keep, seed=data.draw(st.integers(0, 99)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m")
        pruning.save(path)
        assert_same(sf.load(path), pruning)


def test_a_bit_per_weight(tmp_path: Path) -> None:
    sf.random(np.ones(80_000, np.float32), sparsity=0.5).save(tmp_path / "m")
    assert 10_000 < (tmp_path / "m").stat().st_size < 12_000


def test_a_seed_of_64_bits(tmp_path: Path) -> None:
    pruning = sf.random(np.ones(8, np.float32), keep=3, seed=2**64 - 1)
    pruning.save(tmp_path / "m")
    assert sf.load(tmp_path / "m").seed == 2**64 - 1


def test_masks_read_can_be_applied_and_written_to(tmp_path: Path) -> None:
    weights = {"a": floats(1, -2, 3)}
    sf.magnitude(weights, keep=2).save(tmp_path / "m")
    masks = sf.load(tmp_path / "m").masks
    assert sf.apply_masks(weights, masks)["a"].tolist() == [0, -2, 3]
    masks["a"][0] = True


def test_names_are_strings_after_reading(tmp_path: Path) -> None:
    sf.magnitude({1: floats(1, 2), ("x", 2): floats(3)}, keep=2).save(tmp_path / "m")
    assert list(sf.load(tmp_path / "m").masks) == ["1", "('x', 2)"]


def test_names_that_are_equal_as_text_are_refused() -> None:
    with pytest.raises(sf.StructureError, match="'1', '1'"):
        sf.magnitude({1: floats(1, 2), "1": floats(3, 4)}, keep=3)


def test_a_result_on_the_way_can_be_saved(tmp_path: Path) -> None:
    weights, gradients = network(32)
    search = sf.MaskSearch(weights, keep=5, steps=3)
    search.step(gradients(search.masked_weights))
    search.result().save(tmp_path / "m")
    assert_same(sf.load(tmp_path / "m"), search.result())


# ------------------------------------------------------------------------- what a file says


def described(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    envelope = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["swiftforce-masks"])
    return json.loads(envelope["about"])


def test_a_file_says_who_wrote_it_and_what_it_holds(tmp_path: Path) -> None:
    pruning = example()
    about = described(saved(pruning, tmp_path))
    assert about["swiftforce"] == sf.__version__
    assert about["sparsity"] == pruning.sparsity
    assert about["steps"] == 4
    assert about["format_version"] == 1


def test_files_from_before_that_can_be_read(tmp_path: Path) -> None:
    def strip(about: dict, masks: dict) -> None:
        for name in ("swiftforce", "sparsity", "steps"):
            del about[name]

    pruning = example()
    found = damaged(rewritten(pruning, tmp_path, strip), tmp_path)
    assert found is not None
    assert_same(found, pruning)


@pytest.mark.parametrize("order", [1, -1])
def test_weights_that_the_masks_fit(order: int, tmp_path: Path) -> None:
    weights = {"a": floats(1, 2, 3), "b": np.ones((2, 3), np.float32)}
    sf.magnitude(weights, keep=4).save(tmp_path / "m")
    others = {name: w.astype(np.float64) for name, w in list(weights.items())[::order]}
    assert sf.load(tmp_path / "m", others).keep == 4


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ({"a": floats(1, 2, 3)}, "'b' missing$"),
        ({"a": floats(1, 2, 3), "b": np.ones((3, 2), np.float32)}, r"'b' has shape \(3, 2\), not"),
        (
            {"a": floats(1), "b": np.ones((2, 3), np.float32), "c": floats(1)},
            r"'c' unknown; 'a' has shape \(1,\), not \(3,\)$",
        ),
        ([floats(1, 2, 3), floats(3)], "'a', 'b' missing; '0', '1' unknown$"),
    ],
)
def test_weights_that_the_masks_do_not_fit(weights: Any, text: str, tmp_path: Path) -> None:
    sf.magnitude({"a": floats(1, 2, 3), "b": np.ones((2, 3), np.float32)}, keep=4).save(
        tmp_path / "m"
    )
    with pytest.raises(sf.WeightsDifferError, match=text) as caught:
        sf.load(tmp_path / "m", weights)
    assert str(tmp_path / "m") in str(caught.value)


# ------------------------------------------------------------------------- files that are wrong


def damaged(content: bytes, tmp_path: Path) -> sf.Pruning | None:
    """What is read from the bytes; None if they are refused as they should be."""
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    try:
        return sf.load(path)
    except sf.MaskFileError as error:
        assert isinstance(error, ValueError)
        assert str(path) in str(error)
        assert error.__suppress_context__ or error.__context__ is None
        return None


def saved(pruning: sf.Pruning, tmp_path: Path) -> bytes:
    pruning.save(tmp_path / "whole")
    return (tmp_path / "whole").read_bytes()


@pytest.mark.slow
def test_truncated_anywhere(tmp_path: Path) -> None:
    content = saved(example(), tmp_path)
    for length in {*range(0, len(content), 7), *range(40), len(content) - 1}:
        assert damaged(content[:length], tmp_path) is None, length


def test_longer_than_written(tmp_path: Path) -> None:
    assert damaged(saved(example(), tmp_path) + b"\0", tmp_path) is None


@pytest.mark.slow
def test_no_flipped_byte_crashes(tmp_path: Path) -> None:
    """Refused or read, but never another error; and the masks keep what the file says."""
    content = saved(example("list"), tmp_path)
    refused = 0
    for position in range(len(content)):
        spoiled = bytearray(content)
        spoiled[position] ^= 1 << position % 8
        found = damaged(bytes(spoiled), tmp_path)
        refused += found is None
        if found is not None:
            assert [int(mask.sum()) for mask in found.masks] == [m.kept for m in found.layers]
    assert refused > len(content) / 4


@pytest.mark.slow
def test_a_flipped_byte_is_refused_or_makes_no_difference(tmp_path: Path) -> None:
    pruning = example("list")
    content = saved(pruning, tmp_path)
    for position in range(len(content)):
        spoiled = bytearray(content)
        spoiled[position] ^= 1 << position % 8
        found = damaged(bytes(spoiled), tmp_path)
        if found is not None:
            assert_same(found, pruning)


@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        assert damaged(content, Path(folder)) is None


def rewritten(pruning: sf.Pruning, tmp_path: Path, change: Callable[[dict, dict], None]) -> bytes:
    """The file with other masks or another description in it."""
    content = saved(pruning, tmp_path)
    masks = load_tensors(content)
    length = int.from_bytes(content[:8], "little")
    envelope = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["swiftforce-masks"])
    about = json.loads(envelope["about"])
    change(about, masks)
    return sealed(masks, json.dumps(about))


def sealed(masks: dict, text: str) -> bytes:
    """A file with a digest that fits what is in it."""
    envelope = {"about": text, "digest": _digest(text, masks)}
    return save_tensors(masks, {"swiftforce-masks": json.dumps(envelope)})


def test_rewriting_alone_is_no_damage(tmp_path: Path) -> None:
    pruning = example()
    content = rewritten(pruning, tmp_path, lambda about, masks: None)
    found = damaged(content, tmp_path)
    assert found is not None
    assert_same(found, pruning)


CHANGES: dict[str, Callable[[dict, dict], object]] = {
    "another version": lambda about, masks: about.update(format_version=2),
    "no version": lambda about, masks: about.pop("format_version"),
    "no layers": lambda about, masks: about.pop("layers"),
    "no history": lambda about, masks: about.pop("history"),
    "no method": lambda about, masks: about.pop("method"),
    "no structure": lambda about, masks: about.pop("structure"),
    "unknown structure": lambda about, masks: about.update(structure="tree"),
    "another count": lambda about, masks: about["layers"][0].__setitem__(2, 1),
    "another shape": lambda about, masks: about["layers"][0].__setitem__(1, [70, 5]),
    "negative shape": lambda about, masks: about["layers"][0].__setitem__(1, [-7, -5]),
    "shape of text": lambda about, masks: about["layers"][0].__setitem__(1, "ab"),
    "huge shape": lambda about, masks: about["layers"][0].__setitem__(1, [2**40, 2**40]),
    "layer of one": lambda about, masks: about["layers"].__setitem__(0, ["x"]),
    "layers of none": lambda about, masks: about.update(layers=None),
    "one layer more": lambda about, masks: about["layers"].append(["x", [3], 1]),
    "history of numbers": lambda about, masks: about.update(history=[1, 2]),
    "unknown field": lambda about, masks: about["history"][0].update(extra=1),
    "missing field": lambda about, masks: about["history"][0].pop("keep"),
    "missing mask": lambda about, masks: masks.pop("mask.2"),
    "short mask": lambda about, masks: masks.update({"mask.0": masks["mask.0"][:-1]}),
    "mask of floats": lambda about, masks: masks.update({"mask.0": np.zeros(5, np.float32)}),
    "another mask": lambda about, masks: masks.update({"mask.0": ~masks["mask.0"]}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_descriptions_that_do_not_fit(change: str, tmp_path: Path) -> None:
    assert damaged(rewritten(example(), tmp_path, CHANGES[change]), tmp_path) is None


@pytest.mark.parametrize("about", ["null", "[]", "3", '"text"'])
def test_a_description_that_is_no_object(about: str, tmp_path: Path) -> None:
    masks = {"mask.0": np.zeros(1, np.uint8)}
    assert damaged(sealed(masks, about), tmp_path) is None
    content = save_tensors(masks, {"swiftforce-masks": about})
    assert damaged(content, tmp_path) is None


def test_other_files_of_the_same_format(tmp_path: Path) -> None:
    tensor = {"w": np.zeros(3, np.float32)}
    assert damaged(save_tensors(tensor), tmp_path) is None
    assert damaged(save_tensors(tensor, {"format": "pt"}), tmp_path) is None
    assert damaged(save_tensors({}, {"swiftforce-masks": "{"}), tmp_path) is None


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sf.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        sf.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        example().save(tmp_path / "no folder" / "m")


def test_a_failure_to_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    example().save(path)
    before = path.read_bytes()

    def half(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="no space left"):
        sf.random(np.ones(999, np.float32), keep=3).save(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_without_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (lambda: example().save(tmp_path / "m"), lambda: sf.load(tmp_path / "m")):
        with pytest.raises(ImportError, match=r"pip install 'swiftforce\[files\]'"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_large_file_of_another_kind_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    header = b'{"a":{"dtype":"U8","shape":[1000000000000],"data_offsets":[0,1000000000000]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with path.open("r+b") as file:
        file.truncate(8 + len(header) + 10**12)
    with pytest.raises(sf.MaskFileError, match=r"is not a file of masks$"):
        sf.load(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\xff" * 8, b"\2\0\0\0\0\0\0\0{}", b"[" * 99])
def test_what_has_no_header_is_no_file_of_masks(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(sf.MaskFileError, match=r"is not a file of masks$"):
        sf.load(tmp_path / "a.safetensors")
