"""Files of torch and numpy: read and written by the commands, bit for bit."""

from __future__ import annotations

import gc
import os
import stat
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from checkpoint_files import write, write_split
from swiftforce import cli

pytest.importorskip("safetensors")

ARRAYS = {
    "b.weight": np.float32([[1, -2, np.nan], [-0.0, 5, 6]]),
    "a/half": np.float16([[3, 4]]),
    "count": np.array(7),
    "empty": np.zeros((0, 2)),
    "flags": np.array([True, False]),
}
KEPT = {"b.weight": np.array([[True, False, True], [False, False, True]])}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def needs_torch_for(name: str) -> None:
    """Skips a test of a file that torch alone writes, where there is no torch."""
    if Path(name).suffix in (".pt", ".pth", ".bin"):
        pytest.importorskip("torch")


def saved(name: str, arrays: dict[str, Any] = ARRAYS) -> str:
    """Writes a file of the kind that its name ends in."""
    if name.endswith(".npz"):
        np.savez(name, **arrays)
    elif name.endswith(".safetensors"):
        write(Path(name), arrays)
    else:
        needs_torch_for(name)
        import torch

        torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, name)
    return name


def loaded(name: str) -> dict[str, np.ndarray]:
    if name.endswith(".npz"):
        with np.load(name) as archive:
            return dict(archive)
    if name.endswith(".safetensors"):
        from safetensors.numpy import load_file

        return load_file(name)
    torch = pytest.importorskip("torch")
    return {key: one.numpy() for key, one in torch.load(name, weights_only=True).items()}


