"""Packed models: every bit of every type comes back, and damaged files are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from swiftforce.files.formats import FileFormat
from swiftforce.files.headers import _BITS
from swiftforce.files.packed import PackedTensor, read_packed, write_packed

pytest.importorskip("safetensors")

WHOLE_BYTES = [dtype for dtype, bits in _BITS.items() if bits >= 8]
PARTS_OF_BYTES = [dtype for dtype, bits in _BITS.items() if bits < 8]
FORMAT = FileFormat("swiftforce-packed", 1, "a packed model", sf.PackedFileError)


def sparse(dtype: str, size: int = 600, every: int = 50) -> np.ndarray:
    """Bits of a type that is not zero in one of some places."""
    kind = f"u{_BITS[dtype] // 8}"
    bits = np.zeros(size, kind)
    places = np.arange(size)[::every]
    bits[places] = np.arange(1, places.size + 1) * int(np.iinfo(kind).max // (places.size + 1))
    return bits


def assert_comes_back(tensor: PackedTensor, path: Path, elements: np.ndarray) -> PackedTensor:
    write_packed(path, [tensor])
    (found,), metadata = read_packed(path)
    assert metadata == {}
    assert (found.name, found.dtype, found.shape) == (tensor.name, tensor.dtype, tensor.shape)
    assert found.is_masked == tensor.is_masked
    assert found.unpacked().tobytes() == elements.tobytes()
    np.testing.assert_array_equal(found.kept, tensor.kept)
    return found


@pytest.mark.parametrize("dtype", WHOLE_BYTES)
@pytest.mark.parametrize("shape", [(600,), (20, 30), (2, 1, 300)])
def test_every_type_comes_back(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    elements = sparse(dtype).reshape(shape)
    tensor = PackedTensor.of("w", dtype, elements)
    assert not tensor.is_whole
    found = assert_comes_back(tensor, tmp_path / "m", elements)
    assert found.unpacked().shape == shape


@pytest.mark.parametrize("dtype", WHOLE_BYTES)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (7,)])
def test_small_and_empty_tensors_come_back(
    dtype: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    elements = np.ones(shape, f"u{_BITS[dtype] // 8}")
    for mask in (None, np.ones(shape, bool)):
        found = assert_comes_back(
            PackedTensor.of("w", dtype, elements, mask), tmp_path / "m", elements
        )
        assert found.unpacked().shape == shape
        assert found.is_whole is (mask is None)


@pytest.mark.parametrize("dtype", PARTS_OF_BYTES)
def test_elements_of_less_than_a_byte_come_back_whole(dtype: str, tmp_path: Path) -> None:
    content = np.arange(_BITS[dtype] * 3, dtype=np.uint8)
    tensor = PackedTensor("w", dtype, (4, 6), content)
    assert_comes_back(tensor, tmp_path / "m", content)


@pytest.mark.parametrize("dtype", ["F16", "F32", "F64"])
def test_signed_zeros_and_payloads_of_nan_come_back(dtype: str, tmp_path: Path) -> None:
    kind = f"u{_BITS[dtype] // 8}"
    special = np.array([-0.0, np.inf, -np.inf, np.nan, 5e-324], f"f{_BITS[dtype] // 8}").view(kind)
    quiet = special[3]
    elements = np.zeros(300, kind)
    elements[::50] = [*special, quiet + 1]
    tensor = PackedTensor.of("w", dtype, elements)
    assert tensor.values.size == 6 - (special[4] == 0)
    assert_comes_back(tensor, tmp_path / "m", elements)


def test_dense_tensors_are_stored_whole() -> None:
    elements = np.ones(100, np.uint16)
    assert PackedTensor.of("w", "F16", elements).is_whole
    # 6 bytes of positions for 13 bits each: zeros are not stored once that is less.
    elements[:6] = 0
    assert PackedTensor.of("w", "F16", elements).is_whole
    elements[:7] = 0
    assert PackedTensor.of("w", "F16", elements).values.size == 93


def test_kept_zeros_are_stored_with_a_mask(tmp_path: Path) -> None:
    elements = np.zeros((10, 10), np.uint32)
    mask = np.zeros((10, 10), bool)
    mask[2, 3] = mask[7] = True
    tensor = PackedTensor.of("w", "F32", elements, mask)
    found = assert_comes_back(tensor, tmp_path / "m", elements)
    assert found.is_masked
    np.testing.assert_array_equal(found.kept, mask)


@pytest.mark.parametrize("bits", [1, 0x80000000])
def test_a_removed_weight_that_is_not_zero_is_refused(bits: int) -> None:
    elements = np.array([bits, 0, 5], np.uint32)
    with pytest.raises(sf.RemovedWeightsError, match=r"^1 weights of 'w' are not \+0"):
        PackedTensor.of("w", "F32", elements, np.array([False, False, True]))


def test_names_metadata_and_tied_names_come_back(tmp_path: Path) -> None:
    names = ["fc.1", "", "values.0", "metadata", "naïve\n☃"]
    tensors = [PackedTensor.of(name, "F32", sparse("F32")) for name in names]
    mask = sparse("F32") != 0
    tensors.append(PackedTensor.of("masked", "F32", sparse("F32"), mask))
    metadata = {"format": "pt", "": "☃"}
    write_packed(tmp_path / "m", tensors, metadata, {"tied": "masked", "again": "fc.1"})
    found, said = read_packed(tmp_path / "m")
    assert [tensor.name for tensor in found] == [*names, "masked", "tied", "again"]
    assert said == metadata
    assert [tensor.is_masked for tensor in found] == [False] * 5 + [True, True, False]
    assert all(tensor.unpacked().tobytes() == sparse("F32").tobytes() for tensor in found)


def test_a_model_without_tensors_comes_back(tmp_path: Path) -> None:
    write_packed(tmp_path / "m", [])
    assert read_packed(tmp_path / "m") == ([], {})


# ------------------------------------------------------------------------- damaged files


def written(path: Path) -> Path:
    """A file of one packed tensor, one whole one, one of F4, and a tied name."""
    write_packed(
        path,
        [
            PackedTensor.of("w", "F32", sparse("F32").reshape(20, 30)),
            PackedTensor.of("b", "F16", np.ones(5, np.uint16)),
            PackedTensor("q", "F4", (4,), np.array([1, 2], np.uint8)),
        ],
        {"format": "pt"},
        {"tied": "w"},
    )
    return path


Change = Callable[[dict[str, Any], dict[str, np.ndarray]], object]


def entry(number: int, place: int, value: object) -> Change:
    """Puts another value into the description of a tensor."""
    return lambda about, _: about["tensors"][number].__setitem__(place, value)


def description(number: int, *values: object) -> Change:
    """Puts another description of a tensor in the place of its own."""
    return lambda about, _: about["tensors"].__setitem__(number, list(values))


def with_positions(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    about["tensors"][2][4] = "bits"
    arrays["positions.2"] = np.array([15], np.uint8)


DAMAGED: dict[str, Change] = {
    "no list of tensors": lambda about, _: about.pop("tensors"),
    "a number for the list": lambda about, _: about.update(tensors=3),
    "a number for a tensor": lambda about, _: about["tensors"].__setitem__(0, 3),
    "a short description": lambda about, _: about["tensors"][0].pop(),
    "a name that is a number": entry(1, 0, 3),
    "a name that is no text": entry(1, 0, "\ud800"),
    "a name of another": entry(1, 0, "w"),
    "an unknown dtype": entry(0, 1, "F31"),
    "a dtype of another width": entry(0, 1, "F16"),
    "a dtype that is a list": entry(0, 1, ["F32"]),
    "a dtype of less than a byte": entry(0, 1, "F4"),
    "another shape": entry(0, 2, [20, 2]),
    "a shape that is a number": entry(0, 2, 600),
    "a negative side": entry(0, 2, [-20, -30]),
    "a side that is no integer": entry(0, 2, [20.0, 30]),
    "a shape that no array can have": entry(0, 2, [2**40, 2**40]),
    "too many sides": entry(0, 2, [1] * 65),
    "fewer values": entry(0, 3, 11),
    "more values": entry(0, 3, 13),
    "more values than elements": entry(0, 3, 601),
    "a negative number of values": entry(0, 3, -1),
    "an unknown coding": entry(0, 4, "runs"),
    "the other coding": entry(0, 4, "bits"),
    "no coding": entry(0, 4, None),
    "a coding that is a list": entry(0, 4, []),
    "masked by a number": entry(0, 5, 1),
    "a whole tensor of another shape": entry(1, 2, [6]),
    "a whole tensor with fewer values": entry(1, 3, 4),
    "positions of a whole tensor": entry(1, 4, "gaps"),
    "a whole tensor masked by a number": entry(1, 5, 1),
    "half a byte": description(2, "q", "F4", [5], 5, None, False),
    "positions in parts of bytes": with_positions,
    "no values": lambda _, arrays: arrays.pop("values.0"),
    "no positions": lambda _, arrays: arrays.pop("positions.0"),
    "values of a float type": lambda _, arrays: arrays.update(
        {"values.0": arrays["values.0"].view(np.float32)}
    ),
    "values of a signed type": lambda _, arrays: arrays.update(
        {"values.0": arrays["values.0"].view(np.int32)}
    ),
    "values in a matrix": lambda _, arrays: arrays.update(
        {"values.0": arrays["values.0"].reshape(3, 4)}
    ),
    "wider positions": lambda _, arrays: arrays.update(
        {"positions.0": arrays["positions.0"].astype(np.uint16)}
    ),
    "positions beyond the end": lambda _, arrays: arrays["positions.0"].fill(254),
    "no tied names": lambda about, _: about.pop("tied"),
    "tied names in a text": lambda about, _: about.update(tied="x"),
    "tied to nothing": lambda about, _: about.update(tied={"tied": "nothing"}),
    "tied to a list": lambda about, _: about.update(tied={"tied": []}),
    "tied to another name": lambda about, _: about.update(tied={"tied": "tied"}),
    "tied twice": lambda about, _: about.update(tied={"b": "w"}),
    "a tied name that is a number": lambda about, _: about.update(tied=[[3, "w"]]),
    "no metadata": lambda about, _: about.pop("metadata"),
    "metadata of numbers": lambda about, _: about.update(metadata={"x": 1}),
    "metadata that are a number": lambda about, _: about.update(metadata=1),
    "another version": lambda about, _: about.update(format_version=2),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_descriptions_that_do_not_fit_are_refused(name: str, tmp_path: Path) -> None:
    """The digest fits: somebody wrote the file so."""
    path = written(tmp_path / "m")
    arrays, about = FORMAT.read(path)
    arrays = {key: array.copy() for key, array in arrays.items()}
    DAMAGED[name](about, arrays)
    version = about.pop("format_version")
    FileFormat(FORMAT.name, version, FORMAT.content, FORMAT.error).write(path, arrays, about)
    with pytest.raises(sf.PackedFileError) as caught:
        read_packed(path)
    assert str(path) in str(caught.value)


def test_what_is_changed_back_is_read(tmp_path: Path) -> None:
    """The changes above are what is refused, not the way in which they are made."""
    path = written(tmp_path / "m")
    arrays, about = FORMAT.read(path)
    FORMAT.write(path, arrays, about)
    assert [tensor.name for tensor in read_packed(path)[0]] == ["w", "b", "q", "tied"]


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "m")
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(sf.PackedFileError):
            read_packed(path)


def test_a_flipped_bit_of_the_data_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "m")
    content = bytearray(path.read_bytes())
    for place in range(8 + int.from_bytes(content[:8], "little"), len(content)):
        content[place] ^= 4
        path.write_bytes(content)
        with pytest.raises(sf.PackedFileError, match="digest"):
            read_packed(path)
        content[place] ^= 4


@pytest.mark.parametrize("kind", ["masks", "checkpoint", "text", "empty"])
def test_other_files_are_refused(kind: str, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "m"
    if kind == "masks":
        sf.magnitude({"w": np.float32([1, 2])}, keep=1).save(path)
    elif kind == "checkpoint":
        save_file({"w": np.float32([1, 2])}, path)
    else:
        path.write_text("some text" if kind == "text" else "")
    with pytest.raises(sf.PackedFileError, match=r"is not a file of a packed model|is damaged"):
        read_packed(path)


def test_a_failure_leaves_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "m")
    before = path.read_bytes()

    def fail(self: Path, content: bytes) -> None:
        with self.open("wb") as file:
            file.write(content[:20])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space"):
        write_packed(path, [])
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_the_description_is_json_that_names_the_tensors(tmp_path: Path) -> None:
    _, about = FORMAT.read(written(tmp_path / "m"))
    assert json.dumps(about["tensors"][0]) == '["w", "F32", [20, 30], 12, "gaps", false]'
    assert about["tensors"][2] == ["q", "F4", [4], 4, None, False]
