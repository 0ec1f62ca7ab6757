"""The picture: drawn, in the format that its name says, whole or not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from swiftforce import plots

PNG = b"\x89PNG\r\n\x1a\n"
ACCURACY = {"dense": [0.9, 0.9, 0.9], "force": [0.88, 0.85, 0.7], "a & <b>": [0.1, 0.1, 0.1]}
SPARSITIES = (0.0, 0.9, 0.995)


def draw(path: Path | str) -> None:
    plots.accuracy_against_sparsity(ACCURACY, SPARSITIES, path, title="A title")


@pytest.mark.parametrize(
    ("name", "start"), [("a.png", PNG), ("b.pdf", b"%PDF"), ("c.svg", b"<?xml")]
)
def test_the_suffix_names_the_format(name: str, start: bytes, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert content.startswith(start)
    assert len(content) > 2000
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_the_picture_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    draw(str(tmp_path / "c.svg"))
    text = (tmp_path / "c.svg").read_text()
    for word in ("A title", "dense", "force", ">0<", ">90<", ">99.5<", "test accuracy"):
        assert word in text


def test_no_state_of_matplotlib_is_moved(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pyplot_was_there = "matplotlib.pyplot" in sys.modules
    draw(tmp_path / "a.png")
    assert ("matplotlib.pyplot" in sys.modules) is pyplot_was_there


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="nonsense"):
        draw(tmp_path / "a.nonsense")
    with pytest.raises(FileNotFoundError):
        draw(tmp_path / "no folder" / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_half_written_picture_never_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    def half(self: Figure, path: Path, **_: object) -> None:
        path.write_bytes(PNG)
        raise OSError("no space left")

    (tmp_path / "a.png").write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError, match="no space left"):
        draw(tmp_path / "a.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_whether_matplotlib_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    assert plots.can_plot()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not plots.can_plot()
