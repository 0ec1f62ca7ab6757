"""The picture of accuracies: content, format by suffix, and no partial files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from swiftforce.comparison.plots import against_sparsity
from swiftforce.experiments import compared_methods
from swiftforce.show import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PNG = b"\x89PNG\r\n\x1a\n"
ACCURACY = {
    "dense": {0.0: [90, 91]},
    "force": {0.9: [85, 86], 0.0: [88, 87], 0.995: [70, 60]},
    "a & <b>": {0.0: [10], 0.9: [10]},
}


def draw(path: Path | str) -> None:
    plots.save(against_sparsity(ACCURACY, title="A title", label="accuracy, %", chance=25), path)


@pytest.mark.slow
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
    words = ("A title", "dense", "FORCE", "a &amp; &lt;b&gt;", "chance", "accuracy, %")
    for word in (*words, ">0<", ">90<", ">99.5<"):
        assert word in text


def drawn(accuracy: dict = ACCURACY, **more: object) -> Axes:
    """The axes of a picture that is not written to a file."""
    return against_sparsity(accuracy, title="A title", **more).axes[0]


def test_lines_are_means_and_bands_reach_from_least_to_most() -> None:
    pytest.importorskip("matplotlib")
    axes = drawn()
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines) == ["dense", "FORCE", "a & <b>"]
    np.testing.assert_allclose(lines["FORCE"].get_xdata(), [1, 0.1, 0.005])
    np.testing.assert_allclose(lines["FORCE"].get_ydata(), [87.5, 85.5, 65])
    np.testing.assert_allclose(lines["dense"].get_ydata(), 90.5)
    corners = axes.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(sorted({y for x, y in corners if x < 0.01}), [60, 70])


def test_chance_is_drawn_where_it_is_known() -> None:
    pytest.importorskip("matplotlib")
    line = drawn(chance=25).get_lines()[-1]
    assert (line.get_label(), list(line.get_ydata())) == ("chance", [25, 25])


def test_every_method_has_a_look_of_its_own() -> None:
    looks = [plots.STYLES[method] for method in compared_methods()]
    for values in ({look.label for look in looks}, {look.color for look in looks}):
        assert len(values) == len(looks)
    assert len({look.marker for look in looks}) == len(looks)


def test_words_after_a_method_change_the_line_alone() -> None:
    plain, shuffled = plots.style("force"), plots.style("force shuffled")
    assert (shuffled.color, shuffled.label, shuffled.line) == (plain.color, "FORCE shuffled", "--")
    assert plots.style("force momentum=0.5").line == ":" != plain.line
    assert plots.style("my method") == plots.Style("my method")


def test_at_a_single_sparsity_the_spread_is_a_bar() -> None:
    pytest.importorskip("matplotlib")
    axes = drawn({"snip": {0.9: [50, 70]}})
    (bar,) = axes.collections[0].get_segments()
    np.testing.assert_allclose(bar, [[0.1, 50], [0.1, 70]])
    low, high = sorted(axes.get_xlim())
    assert low < 0.1 < high


def test_only_the_dense_network() -> None:
    pytest.importorskip("matplotlib")
    (line,) = drawn({"dense": {0.0: [90]}}).get_lines()
    assert list(line.get_ydata()) == [90, 90]


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
