"""The command ``prune``: masks equal those found in arrays, and errors say why."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from checkpoint_files import PRUNABLE, prunable, tensors, write, write_raw, write_split
from command import run
from swiftforce import cli

pytest.importorskip("safetensors")

Command = Callable[..., int]


@pytest.fixture
def prune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command in a folder with a checkpoint and gradients; masks go to m.safetensors."""
    monkeypatch.chdir(tmp_path)
    write(Path("w.safetensors"), tensors(1))
    write(Path("g.safetensors"), tensors(2))
    usual = {
        "--weights": ["w.safetensors"],
        "--gradients": ["g.safetensors"],
        "--sparsity": ["0.8"],
        "--output": ["m.safetensors"],
    }

    def command(*more: str, without: tuple[str, ...] = ()) -> int:
        given = {option: values for option, values in usual.items() if option not in without}
        options = [text for option, values in given.items() for text in (option, *values)]
        return cli.main(["prune", *options, *more])

    return command


def assert_masks(expected: sf.Pruning, path: str = "m.safetensors") -> None:
    found = sf.load(path)
    assert (found.method, list(found.masks)) == (expected.method, list(expected.masks))
    for name, mask in expected.masks.items():
        np.testing.assert_array_equal(found.masks[name], mask)


def test_snip_by_default(prune: Command, capsys: pytest.CaptureFixture[str]) -> None:
    expected = sf.snip(prunable(1), prunable(2), sparsity=0.8)
    assert prune() == 0
    assert_masks(expected)
    captured = capsys.readouterr()
    assert captured.err == ""
    scope = sf.Scope(searched=66, matrices=66, by_pattern=0, parameters=111)
    assert sf.load("m.safetensors").scope == scope
    shown = dataclasses.replace(expected, scope=scope)
    assert captured.out == f"{shown}\nleft out: 3 of 6 tensors\nmasks: m.safetensors\n"
    assert sorted(path.name for path in Path().iterdir()) == [
        "g.safetensors",
        "m.safetensors",
        "w.safetensors",
    ]


def test_a_number_to_keep(prune: Command) -> None:
    assert prune("--keep", "7", without=("--sparsity",)) == 0
    assert_masks(sf.snip(prunable(1), prunable(2), keep=7))


@pytest.mark.parametrize("method", ["SNIP", "Snip"])
def test_a_method_in_any_spelling(method: str, prune: Command) -> None:
    assert prune("--method", method) == 0
    assert_masks(sf.snip(prunable(1), prunable(2), sparsity=0.8))


@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_methods_without_gradients(method: str, prune: Command) -> None:
    assert prune("--method", method, "--seed", "3", without=("--gradients",)) == 0
    assert_masks(sf.prune(prunable(1), method=method, sparsity=0.8, seed=3))


