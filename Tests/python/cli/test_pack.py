"""The commands ``pack`` and ``unpack``: bits come back, or one line says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from checkpoint_files import PRUNABLE, prunable, tensors, write, write_raw, write_split
from swiftforce import cli
from swiftforce.files.checkpoints import Checkpoint

pytest.importorskip("safetensors")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the commands."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pruning() -> sf.Pruning:
    """The content of m.safetensors; w.safetensors holds weights that it was applied to."""
    found = sf.magnitude(prunable(2), sparsity=0.9)
    found.save("m.safetensors")
    write(Path("w.safetensors"), sparse(found))
    return found


def sparse(pruning: sf.Pruning) -> dict[str, np.ndarray]:
    return tensors(1) | sf.apply_masks(prunable(1), pruning)


def pack(*weights: str, output: str = "p.safetensors", masks: str | None = None) -> int:
    more = [] if masks is None else ["--masks", masks]
    return cli.main(["pack", "--weights", *weights, *more, "--output", output])


def unpack(packed: str = "p.safetensors", output: str = "o.safetensors") -> int:
    return cli.main(["unpack", packed, "--output", output])


def stored(*paths: str) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """The type, shape and bytes of each tensor."""
    checkpoint = Checkpoint([Path(path) for path in paths])
    return {
        name: (info.dtype, info.shape, info.file.read_bytes()[info.start : info.stop])
        for name, info in checkpoint.tensors.items()
    }


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def refused(status: int, capsys: pytest.CaptureFixture[str]) -> str:
    """The error line of a command that was refused."""
    assert status == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("swiftforce: ")
    assert len(captured.err.splitlines()) == 1
    return captured.err


@pytest.mark.usefixtures("pruning")
@pytest.mark.parametrize("masks", [None, "m.safetensors"])
def test_a_file_comes_back_as_the_same_bytes(
    masks: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pack("w.safetensors", masks=masks) == 0
    before, after = (Path(f"{name}.safetensors").stat().st_size for name in "wp")
    out = capsys.readouterr().out
    assert f" of 6 tensors packed; {after:,} bytes, {after / before:.2%} of {before:,}\n" in out
    assert out.endswith("packed: p.safetensors\n")
    assert unpack() == 0
    assert capsys.readouterr().out == "6 tensors\nweights: o.safetensors\n"
    assert Path("o.safetensors").read_bytes() == Path("w.safetensors").read_bytes()


def test_a_sparse_checkpoint_is_small(capsys: pytest.CaptureFixture[str]) -> None:
    weights = {"w": np.random.default_rng(0).standard_normal((400, 500)).astype(np.float32)}
    write(Path("w.safetensors"), sf.apply_masks(weights, sf.magnitude(weights, sparsity=0.99)))
    assert pack("w.safetensors") == 0
    assert "1 of 1 tensors packed" in capsys.readouterr().out
    assert Path("p.safetensors").stat().st_size < 0.015 * Path("w.safetensors").stat().st_size
    assert unpack() == 0
    assert Path("o.safetensors").read_bytes() == Path("w.safetensors").read_bytes()


@pytest.mark.usefixtures("pruning")
def test_masks_come_back_with_the_weights(pruning: sf.Pruning) -> None:
    weights = sparse(pruning)
    weights[PRUNABLE[0]][:] = 0
    write(Path("w.safetensors"), weights)
    assert pack("w.safetensors", masks="m.safetensors") == 0
    found = sf.load_packed("p.safetensors")
    assert found.masks.keys() == pruning.masks.keys()
    for name, mask in pruning.masks.items():
        np.testing.assert_array_equal(found.masks[name], mask)
    assert found.tensors.keys() == weights.keys()
    for name, weight in weights.items():
        np.testing.assert_array_equal(found.tensors[name], weight)


@pytest.mark.parametrize("by_index", [True, False])
def test_shards_become_one_file(by_index: bool, pruning: sf.Pruning) -> None:
    index = write_split(Path("split"), sparse(pruning))
    shards = sorted(map(str, Path("split").glob("*.safetensors")))
    assert pack(*([str(index)] if by_index else shards), masks="m.safetensors") == 0
    assert unpack() == 0
    assert stored("o.safetensors") == stored(*shards)
    assert Checkpoint([Path("o.safetensors")]).metadata == {"format": "np"}


def raw(dtype: str, width: int, size: int = 64) -> tuple[str, tuple[int, ...], bytes]:
    content = bytearray(size * width)
    content[:: 16 * width] = bytes(range(1, 1 + size // 16))
    return dtype, (4, size // 4), bytes(content)


@pytest.mark.parametrize(
    ("dtype", "width"),
    [("BF16", 2), ("F8_E4M3", 1), ("F8_E5M2", 1), ("F8_E8M0", 1), ("C64", 8), ("BOOL", 1)],
)
def test_types_that_numpy_lacks(dtype: str, width: int, capsys: pytest.CaptureFixture[str]) -> None:
    write_raw(Path("w.safetensors"), {"x": ("U8", (1,), b"x"), "w": raw(dtype, width)})
    assert pack("w.safetensors") == 0
    assert "1 of 2 tensors packed" in capsys.readouterr().out
    assert unpack() == 0
    assert stored("o.safetensors") == stored("w.safetensors")


def test_types_of_less_than_a_byte() -> None:
    entries = {"a": ("F4", (3, 2), b"abc"), "b": ("F6_E2M3", (4,), b"\0\0\0"), "c": raw("F32", 4)}
    write_raw(Path("w.safetensors"), entries)
    assert pack("w.safetensors") == 0
    assert unpack() == 0
    assert stored("o.safetensors") == stored("w.safetensors")


def test_tensors_begin_where_their_elements_may() -> None:
    """Some readers map the file, and need numbers of four bytes at multiples of four."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    sf.save_packed(
        {"a": np.array([True]), "b": np.float32([1, 2]), "c": np.float16([3]), "d": np.ones(1)},
        "p.safetensors",
    )
    assert unpack() == 0
    found = load_file("o.safetensors")
    assert {name: value.tolist() for name, value in found.items()} == {
        "a": [True],
        "b": [1, 2],
        "c": [3],
        "d": [1],
    }
    assert found["d"].dtype == torch.float64
    infos = Checkpoint([Path("o.safetensors")]).tensors.values()
    widths = {"BOOL": 1, "F16": 2, "F32": 4, "F64": 8}
    assert [info.start % widths[info.dtype] for info in infos] == [0] * 4


