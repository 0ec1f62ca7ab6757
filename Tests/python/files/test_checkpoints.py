"""Checkpoints: tensors where they lie in their files, and files that are refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from checkpoint_files import PRUNABLE, tensors, write, write_index, write_raw, write_split
from swiftforce.files.checkpoints import Checkpoint, dtype_of

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


def test_arrays_lie_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", tensors(1))
    checkpoint = Checkpoint([path])
    for name in PRUNABLE:
        array = checkpoint.array(name)
        assert np.shares_memory(array, checkpoint.raw(path))
        assert not array.flags.writeable


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


def test_a_tensor_that_is_not_aligned_is_copied(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    header_is_padded = {"x": ("U8", (1,), b"x"), "w.weight": ("F32", (2, 3), values.tobytes())}
    # Headers of four lengths in a row: at least three of them leave the tensor unaligned.
    copied = 0
    for length in range(4):
        entries = {f"{'x' * length}_": header_is_padded["x"], "w": header_is_padded["w.weight"]}
        path = write_raw(tmp_path / f"{length}.safetensors", entries)
        checkpoint = Checkpoint([path])
        array = checkpoint.array("w")
        np.testing.assert_array_equal(array, values)
        assert sf.magnitude({"w": array}, keep=2).masks["w"].sum() == 2
        copied += not np.shares_memory(array, checkpoint.raw(path))
    assert copied == 3


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
    arrays = [checkpoint.array(name) for name in checkpoint.tensors]
    assert len(list(FILES.iterdir())) <= before + 1
    assert sum(array.sum() for array in arrays) == 800


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


def test_without_the_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dtype_of.cache_clear()
    path = write_raw(tmp_path / "a.safetensors", {"w": ("BF16", (1,), b"\0\0")})
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match=r"bfloat16 need ml_dtypes: .*'swiftforce\[files\]'"):
        Checkpoint([path]).array("w")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"need safetensors: .*'swiftforce\[files\]'"):
        Checkpoint([path])
