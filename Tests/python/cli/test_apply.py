"""The command ``apply``: removed weights are zero, and no other bit changes."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from checkpoint_files import PRUNABLE, prunable, tensors, write, write_index, write_raw, write_split
from swiftforce import cli
from swiftforce.cli import apply
from swiftforce.files.checkpoints import Checkpoint
from swiftforce.inputs.arrays import Array

pytest.importorskip("safetensors")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the commands."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pruning() -> sf.Pruning:
    """The content of m.safetensors; w.safetensors holds the weights."""
    write(Path("w.safetensors"), tensors(1))
    found = sf.magnitude(prunable(2), sparsity=0.6)
    found.save("m.safetensors")
    return found


def run(*weights: str, output: str, masks: str = "m.safetensors") -> int:
    return cli.main(["apply", masks, "--weights", *weights, "--output", output])


def contents(where: Path = Path()) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in where.rglob("*") if path.is_file()}


def masked(content: bytes, path: Path, masks: dict[str, np.ndarray]) -> bytes:
    """The expected bytes of a file: those of removed weights are zero."""
    expected = bytearray(content)
    for name, stored in Checkpoint([path]).tensors.items():
        if name not in masks:
            continue
        width = (stored.stop - stored.start) // max(1, masks[name].size)
        for place in np.flatnonzero(~masks[name]):
            start = stored.start + int(place) * width
            expected[start : start + width] = bytes(width)
    return bytes(expected)


@pytest.mark.parametrize("piece", [8, 24, 1 << 26])
def test_removed_weights_are_zero_and_nothing_else_changes(
    piece: int,
    pruning: sf.Pruning,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(apply, "_PIECE", piece)
    before = contents()
    assert run("w.safetensors", output="o.safetensors") == 0
    after = contents()
    expected = masked(before["w.safetensors"], Path("w.safetensors"), pruning.masks)
    assert after == before | {"o.safetensors": expected}
    assert expected != before["w.safetensors"]
    written = Checkpoint([Path("o.safetensors")])
    for name, weight in sf.apply_masks(prunable(1), pruning.masks).items():
        np.testing.assert_array_equal(written.array(name), weight)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out == ("40 of 66 weights in 3 tensors set to zero\nweights: o.safetensors\n")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_whatever_was_removed_is_zero(dtype: type) -> None:
    values = np.array([[np.nan, -0.0, -1, np.inf], [np.nan, -0.0, -1, -np.inf]], dtype)
    write(Path("w.safetensors"), {"w": values})
    sf.magnitude({"w": np.repeat([[0.0], [1.0]], 4, axis=1)}, keep=4).save("m.safetensors")
    assert run("w.safetensors", output="o.safetensors") == 0
    found = Checkpoint([Path("o.safetensors")]).array("w")
    assert found[0].tobytes() == bytes(found[0].nbytes)
    assert found[1].tobytes() == values[1].tobytes()


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "BF16"])
def test_types_that_numpy_lacks(dtype: str) -> None:
    width = 2 if dtype == "BF16" else 1
    content = bytes(range(1, 1 + 6 * width))
    write_raw(
        Path("w.safetensors"),
        {"x": ("U8", (1,), b"x"), "w": (dtype, (2, 3), content), "y": ("I8", (2,), b"yz")},
    )
    mask = np.array([[1, 0, 0], [0, 1, 1]], bool)
    sf.magnitude({"w": mask.astype(np.float32)}, keep=3).save("m.safetensors")
    before = Path("w.safetensors").read_bytes()
    assert run("w.safetensors", output="o.safetensors") == 0
    expected = masked(before, Path("w.safetensors"), {"w": mask})
    assert Path("o.safetensors").read_bytes() == expected
    assert expected.endswith(b"yz")


def test_empty_tensors_and_single_numbers() -> None:
    written = {"a": np.empty((0, 3), np.float32), "b": np.array(2.0), "c": np.float32([[1, 3]])}
    write(Path("w.safetensors"), written)
    sf.magnitude(written, keep=2).save("m.safetensors")
    assert run("w.safetensors", output="o.safetensors") == 0
    found = Checkpoint([Path("o.safetensors")])
    assert (found.array("b").tolist(), found.array("c").tolist()) == (2.0, [[0, 3]])


def test_a_file_is_replaced(pruning: sf.Pruning) -> None:
    expected = masked(Path("w.safetensors").read_bytes(), Path("w.safetensors"), pruning.masks)
    assert run("w.safetensors", output="w.safetensors") == 0
    assert Path("w.safetensors").read_bytes() == expected
    # A second run changes nothing.
    assert run("w.safetensors", output="w.safetensors") == 0
    assert sorted(contents()) == ["m.safetensors", "w.safetensors"]
    assert Path("w.safetensors").read_bytes() == expected


@pytest.mark.usefixtures("pruning")
def test_who_may_read_it_stays() -> None:
    Path("w.safetensors").chmod(0o600)
    assert run("w.safetensors", output="o.safetensors") == 0
    assert stat.S_IMODE(Path("o.safetensors").stat().st_mode) == 0o600


@pytest.mark.usefixtures("pruning")
def test_a_link_is_replaced_not_followed() -> None:
    """Caches hold links to files that other programs read, too."""
    Path("link.safetensors").symlink_to("w.safetensors")
    before = Path("w.safetensors").read_bytes()
    assert run("link.safetensors", output="link.safetensors") == 0
    assert Path("w.safetensors").read_bytes() == before
    assert not Path("link.safetensors").is_symlink()
    assert Path("link.safetensors").read_bytes() != before


# ------------------------------------------------------------------------- several files


@pytest.mark.parametrize("output", ["new", "old", "split"])
def test_split_checkpoints(output: str, pruning: sf.Pruning) -> None:
    index = write_split(Path("split"), tensors(1))
    Path("old").mkdir()
    Path("old/README.md").write_text("stays")
    before = contents(Path("split"))
    assert run(str(index), output=output) == 0
    files = sorted(Path("split").glob("model*"))
    assert len(files) == 3
    for file in files:
        found = Path(output, file.name).read_bytes()
        if file == index:
            assert found == before[str(file)]
        else:
            assert found == masked(before[str(file)], file, pruning.masks)
    assert len(list(Path(output).iterdir())) == 3 + (output == "old")


def test_several_files_without_an_index(pruning: sf.Pruning) -> None:
    parts = sorted(map(str, write_split(Path("split"), tensors(1)).parent.glob("*.safetensors")))
    assert run(*parts, output="new") == 0
    assert len(list(Path("new").iterdir())) == 2
    found = Checkpoint(sorted(Path("new").iterdir()))
    for name, weight in sf.apply_masks(prunable(1), pruning.masks).items():
        np.testing.assert_array_equal(found.array(name), weight)


def failing_second(error: BaseException) -> object:
    """Writes the first file, and fails while writing the second."""
    whole = apply._pieces
    begun = []

    def pieces(source: Path, *more: object) -> Iterator[Array]:
        begun.append(source)
        for piece in whole(source, *more):
            yield piece
            if len(begun) == 2:
                raise error

    return pieces


@pytest.mark.parametrize("output", ["new", "old", "split"])
@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1, "No space left on device"),
    ],
)
@pytest.mark.usefixtures("pruning")
def test_all_files_or_none(
    output: str,
    error: BaseException,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    index = write_split(Path("split"), tensors(1))
    Path("old").mkdir()
    Path("old/model-00001-of-00002.safetensors").write_text("stays")
    before = contents()
    monkeypatch.setattr(apply, "_pieces", failing_second(error))
    assert run(str(index), output=output) == status
    assert contents() == before
    assert not Path("new").exists()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"swiftforce: {line}\n")


# ------------------------------------------------------------------------- what is refused


def refused(status: int, capsys: pytest.CaptureFixture[str]) -> str:
    """The error line of a command that changed nothing."""
    assert status == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("swiftforce: ")
    assert len(captured.err.splitlines()) == 1
    return captured.err


@pytest.mark.usefixtures("pruning")
def test_masks_of_other_weights(capsys: pytest.CaptureFixture[str]) -> None:
    others = tensors(1)
    del others[PRUNABLE[0]], others[PRUNABLE[1]]
    others[PRUNABLE[2]] = np.ones((4, 3))
    write(Path("w.safetensors"), others)
    before = contents()
    assert refused(run("w.safetensors", output="o.safetensors"), capsys) == (
        "swiftforce: m.safetensors holds masks of other weights: "
        "layers.2.fc.weight, layers.10.fc.weight missing; "
        "'lm_head.weight' has shape (4, 3), not (3, 4)\n"
    )
    assert contents() == before


@pytest.mark.parametrize("dtype", ["I8", "F8_E8M0", "BOOL"])
def test_types_without_a_zero(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_raw(Path("w.safetensors"), {"w": (dtype, (2,), b"\1\1")})
    sf.magnitude({"w": np.float32([1, 2])}, keep=1).save("m.safetensors")
    line = refused(run("w.safetensors", output="o.safetensors"), capsys)
    assert f"'w' has type {dtype}, whose zero is not known" in line
    assert not Path("o.safetensors").exists()


@pytest.mark.parametrize(
    ("weights", "output", "text"),
    [
        (["w.safetensors"], "m.safetensors", "m.safetensors is an input"),
        (["w.safetensors"], "split", "'split' is a folder; name a file"),
        (["w.safetensors"], "no/o.safetensors", "there is no folder 'no'"),
        (["no.safetensors"], "o.safetensors", "no.safetensors: No such file or directory"),
        (["m.safetensors"], "o.safetensors", "holds masks of other weights"),
        (["split/model.safetensors.index.json"], "no/o", "cannot be created as one: 3 files"),
        (
            ["split/model.safetensors.index.json"],
            "w.safetensors",
            "'w.safetensors' is not a folder",
        ),
        (
            ["w.safetensors", "x/w.safetensors"],
            "new",
            "have the same output path new/w.safetensors",
        ),
        (["x/w.safetensors", "w.safetensors"], "x", "have the same output path x/w.safetensors"),
        (
            ["w.safetensors", "x/v.safetensors", "x/w.safetensors"],
            "x",
            "x/w.safetensors is an input",
        ),
        (["w.safetensors", "y/m.safetensors"], "", "m.safetensors is an input"),
        (["w.safetensors", "x/v.safetensors"], "z", "'z/w.safetensors' is a folder"),
    ],
)
@pytest.mark.usefixtures("pruning")
def test_what_cannot_be_done_is_one_line(
    weights: list[str], output: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_split(Path("split"), tensors(1))
    for place in ("x", "y"):
        Path(place).mkdir()
    Path("z/w.safetensors").mkdir(parents=True)
    write(Path("x/v.safetensors"), {"v": np.ones(2)})
    write(Path("y/m.safetensors"), {"m": np.ones(2)})
    write(Path("x/w.safetensors"), {"w": np.ones(2)})
    before = contents()
    assert text in refused(run(*weights, output=output), capsys)
    assert contents() == before
    assert not Path("new").exists()


def test_an_index_is_not_replaced_by_a_file(
    pruning: sf.Pruning, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint of one file with an index needs an output folder, too."""
    index = write_index(Path(), dict.fromkeys(tensors(1), "w.safetensors"))
    assert run(str(index), output="o") == 0
    assert sorted(path.name for path in Path("o").iterdir()) == [index.name, "w.safetensors"]
    assert f"{pruning.size - pruning.keep} of {pruning.size}" in capsys.readouterr().out


# ------------------------------------------------------------------------- memory

PEAK = """
import sys, tracemalloc
from swiftforce import cli
import safetensors.numpy
tracemalloc.start()
assert cli.main(["apply", "m", "--weights", "w.safetensors", "--output", "o.safetensors"]) == 0
print(tracemalloc.get_traced_memory()[1], file=sys.stderr)
"""


@pytest.mark.slow
def test_files_are_not_loaded(folder: Path) -> None:
    """Python allocates masks and a few pieces, whatever the size of the file."""
    arrays = {
        "w.weight": np.ones((1000, 1000), np.float64),
        "other": np.ones((30, 1 << 20), np.float32),
    }
    write(Path("w.safetensors"), arrays)
    sf.random({"w.weight": arrays["w.weight"]}, sparsity=0.9).save("m")
    done = subprocess.run(
        [sys.executable, "-c", PEAK], cwd=folder, capture_output=True, text=True, check=True
    )
    size = Path("w.safetensors").stat().st_size
    assert size > 130e6
    assert int(done.stderr) < 30e6
    assert Path("o.safetensors").stat().st_size == size