def test_empty_tensors_numbers_and_odd_names() -> None:
    write(
        Path("w.safetensors"),
        {"naïve\n☃": np.zeros((0, 3), np.float32), "": np.array(2.0), "x": np.zeros(1, np.int8)},
    )
    assert pack("w.safetensors") == 0
    assert unpack() == 0
    assert Path("o.safetensors").read_bytes() == Path("w.safetensors").read_bytes()


def test_metadata_come_back_in_their_order() -> None:
    from safetensors.numpy import save_file

    metadata = {"format": "pt", "b": "☃", "a": "", "swiftforce": "x"}
    save_file({"w": np.ones(3)}, "w.safetensors", metadata)
    assert pack("w.safetensors") == 0
    assert unpack() == 0
    assert Path("o.safetensors").read_bytes() == Path("w.safetensors").read_bytes()


def test_metadata_of_the_first_file_count() -> None:
    from safetensors.numpy import save_file

    for name in "ab":
        metadata = {"format": "np", "of": name, f"only {name}": name}
        save_file({name: np.ones(3)}, f"{name}.safetensors", metadata)
    assert pack("a.safetensors", "b.safetensors") == 0
    assert unpack() == 0
    found = Checkpoint([Path("o.safetensors")]).metadata
    assert found == {"format": "np", "of": "a", "only a": "a", "only b": "b"}


def test_a_checkpoint_without_tensors_and_metadata() -> None:
    write_raw(Path("w.safetensors"), {})
    assert pack("w.safetensors") == 0
    assert unpack() == 0
    found = Checkpoint([Path("o.safetensors")])
    assert (found.tensors, found.metadata) == ({}, {})


def test_tied_names_of_a_model_are_written_out() -> None:
    torch = pytest.importorskip("torch")
    import swiftforce.torch as sft

    model = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 3), "b": torch.nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    sft.save_packed(model, "p.safetensors")
    assert unpack() == 0
    found = stored("o.safetensors")
    assert found.keys() == model.state_dict().keys()
    assert found["a.weight"] == found["b.weight"]