def test_patterns(prune: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert prune("--include", "layers.*", "embed*", "--exclude", "*norm*", "layers.2.*") == 0
    assert list(sf.load("m.safetensors").masks) == ["embed_tokens.weight", "layers.10.fc.weight"]
    assert "left out: 4 of 6 tensors\n" in capsys.readouterr().out


def test_nothing_is_left_out(prune: Command, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("w.safetensors"), prunable(1))
    assert prune() == 0
    assert "left out" not in capsys.readouterr().out


def test_checkpoints_that_are_split(prune: Command) -> None:
    expected = sf.snip(prunable(1), prunable(2), sparsity=0.8)
    weights = write_split(Path("w"), tensors(1))
    gradients = sorted(write_split(Path("g"), tensors(2)).parent.glob("*.safetensors"))
    options = ("--weights", str(weights), "--gradients", *map(str, gradients))
    assert prune(*options, without=("--weights", "--gradients")) == 0
    assert_masks(expected)


def test_bfloat16(prune: Command) -> None:
    torch = pytest.importorskip("torch")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    from safetensors.torch import save_file

    arrays = []
    for file, seed in (("w", 1), ("g", 2)):
        values = torch.randn(30, 20, generator=torch.Generator().manual_seed(seed)).bfloat16()
        save_file({"weight": values}, f"{file}.safetensors")
        arrays.append({"weight": values.float().numpy().astype(ml_dtypes.bfloat16)})
    assert prune() == 0
    assert_masks(sf.snip(*arrays, sparsity=0.8))


def test_tensors_that_are_not_aligned(prune: Command) -> None:
    values = np.random.default_rng(3).standard_normal((2, 30, 20)).astype(np.float32)
    for file, array in zip(("w", "g"), values, strict=True):
        entries = {"x": ("U8", (1,), b"x"), "weight": ("F32", array.shape, array.tobytes())}
        write_raw(Path(f"{file}.safetensors"), entries)
    assert prune() == 0
    assert_masks(sf.snip({"weight": values[0]}, {"weight": values[1]}, sparsity=0.8))


def test_what_is_there_is_replaced(prune: Command) -> None:
    Path("m.safetensors").write_bytes(b"old")
    assert prune() == 0
    assert sf.load("m.safetensors").masks


def test_warnings_are_lines_on_standard_error(prune: Command, tmp_path: Path) -> None:
    written = tensors(2)
    written["lm_head.weight"] = np.zeros((3, 4))
    write(tmp_path / "g.safetensors", written)
    done = run(
        *("prune", "--weights", "w.safetensors", "--gradients", "g.safetensors"),
        *("--keep", "60", "--output", "m.safetensors"),
        cwd=tmp_path,
    )
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("swiftforce: warning: the selection had fewer weights with a score")
    assert sf.load("m.safetensors").degenerate


def test_on_a_terminal_the_table_alone_tells_of_them(
    prune: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("g.safetensors"), {**tensors(2), "lm_head.weight": np.zeros((3, 4))})
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert prune("--keep", "60", without=("--sparsity",)) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "warning: the selection had fewer weights" in captured.out


# ------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("more", "without", "text"),
    [
        ((), ("--gradients",), "snip needs --gradients; without gradients use --method magn"),
        (("--method", "snip"), ("--gradients",), "snip needs --gradients"),
        (("--method", "magnitude"), (), "magnitude does not use gradients: leave out --gradients"),
        (("--method", "force"), (), "force needs new gradients at each step, but files hold one"),
        (("--method", "force"), (), "use --method snip, or call swiftforce.force or swiftforce.t"),
        (("--method", "iterative_snip"), (), "snip, or call swiftforce.iterative_snip or"),
        (("--method", "grasp_it"), (), "files hold one set: call swiftforce.grasp_it or"),
        (("--method", "FORCE"), (), "force needs new gradients at each step"),
        (("--method", "GraSP"), (), "the method 'grasp' needs a model: call swiftforce.torch.pru"),
        (("--method", "SNAP"), (), "there is no method 'SNAP'; did you mean 'snip'?"),
        ((), ("--sparsity",), "one of the arguments --sparsity --keep is required"),
        (("--keep", "3"), (), "not allowed with argument --sparsity"),
        (("--keep", "0"), ("--sparsity",), "whole number of at least 1, not 0"),
        (("--seed", "-1"), (), "seed must be in 0"),
        (("--seed", "x"), (), "argument --seed: must be a whole number, not x"),
        (("--sparsity", "90%"), ("--sparsity",), "must be a number in [0, 1), not 90%"),
        ((), ("--output",), "the following arguments are required: --output"),
        ((), ("--weights",), "the following arguments are required: --weights"),
    ],
)
def test_bad_usage(
    more: tuple[str, ...],
    without: tuple[str, ...],
    text: str,
    prune: Command,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        prune(*more, without=without)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert text in captured.err
    assert not Path("m.safetensors").exists()


def changed(file: str, name: str, array: np.ndarray | None) -> None:
    """Replaces or deletes a tensor in a file."""
    arrays = tensors(1)
    del arrays[name]
    write(Path(f"{file}.safetensors"), arrays if array is None else {**arrays, name: array})


def with_nan(seed: int) -> np.ndarray:
    array = tensors(seed)[PRUNABLE[0]]
    array[1, 2] = np.nan
    return array


@pytest.mark.parametrize(
    ("file", "array", "text"),
    [
        ("g", None, "g.safetensors has no gradients of layers.2.fc.weight\n"),
        (
            "g",
            np.ones((5, 6), np.float32),
            "gradients['layers.2.fc.weight'] has shape (5, 6) where weights['layers.2.fc.weight'] "
            "has (6, 5): it looks transposed, pass its transpose\n",
        ),
        ("g", np.ones((6, 5), np.int32), "'layers.2.fc.weight' in g.safetensors is I32, not one"),
        ("g", with_nan(2), "gradients['layers.2.fc.weight'] has 1 value that is not finite"),
        ("w", with_nan(1), "weights['layers.2.fc.weight'] has 1 value that is not finite"),
    ],
)
def test_numbers_that_do_not_fit(
    file: str,
    array: np.ndarray | None,
    text: str,
    prune: Command,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changed(file, PRUNABLE[0], array)
    assert prune() == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("swiftforce: ")
    assert text in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not Path("m.safetensors").exists()


@pytest.mark.parametrize(
    ("more", "without", "text"),
    [
        (("--output", "w.safetensors"), (), "w.safetensors is an input: write the masks"),
        (("--output", "./g.safetensors"), (), "g.safetensors is an input: write the masks"),
        (("--output", "no/m.safetensors"), (), "there is no folder 'no' for 'm.safetensors'"),
        (("--output", "."), (), "'.' is a folder; name a file"),
        (("--gradients", "w.safetensors"), (), "w.safetensors is given for both weights and grad"),
        (("--gradients", "no.safetensors"), (), "no.safetensors: No such file or directory"),
        (("--weights", "."), (), ". is not a file"),
        (("--include", "layer.*"), (), "include has the pattern 'layer.*', which matches nothing"),
        (("--exclude", "layer.*"), (), "exclude has the pattern 'layer.*', which matches nothing"),
        (("--keep", "100"), ("--sparsity",), "100"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    more: tuple[str, ...],
    without: tuple[str, ...],
    text: str,
    prune: Command,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    assert prune(*more, without=without) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("swiftforce: ")
    assert text in captured.err
    assert len(captured.err.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_what_is_no_file_is_not_replaced(
    prune: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe")
    assert prune("--output", "pipe") == 1
    assert "'pipe' is not a regular file" in capsys.readouterr().err
    assert Path("pipe").is_fifo()


def test_an_index_is_not_written_over(prune: Command, capsys: pytest.CaptureFixture[str]) -> None:
    index = str(write_split(Path("w"), tensors(1)))
    assert prune("--weights", index, "--output", index) == 1
    assert "is an input" in capsys.readouterr().err


@pytest.mark.parametrize("old", [True, False], ids=["zip", "pickle"])
def test_files_of_torch_are_read(old: bool, prune: Command) -> None:
    torch = pytest.importorskip("torch")
    arrays = {name: torch.from_numpy(array) for name, array in prunable(1).items()}
    torch.save(arrays, "w.pt", _use_new_zipfile_serialization=old)
    assert prune("--weights", "w.pt", without=("--weights",)) == 0
    assert_masks(sf.snip(prunable(1), prunable(2), sparsity=0.8))


def test_files_of_numpy_are_read(prune: Command) -> None:
    np.savez("g.npz", **prunable(2))
    assert prune("--gradients", "g.npz", without=("--gradients",)) == 0
    assert_masks(sf.snip(prunable(1), prunable(2), sparsity=0.8))


def test_an_input_of_torch_is_not_written_over(
    prune: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez("w.npz", **prunable(1))
    content = Path("w.npz").read_bytes()
    assert prune("--weights", "w.npz", "--output", "w.npz", without=("--weights",)) == 1
    assert "w.npz is an input" in capsys.readouterr().err
    both = ("--weights", "w.npz", "--gradients", "w.npz")
    assert prune(*both, without=("--weights", "--gradients")) == 1
    assert "w.npz is given for both weights and gradients" in capsys.readouterr().err
    assert Path("w.npz").read_bytes() == content


@pytest.mark.parametrize("old", [None, b"old"])
def test_an_interrupt_leaves_no_file(
    old: bytes | None,
    prune: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if old is not None:
        Path("m.safetensors").write_bytes(old)
    before = {path.name: path.read_bytes() for path in Path().iterdir()}

    def interrupted(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    assert prune() == 130
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "swiftforce: interrupted\n")
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


@pytest.mark.parametrize("missing", ["safetensors", "ml_dtypes"])
@pytest.mark.slow
def test_without_an_extra(missing: str, prune: Command, tmp_path: Path) -> None:
    write_raw(tmp_path / "w.safetensors", {"w.weight": ("BF16", (1, 2), b"\0\1\2\3")})
    done = run(
        *("prune", "--weights", "w.safetensors", "--method", "magnitude"),
        *("--keep", "1", "--output", "m.safetensors"),
        cwd=tmp_path,
        blocked=(missing,),
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("swiftforce: ")
    assert line.endswith(f"need {missing}: pip install 'swiftforce[files]'")