def assert_same_bits(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name


KINDS = ["w.npz", "w.pt", "w.bin", "w.safetensors"]


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", ["out.npz", "out.pth", "out.safetensors"])
def test_apply_writes_what_the_name_ends_in(source: str, target: str, folder: Path) -> None:
    needs_torch_for(target)
    found = sf.prune({"b.weight": KEPT["b.weight"].astype(np.float32)}, method="magnitude", keep=3)
    found.save("m.safetensors")
    command = ["apply", "m.safetensors", "--weights", saved(source), "--output", target]
    assert cli.main(command) == 0
    kept = found.masks["b.weight"]
    expected = {**ARRAYS, "b.weight": np.where(kept, ARRAYS["b.weight"], np.float32(0))}
    assert_same_bits(loaded(target), expected)
    gc.collect()
    assert {path.name for path in folder.iterdir()} == {"m.safetensors", source, target}


@pytest.mark.parametrize("source", KINDS)
def test_pack_and_unpack_any_kind(source: str) -> None:
    assert cli.main(["pack", "--weights", saved(source), "--output", "p"]) == 0
    assert cli.main(["unpack", "p", "--output", f"out{Path(source).suffix}"]) == 0
    assert_same_bits(loaded(f"out{Path(source).suffix}"), ARRAYS)


def test_what_torch_alone_has_comes_back() -> None:
    torch = pytest.importorskip("torch")
    state = {
        "bf16": torch.randn(3, 4).bfloat16().t(),
        "f8": torch.randn(5).to(torch.float8_e4m3fn),
        "c": torch.tensor([1 + 2j]),
    }
    torch.save(state, "w.pt")
    assert cli.main(["pack", "--weights", "w.pt", "--output", "p"]) == 0
    assert cli.main(["unpack", "p", "--output", "out.pt"]) == 0
    found = torch.load("out.pt", weights_only=True)
    for name, one in state.items():
        assert (found[name].dtype, found[name].shape) == (one.dtype, one.shape)
        bits = [x.contiguous().flatten().view(torch.uint8) for x in (found[name], one)]
        assert torch.equal(*bits)


def test_inspect_shows_the_file_that_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    saved("w.npz", {"c": np.zeros(3)})
    assert cli.main(["inspect", "--weights", "w.npz"]) == 1
    assert "no tensor of w.npz is prunable" in capsys.readouterr().err


def test_who_may_read_it_stays() -> None:
    source = saved("w.npz")
    os.chmod(source, 0o600)  # noqa: PTH101
    assert cli.main(["pack", "--weights", source, "--output", "p"]) == 0
    assert cli.main(["unpack", "p", "--output", "u.safetensors"]) == 0
    for path in (Path("p"), Path("u.safetensors")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sf.prune({"b.weight": np.ones((2, 3))}, method="random", keep=6).save("m")
    assert cli.main(["apply", "m", "--weights", source, "--output", "out.npz"]) == 0
    assert stat.S_IMODE(Path("out.npz").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"model": {"w": 1.0}, "epoch": 3}, "more than tensors, such as 'model': save the tensors"),
        ({"model": {"w": "tensor"}}, "more than tensors, such as 'model': save its entry 'model'"),
        ([1, 2], "holds a list, not a state_dict"),
        (Path("x"), "cannot be read by torch.load(weights_only=True)"),
    ],
)
def test_files_of_torch_that_are_no_state(
    content: Any, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    if content == {"model": {"w": "tensor"}}:
        content = {"model": {"w": torch.ones(2)}}
    torch.save(content, "w.pt")
    assert cli.main(["pack", "--weights", "w.pt", "--output", "p"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("swiftforce: w.pt ")
    assert text in line
    assert not Path("p").exists()


@pytest.mark.parametrize("name", ["w.npz", "w.pt"])
def test_files_that_are_cut_off(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = Path(saved(name)).read_bytes()
    for length in (4, 8, 40, len(content) // 2, len(content) - 1):
        Path(name).write_bytes(content[:length])
        assert cli.main(["pack", "--weights", name, "--output", "p"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("swiftforce: ")
        assert name in line


def test_arrays_of_objects_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("w.npz", a=np.array([{}], dtype=object))
    assert cli.main(["pack", "--weights", "w.npz", "--output", "p"]) == 1
    assert "swiftforce: w.npz is damaged: Object arrays cannot be loaded" in capsys.readouterr().err
    np.savez("w.npz", a=np.array(["text"]))
    assert cli.main(["pack", "--weights", "w.npz", "--output", "p"]) == 1
    assert "'a' in w.npz is of <U4: convert it to numbers" in capsys.readouterr().err


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that does nothing."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert cli.main(arguments) == 1
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("swiftforce: ")


@pytest.mark.parametrize("target", ["out.npz", "out.pt"])
def test_a_file_that_can_only_be_read(target: str, folder: Path) -> None:
    needs_torch_for(target)
    source = saved("w.npz")
    os.chmod(source, 0o400)  # noqa: PTH101
    sf.prune({"b.weight": np.ones((2, 3))}, method="random", keep=6).save("m")
    assert cli.main(["apply", "m", "--weights", source, "--output", target]) == 0
    assert stat.S_IMODE(Path(target).stat().st_mode) == 0o400
    assert not [path for path in folder.iterdir() if path.name.startswith(".swiftforce")]


def test_arrays_in_any_order_are_read() -> None:
    np.save("w.npy", np.asfortranarray(np.arange(12, dtype=">f4").reshape(3, 4)))
    assert cli.main(["pack", "--weights", "w.npy", "--output", "p"]) == 0
    assert cli.main(["unpack", "p", "--output", "out.npz"]) == 0
    assert_same_bits(loaded("out.npz"), {"weight": np.arange(12, dtype=np.float32).reshape(3, 4)})


def test_names_that_differ_by_an_ending_are_two(capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile("w.npz", "w") as archive:
        for name, value in (("a.npy", 1.0), ("a.npy.npy", 2.0)):
            with archive.open(name, "w") as file:
                np.lib.format.write_array(file, np.float32([value]))
    assert cli.main(["pack", "--weights", "w.npz", "--output", "p"]) == 0
    assert sf.load_packed("p").tensors == {"a": np.float32([1]), "a.npy": np.float32([2])}
    capsys.readouterr()
    line = refused(["unpack", "p", "--output", "out.npz"], capsys)
    assert line == "'a.npy' cannot be the name of an array in an npz file"


@pytest.mark.parametrize(
    ("command", "name"),
    [("unpack", "o.npy"), ("apply", "o.npy"), ("pack", "o.pt"), ("prune", "o.npz")],
)
def test_outputs_that_their_names_would_belie(
    command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved("w.safetensors")
    assert cli.main(["pack", "--weights", "w.safetensors", "--output", "p"]) == 0
    sf.prune({"b.weight": np.ones((2, 3))}, method="random", keep=6).save("m")
    capsys.readouterr()
    arguments = {
        "unpack": ["p"],
        "apply": ["m", "--weights", "w.safetensors"],
        "pack": ["--weights", "w.safetensors"],
        "prune": ["--weights", "w.safetensors", "--method", "random", "--sparsity", "0.5"],
    }[command]
    line = refused([command, *arguments, "--output", name], capsys)
    assert line.startswith(f"{name} would be no {name[1:]} file: name it .safetensors")


def test_several_files_of_torch_are_applied_one_at_a_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = saved("a.pt", {"b.weight": ARRAYS["b.weight"]})
    second = saved("b.pt", {"count": ARRAYS["count"]})
    sf.prune({"b.weight": np.ones((2, 3))}, method="random", keep=6).save("m")
    line = refused(["apply", "m", "--weights", first, second, "--output", "out"], capsys)
    assert line.startswith("a.pt, b.pt are several files, not all of safetensors")


def test_a_shard_of_an_index_is_an_input_beside_files_of_torch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = saved("a.pt", {"other": np.float32([1])})
    index = write_split(Path("w"), {"b.weight": ARRAYS["b.weight"], "c": ARRAYS["a/half"]})
    shard = next(Path("w").glob("*.safetensors"))
    command = ["pack", "--weights", other, str(index), "--output", str(shard)]
    assert "is an input" in refused(command, capsys)


def test_tensors_that_are_one_by_two_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    tied = torch.ones(3, 2)
    torch.save({"a": tied, "b": tied, "c": tied[:1]}, "w.pt")
    line = refused(["pack", "--weights", "w.pt", "--output", "p"], capsys)
    assert line.startswith("'a' and 'b' in w.pt are one tensor")
    torch.save({"a": torch.ones(1).expand(1000)}, "w.pt")
    line = refused(["pack", "--weights", "w.pt", "--output", "p"], capsys)
    assert line.startswith("'a' in w.pt repeats its elements")


@pytest.mark.parametrize("name", ["__metadata__", "\ud800"])
def test_names_that_files_cannot_hold(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    torch.save({name: torch.ones(2)}, "w.pt")
    assert "rename it" in refused(["pack", "--weights", "w.pt", "--output", "p"], capsys)
    with pytest.raises(sf.StructureError, match="rename it"):
        sf.save_packed({name: np.ones(2)}, "p")


def test_types_that_npz_files_lack(capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.ones(2).bfloat16()}, "w.pt")
    assert cli.main(["pack", "--weights", "w.pt", "--output", "p"]) == 0
    capsys.readouterr()
    assert cli.main(["unpack", "p", "--output", "out.npz"]) == 1
    assert "'w' is BF16, which npz files do not have" in capsys.readouterr().err
    assert not Path("out.npz").exists()
