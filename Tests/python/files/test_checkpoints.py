"""Checkpoints: tensors as their files have them, and files that are refused."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from checkpoint_files import PRUNABLE, tensors, write, write_index, write_raw, write_split
from swiftforce.files.checkpoints import Checkpoint, dtype_of
from swiftforce.files.reading import StableFile

pytest.importorskip("safetensors")

#: What this process holds open.
FILES = Path("/proc/self/fd")


def test_arrays_are_those_that_were_written(tmp_path: Path) -> None:
    written = tensors(1)
    checkpoint = Checkpoint([write(tmp_path / "a.safetensors", written)])
    assert set(checkpoint.tensors) == set(written)
    for name in (*PRUNABLE, "layers.2.norm.weight"):
        array = checkpoint.array(name)
        assert array.dtype == written[name].dtype
        np.testing.assert_array_equal(array, written[name])


def test_arrays_stay_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", tensors(1))
    arrays = Checkpoint([path]).arrays(PRUNABLE)
    os.truncate(path, 0)
    for name in PRUNABLE:
        np.testing.assert_array_equal(arrays[name], tensors(1)[name])
        assert not arrays[name].flags.writeable
        assert not arrays[name].flags.owndata


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "shorter": (lambda path: os.truncate(path, 200), "was changed"),
    "empty": (lambda path: os.truncate(path, 0), "was changed"),
    "longer": (lambda path: os.truncate(path, 9999), "was changed"),
    "written to": (lambda path: os.utime(path, ns=(1, 1)), "was changed"),
    "another file": (lambda path: write(path, {"w": np.ones(2)}), "was changed"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_is_changed_after_its_header_was_read(change: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", tensors(1))
    checkpoint = Checkpoint([path])
    act, text = CHANGES[change]
    act(path)
    with pytest.raises(sf.CheckpointError, match=rf"a\.safetensors {text}"):
        checkpoint.arrays(PRUNABLE)


@pytest.mark.parametrize("change", ["shorter", "empty", "written to", "another file"])
def test_a_file_that_is_changed_while_it_is_read(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.safetensors", tensors(1))
    checkpoint = Checkpoint([path])
    whole = StableFile.read

    def read(file: StableFile, start: int, size: int) -> bytearray:
        found = whole(file, start, size)
        CHANGES[change][0](path)
        return found

    monkeypatch.setattr(StableFile, "read", read)
    text = "became shorter|was changed while it was read|was changed while it was in use"
    if change == "another file":  # under the same name, which the open file no longer has
        assert set(checkpoint.arrays(PRUNABLE)) == set(PRUNABLE)
    else:
        with pytest.raises(sf.CheckpointError, match=text):
            checkpoint.arrays(PRUNABLE)


def test_no_space_for_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint([write(tmp_path / "a.safetensors", tensors(1))])

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match=r"no space for a copy of the tensors, .* set TMPDIR"):
        checkpoint.arrays(PRUNABLE)


def test_names_are_sorted_by_their_numbers_however_split(tmp_path: Path) -> None:
    written = tensors(1)
    names = [
        "embed_tokens.weight",
        "layers.2.fc.weight",
        "layers.2.norm.weight",
        "layers.10.fc.weight",
        "lm_head.weight",
        "steps",
    ]
    index = write_split(tmp_path / "split", written)
    parts = sorted(index.parent.glob("*.safetensors"))
    assert len(parts) == 2
    for paths in ([write(tmp_path / "a.safetensors", written)], [index], parts, parts[::-1]):
        checkpoint = Checkpoint(paths)
        assert list(checkpoint.tensors) == names
        assert checkpoint.prunable() == PRUNABLE
        np.testing.assert_array_equal(checkpoint.array(PRUNABLE[1]), written[PRUNABLE[1]])


def test_files_of_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("ml_dtypes")
    from safetensors.torch import save_file

    brain = torch.arange(12, dtype=torch.float32).reshape(3, 4).to(torch.bfloat16) / 3
    narrow = torch.ones(2, 2).to(torch.float8_e4m3fn)
    path = tmp_path / "a.safetensors"
    save_file({"a.weight": brain, "b.weight": narrow, "c.weight": brain.float()}, path)
    checkpoint = Checkpoint([path])
    assert checkpoint.prunable() == ["a.weight", "c.weight"]
    array = checkpoint.array("a.weight")
    assert array.dtype.name == "bfloat16"
    np.testing.assert_array_equal(array.astype(np.float32), brain.float().numpy())
    with pytest.raises(sf.UnsupportedTypeError, match=r"'b\.weight' in .* is F8_E4M3, not one of"):
        checkpoint.array("b.weight")


def test_a_tensor_that_is_not_aligned_in_its_file(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    header_is_padded = {"x": ("U8", (1,), b"x"), "w.weight": ("F32", (2, 3), values.tobytes())}
    # Headers of four lengths in a row: at least three of them leave the tensor unaligned.
    unaligned = 0
    for length in range(4):
        entries = {f"{'x' * length}_": header_is_padded["x"], "w": header_is_padded["w.weight"]}
        path = write_raw(tmp_path / f"{length}.safetensors", entries)
        checkpoint = Checkpoint([path])
        array = checkpoint.array("w")
        np.testing.assert_array_equal(array, values)
        assert sf.magnitude({"w": array}, keep=2).masks["w"].sum() == 2
        assert array.flags.aligned
        unaligned += checkpoint.tensors["w"].start % 4 > 0
    assert unaligned == 3


def test_empty_tensors_and_single_numbers(tmp_path: Path) -> None:
    written = {
        "a": np.empty((0, 3), np.float32),
        "b": np.array(2, np.float32),
        "c": np.float32([[1, 3]]),
    }
    checkpoint = Checkpoint([write(tmp_path / "a.safetensors", written)])
    assert checkpoint.prunable() == ["a", "c"]
    arrays = {name: checkpoint.array(name) for name in checkpoint.prunable("*")}
    assert {name: array.shape for name, array in arrays.items()} == {
        "a": (0, 3),
        "b": (),
        "c": (1, 2),
    }
    masks = sf.magnitude(arrays, keep=2).masks
    assert bool(masks["b"])
    assert masks["c"].tolist() == [[False, True]]


def test_a_file_of_empty_tensors_alone(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.safetensors", {"a": ("F32", (0, 2), b"")})
    assert Checkpoint([path]).array("a").shape == (0, 2)


def test_which_are_pruned(tmp_path: Path) -> None:
    checkpoint = Checkpoint([write(tmp_path / "a.safetensors", tensors(1))])
    assert checkpoint.prunable(exclude="lm_head*") == PRUNABLE[:2]
    assert checkpoint.prunable("embed*") == ["embed_tokens.weight"]
    with pytest.raises(sf.UnknownNameError, match="include has the pattern 'steps'"):
        checkpoint.prunable("steps")
    with pytest.raises(sf.StructureError, match=r"no tensor of .*a\.safetensors is prunable; of"):
        checkpoint.prunable(exclude="*")


@pytest.mark.skipif(not FILES.exists(), reason="needs /proc")
def test_many_tensors_hold_one_file_open(tmp_path: Path) -> None:
    written = {f"{place}.weight": np.ones((2, 2), np.float32) for place in range(200)}
    checkpoint = Checkpoint([write(tmp_path / "a.safetensors", written)])
    before = len(list(FILES.iterdir()))
    arrays = checkpoint.arrays(checkpoint.tensors)
    assert len(list(FILES.iterdir())) <= before + 1
    assert sum(array.sum() for array in arrays.values()) == 800


# ------------------------------------------------------------------------- what is refused


@pytest.mark.slow
def test_every_way_to_cut_a_file_off(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", tensors(1))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(sf.CheckpointError, match=r"a\.safetensors is damaged, or no"):
            Checkpoint([path])
    path.write_bytes(content + b"\0")
    with pytest.raises(sf.CheckpointError, match="damaged"):
        Checkpoint([path])


@pytest.mark.parametrize(
    "entry",
    [("F32", (3,), b"\0" * 8), ("F33", (2,), b"\0" * 8), ("F32", (-1,), b""), ("F32", "x", b"")],
)
def test_headers_that_are_wrong(entry: tuple, tmp_path: Path) -> None:
    with pytest.raises(sf.CheckpointError, match="damaged"):
        Checkpoint([write_raw(tmp_path / "a.safetensors", {"a": entry})])


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(sf.CheckpointError, match="is not a file"):
        Checkpoint([tmp_path])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(sf.CheckpointError, match="is not a file"):
        Checkpoint([tmp_path / "pipe"])
    with pytest.raises(FileNotFoundError, match=r"b\.safetensors"):
        Checkpoint([tmp_path / "b.safetensors"])


def test_a_name_in_two_files(tmp_path: Path) -> None:
    first = write(tmp_path / "a.safetensors", {"w": np.ones(2)})
    second = write(tmp_path / "b.safetensors", {"w": np.ones(2)})
    with pytest.raises(sf.CheckpointError, match=r"'w' is in two files: .*a\.saf.* and .*b\.saf"):
        Checkpoint([first, second])
    with pytest.raises(sf.CheckpointError, match="'w' is in two files"):
        Checkpoint([first, first])


@pytest.mark.parametrize(
    ("weight_map", "text"),
    [
        ({"w": "../a.safetensors"}, r"names '\.\./a\.safetensors', which is no file beside it"),
        ({"w": ""}, "names '', which is no file"),
        ({"w": "a\0"}, r"a\\x00' is not a path"),
        ({"w": "\ud800"}, "is not a path"),
        ({"w": 1}, "names 1, which is no file"),
        ({"w": ["a"]}, "is not an index"),
        (["w"], "is not an index"),
        ({}, "is not an index"),
        (None, "is not an index"),
        ({"w": "a.safetensors", "v": "a.safetensors"}, r"says that 'v' is in a\.safetensors"),
        ({"w": "a.safetensors", "u": "a.safetensors", "v": "b.safetensors"}, "says that 'u' is in"),
    ],
)
def test_an_index_that_is_wrong(weight_map: object, text: str, tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", {"w": np.ones(2)})
    write(tmp_path / "b.safetensors", {"v": np.ones(2), "u": np.ones(2)})
    with pytest.raises(sf.CheckpointError, match=text):
        Checkpoint([write_index(tmp_path, weight_map)])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_what_is_no_index(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_bytes(content)
    with pytest.raises(sf.CheckpointError, match="is not an index of safetensors files"):
        Checkpoint([path])


def test_an_index_whose_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.safetensors"):
        Checkpoint([write_index(tmp_path, {"w": "a.safetensors"})])


def test_without_the_library_of_bfloat16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dtype_of.cache_clear()
    path = write_raw(tmp_path / "a.safetensors", {"w": ("BF16", (1,), b"\0\0")})
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match=r"bfloat16 need ml_dtypes: .*'swiftforce\[files\]'"):
        Checkpoint([path]).array("w")


# ------------------------------------------------------------------------- an index decides


def overlay(folder: Path) -> Path:
    """An index that names a file of newer tensors beside one that still has the old ones."""
    write(folder / "base.safetensors", {"a": np.full((2, 2), 9.0), "b": np.full((2, 2), 1.0)})
    write(folder / "more.safetensors", {"a": np.full((2, 2), 2.0)})
    return write_index(folder, {"a": "more.safetensors", "b": "base.safetensors"})


def test_the_file_that_an_index_names_counts(tmp_path: Path) -> None:
    checkpoint = Checkpoint([overlay(tmp_path)])
    assert list(checkpoint.tensors) == ["a", "b"]
    assert checkpoint.array("a").tolist() == [[2, 2], [2, 2]]
    assert checkpoint.array("b").tolist() == [[1, 1], [1, 1]]
    with pytest.raises(sf.CheckpointError, match=r"'a' is in two files: .* an index that says"):
        Checkpoint(sorted(tmp_path.glob("*.safetensors")))


def test_tensors_that_an_index_does_not_name(tmp_path: Path) -> None:
    index = overlay(tmp_path)
    write(tmp_path / "more.safetensors", {"a": np.full((2, 2), 2.0), "c": np.ones((2, 2))})
    assert list(Checkpoint([index]).tensors) == ["a", "b", "c"]
    write(tmp_path / "base.safetensors", {"b": np.ones((2, 2)), "c": np.ones((2, 2))})
    with pytest.raises(sf.CheckpointError, match="'c' is in two files"):
        Checkpoint([index])


def test_an_index_counts_for_its_own_files_alone(tmp_path: Path) -> None:
    index = overlay(tmp_path)
    write(tmp_path / "other.safetensors", {"a": np.ones((2, 2))})
    with pytest.raises(sf.CheckpointError, match="'a' is in two files"):
        Checkpoint([index, tmp_path / "other.safetensors"])


# ------------------------------------------------------------------------- headers


def header(path: Path, text: str | dict, data: bytes = b"") -> Path:
    content = (text if isinstance(text, str) else json.dumps(text)).encode("utf-8", "surrogatepass")
    path.write_bytes(len(content).to_bytes(8, "little") + content + data)
    return path


def tensor(start: int = 0, stop: int = 8, shape: object = (2,), dtype: object = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


TWICE = json.dumps(tensor())
HEADERS: dict[str, tuple[str | dict, int, bool]] = {
    "one tensor": ({"a": tensor()}, 8, True),
    "no tensors": ({}, 0, True),
    "spaces": (f"  {json.dumps({'a': tensor()})} \n", 8, True),
    "metadata": ({"__metadata__": {"x": "y"}, "a": tensor()}, 8, True),
    "no metadata": ({"__metadata__": None, "a": tensor()}, 8, True),
    "more about a tensor": ({"a": {**tensor(), "x": [1]}}, 8, True),
    "half bytes": ({"a": tensor(0, 1, dtype="F4")}, 1, True),
    "a scale": ({"a": tensor(0, 2, dtype="F8_E8M0")}, 2, True),
    "complex numbers": ({"a": tensor(0, 16, dtype="C64")}, 16, True),
    "empty tensors": ({"a": tensor(), "b": tensor(8, 8, [0]), "c": tensor(0, 0, [0])}, 8, True),
    "a huge empty tensor": ({"a": tensor(0, 0, [0, 2**40, 2**40])}, 0, True),
    "a side of 64 bits": ({"a": tensor(0, 0, [0, 2**64 - 1])}, 0, True),
    "many dimensions": ({"a": tensor(0, 8, [1] * 100 + [2])}, 8, True),
    "a name of digits": ({"9" * 5000 + ".weight": tensor()}, 8, True),
    "a name twice": (f'{{"a": {TWICE}, "a": {TWICE}}}', 8, False),
    "a field twice": ('{"a": {"dtype": "F32", ' + TWICE[1:] + "}", 8, False),
    "half a surrogate pair": ('{"\\ud800": ' + TWICE + "}", 8, False),
    "metadata of numbers": ({"__metadata__": {"x": 1}, "a": tensor()}, 8, False),
    "metadata of text": ({"__metadata__": "x", "a": tensor()}, 8, False),
    "a gap": ({"a": tensor(), "b": tensor(16, 24)}, 24, False),
    "an overlap": ({"a": tensor(), "b": tensor()}, 8, False),
    "bytes at the end": ({"a": tensor()}, 9, False),
    "bytes that are missing": ({"a": tensor()}, 7, False),
    "an unknown type": ({"a": tensor(dtype="F33")}, 8, False),
    "a type of numbers": ({"a": tensor(dtype=4)}, 8, False),
    "a negative offset": ({"a": tensor(-8, 0)}, 0, False),
    "offsets the wrong way": ({"a": tensor(8, 0)}, 0, False),
    "an empty tensor within": ({"a": tensor(), "b": tensor(4, 4, [0])}, 8, False),
    "a negative side": ({"a": tensor(0, 0, [-1, 0])}, 0, False),
    "a side of 65 bits": ({"a": tensor(0, 0, [0, 2**64])}, 0, False),
    "a side of a fraction": ({"a": tensor(shape=[2.0])}, 8, False),
    "a side that is true": ({"a": tensor(0, 4, [True])}, 4, False),
    "sides beyond all numbers": ({"a": tensor(0, 8, [2**60] * 1000)}, 8, False),
    "no offsets": ({"a": {"dtype": "F32", "shape": [2]}}, 8, False),
    "no tensor": ({"a": 1}, 8, False),
    "a list": ("[]", 0, False),
    "no JSON": ("{", 0, False),
    "NaN": ('{"a": NaN}', 0, False),
    "a number of many digits": ('{"a": ' + "9" * 5000 + "}", 0, False),
    "deep": ("[" * 100_000, 0, False),
    "deep in a tensor": ('{"a": ' * 100_000, 0, False),
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers(case: str, tmp_path: Path) -> None:
    """What is read here is what the library reads; only names that are there twice are refused."""
    import safetensors

    text, size, is_fine = HEADERS[case]
    path = header(tmp_path / "a.safetensors", text, bytes(size))
    if is_fine:
        with safetensors.safe_open(path, framework="numpy") as opened:
            assert set(opened.keys()) == set(Checkpoint([path]).tensors)
        return
    if "twice" not in case:
        with pytest.raises(safetensors.SafetensorError):
            safetensors.safe_open(path, framework="numpy").__enter__()
    with pytest.raises(sf.CheckpointError, match=r"a\.safetensors is damaged, or no safetensors"):
        Checkpoint([path])


@pytest.mark.parametrize(
    "shape", [[0, 2**40, 2**40], [0, 2**63], [1] * 65, [1] * 5000, [0, 2**61, 2]]
)
def test_shapes_that_no_array_can_have(shape: list[int], tmp_path: Path) -> None:
    size = 8 * (0 not in shape)
    path = header(tmp_path / "a.safetensors", {"a": tensor(0, size, shape, "F64")}, bytes(size))
    checkpoint = Checkpoint([path])
    with pytest.raises(sf.CheckpointError, match=r"'a' in .* has a shape that no array can have"):
        checkpoint.array("a")


def test_a_header_that_is_longer_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes((100_000_001).to_bytes(8, "little"))
    os.truncate(path, 200_000_000)
    with pytest.raises(sf.CheckpointError, match="a header of 100000001 bytes"):
        Checkpoint([path])