# ------------------------------------------------------------------------- what is refused


@pytest.mark.usefixtures("pruning")
@pytest.mark.parametrize(
    ("weights", "output", "masks", "text"),
    [
        (["w.safetensors"], "w.safetensors", None, "w.safetensors is an input"),
        (["w.safetensors"], "m.safetensors", "m.safetensors", "m.safetensors is an input"),
        (
            ["split/model.safetensors.index.json"],
            "split/model.safetensors.index.json",
            None,
            "is an input",
        ),
        (
            ["split/model.safetensors.index.json"],
            "split/model-00002-of-00002.safetensors",
            None,
            "model-00002-of-00002.safetensors is an input",
        ),
        (["w.safetensors"], "no/p.safetensors", None, "there is no folder 'no'"),
        (["w.safetensors"], "split", None, "'split' is a folder"),
        (["no.safetensors"], "p.safetensors", None, "no.safetensors: No such file or directory"),
        (["w.safetensors"], "p.safetensors", "w.safetensors", "w.safetensors"),
        (["dense.safetensors"], "p.safetensors", "m.safetensors", "are not +0 although"),
        (["other.safetensors"], "p.safetensors", "m.safetensors", "holds masks of other weights"),
        (["half.safetensors"], "p.safetensors", None, "half.safetensors is damaged"),
        (["sides.safetensors"], "p.safetensors", None, "'w' in sides.safetensors has a shape that"),
        (["huge.safetensors"], "p.safetensors", None, "'w' in huge.safetensors has a shape that"),
    ],
)
def test_what_cannot_be_packed_is_one_line(
    weights: list[str],
    output: str,
    masks: str | None,
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_split(Path("split"), tensors(1))
    write(Path("dense.safetensors"), tensors(1))
    write(Path("other.safetensors"), {"w": np.ones(2)})
    Path("half.safetensors").write_bytes(Path("w.safetensors").read_bytes()[:-1])
    write_raw(Path("sides.safetensors"), {"w": ("F4", (2, *[1] * 65), b"x")})
    write_raw(Path("huge.safetensors"), {"w": ("U8", (0, 2**63), b"")})
    before = files()
    assert text in refused(pack(*weights, output=output, masks=masks), capsys)
    assert files() == before


def test_masks_of_elements_of_less_than_a_byte(capsys: pytest.CaptureFixture[str]) -> None:
    sf.magnitude({"w": np.float32([1, 2])}, keep=1).save("m.safetensors")
    write_raw(Path("w.safetensors"), {"w": ("F4", (2,), b"\0")})
    line = refused(pack("w.safetensors", masks="m.safetensors"), capsys)
    assert "'w' is F4, which is packed without a mask" in line


@pytest.mark.parametrize("damage", ["cut", "flipped", "masks", "checkpoint", "text", "none"])
@pytest.mark.usefixtures("pruning")
def test_what_cannot_be_unpacked_is_one_line(
    damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pack("w.safetensors") == 0
    capsys.readouterr()
    path = Path("p.safetensors")
    content = path.read_bytes()
    if damage == "none":
        path.unlink()
    else:
        path.write_bytes(
            {
                "cut": content[:-1],
                "flipped": content[:-1] + bytes([content[-1] ^ 1]),
                "masks": Path("m.safetensors").read_bytes(),
                "checkpoint": Path("w.safetensors").read_bytes(),
                "text": b"some text",
            }[damage]
        )
    before = files()
    assert "p.safetensors" in refused(unpack(), capsys)
    assert files() == before


@pytest.mark.usefixtures("pruning")
def test_a_packed_model_is_not_replaced_by_what_it_holds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert pack("w.safetensors") == 0
    capsys.readouterr()
    before = files()
    line = refused(unpack(output="./p.safetensors"), capsys)
    assert "p.safetensors is an input: write to another path" in line
    assert files() == before


@pytest.mark.parametrize("command", ["unpack", "masks"])
@pytest.mark.usefixtures("pruning")
def test_files_of_torch_are_no_masks_and_no_packed_models(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.ones(2)}, "w.pt")
    status = {
        "unpack": lambda: unpack("w.pt"),
        "masks": lambda: pack("w.safetensors", masks="w.pt"),
    }[command]()
    line = refused(status, capsys)
    assert "w.pt is a file of torch or numpy, not" in line
