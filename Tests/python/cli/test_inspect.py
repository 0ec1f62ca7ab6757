"""The command ``inspect``: table, JSON and picture of a file of masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from checkpoint_files import PRUNABLE, prunable, tensors, write
from command import run
from swiftforce import cli

pytest.importorskip("safetensors")


@pytest.fixture
def pruning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sf.Pruning:
    """The content of m.safetensors."""
    monkeypatch.chdir(tmp_path)
    found = sf.force(prunable(1), lambda masked: prunable(2), sparsity=0.8, steps=3)
    found.save("m.safetensors")
    return found


def test_the_table(pruning: sf.Pruning, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "m.safetensors"]) == 0
    assert capsys.readouterr().out == f"{pruning}\n"


def test_json(pruning: sf.Pruning, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "--json", "m.safetensors"]) == 0
    shown = capsys.readouterr().out
    assert shown == f"{pruning.to_json()}\n"
    assert json.loads(shown) == pruning.to_dict()


@pytest.mark.slow
def test_a_picture(pruning: sf.Pruning, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert cli.main(["inspect", "m.safetensors", "--plot", "m.png"]) == 0
    assert capsys.readouterr().out == f"{pruning}\npicture: m.png\n"
    assert Path("m.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert cli.main(["inspect", "m.safetensors", "--json", "--plot", "m.svg"]) == 0
    assert json.loads(capsys.readouterr().out) == pruning.to_dict()
    assert sorted(path.name for path in Path().iterdir()) == ["m.png", "m.safetensors", "m.svg"]


def test_masks_of_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sf.magnitude(np.float32([1, 3, 2]), keep=2).save(tmp_path / "m")
    assert cli.main(["inspect", str(tmp_path / "m")]) == 0
    assert capsys.readouterr().out.startswith("magnitude: 2 of 3 weights kept")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("no.safetensors",), "no.safetensors: No such file or directory"),
        ((".",), ".: Is a directory"),
        (
            ("w.safetensors",),
            "w.safetensors is not a file of masks (for a checkpoint: swiftforce inspect --weights "
            "w.safetensors)\n",
        ),
        (("other",), "other is not a file of masks\n"),
        (("cut.safetensors",), "cut.safetensors is damaged: it ends within its header\n"),
        (("short.safetensors",), "short.safetensors is damaged: "),
        (("w.npz",), "w.npz is a file of torch or numpy, not of masks"),
        (("m.safetensors", "--plot", "no/m.png"), "there is no folder 'no' for the picture"),
        (("m.safetensors", "--plot", "m.nonsense"), "'m.nonsense' has no suffix of a picture"),
        (("m.safetensors", "--plot", "m.safetensors"), "has no suffix of a picture"),
    ],
)
@pytest.mark.usefixtures("pruning")
def test_what_cannot_be_shown_is_one_line(
    arguments: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--plot" in arguments:
        pytest.importorskip("matplotlib")
    write(Path("w.safetensors"), tensors(1))
    np.savez("w.npz", **tensors(1))
    Path("other").write_text("some text, which is longer than a length")
    content = Path("m.safetensors").read_bytes()
    Path("cut.safetensors").write_bytes(content[:60])
    Path("short.safetensors").write_bytes(content[:-1])
    assert cli.main(["inspect", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("swiftforce: ")
    assert text in captured.err
    assert len(captured.err.splitlines()) == 1


def test_a_picture_does_not_replace_the_masks(
    pruning: sf.Pruning, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    pruning.save("masks.png")
    assert cli.main(["inspect", "masks.png", "--plot", "./masks.png"]) == 1
    assert "masks.png is the file of masks: draw to another path" in capsys.readouterr().err
    assert sf.load("masks.png").keep == pruning.keep


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("safetensors", "need safetensors: pip install 'swiftforce[files]'"),
        ("matplotlib", "need matplotlib: pip install 'swiftforce[demo]'"),
    ],
)
@pytest.mark.usefixtures("pruning")
@pytest.mark.slow
def test_without_an_extra(missing: str, text: str, tmp_path: Path) -> None:
    done = run("inspect", "m.safetensors", "--plot", "m.png", cwd=tmp_path, blocked=(missing,))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("swiftforce: ")
    assert done.stderr.endswith(f"{text}\n")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "m.png").exists()


def test_which_tensors_of_a_checkpoint_are_pruned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write(tmp_path / "w.safetensors", tensors(1)))
    assert cli.main(["inspect", "--weights", path, "--exclude", "lm_head*"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 of 6 arrays are prunable: 54 of 111 numbers, 81.8 %")
    assert any("embed_tokens.weight" in line and "an embedding" in line for line in lines)
    assert any("lm_head.weight" in line and "matched by exclude" in line for line in lines)
    assert cli.main(["inspect", "--weights", path, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows if row["pruned"]] == PRUNABLE
    assert all(row["why"] for row in rows)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("m.safetensors", "--weights", "w.safetensors"),
        ("m.safetensors", "--include", "*"),
        ("--weights", "w.safetensors", "--plot", "m.png"),
    ],
)
def test_masks_and_weights_exclude_each_other(arguments: tuple[str, ...]) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(SystemExit) as ended:
        cli.main(["inspect", *arguments])
    assert ended.value.code == 2


@pytest.mark.usefixtures("pruning")
def test_a_search_is_no_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    search = sf.MaskSearch(prunable(1), sparsity=0.5, method="magnitude")
    search.save("s.safetensors")
    assert cli.main(["inspect", "s.safetensors"]) == 1
    assert capsys.readouterr().err.endswith("s.safetensors is not a file of masks\n")


@pytest.mark.usefixtures("pruning")
def test_a_header_as_long_as_a_pickle_begins_is_no_pickle(
    capsys: pytest.CaptureFixture[str],
) -> None:
    header = b'{"fc.weight":{"dtype":"F32","shape":[4,3],"data_offsets":[0,48]}}'.ljust(0x280)
    Path("w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(48))
    assert Path("w.safetensors").read_bytes().startswith(b"\x80\x02")
    assert cli.main(["inspect", "--weights", "w.safetensors"]) == 0
    assert "12 of 12 numbers" in capsys.readouterr().out


BUFFERS = {
    "bn.running_mean": np.ones(50, np.float32),
    "bn.running_var": np.ones(50, np.float32),
    "bn.num_batches_tracked": np.array([3]),
    "batch_stats/bn/mean": np.ones((2, 50), np.float32),
}


@pytest.mark.usefixtures("pruning")
def test_buffers_are_no_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    weights = {"fc.weight": np.arange(12, dtype=np.float32).reshape(4, 3), "fc.bias": np.ones(4)}
    write(Path("w.safetensors"), {**weights, **BUFFERS})
    arguments = ["prune", "--weights", "w.safetensors", "--method", "magnitude", "--sparsity"]
    assert cli.main([*arguments, "0.5", "--output", "out.safetensors"]) == 0
    assert "of 16 parameters" in capsys.readouterr().out
    assert cli.main(["inspect", "--weights", "w.safetensors"]) == 0
    shown = capsys.readouterr().out
    assert "12 of 16 numbers" in shown
    assert "4 others" in shown
    assert "a buffer, not a parameter" in shown


@pytest.mark.parametrize("pattern", ["*.running_mean", "bn.*", "batch_stats*"])
@pytest.mark.usefixtures("pruning")
def test_include_takes_no_buffer(pattern: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("w.safetensors"), {"fc.weight": np.ones((4, 3), np.float32), **BUFFERS})
    assert cli.main(["inspect", "--weights", "w.safetensors", "--include", pattern]) == 1
    assert "matches nothing" in capsys.readouterr().err
