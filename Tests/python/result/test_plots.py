"""The picture of a result: what is drawn, and that a notebook and a file can show it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from kinds import network

matplotlib = pytest.importorskip("matplotlib")

from matplotlib import style  # noqa: E402
from swiftforce.result.plots import distinct  # noqa: E402
from swiftforce.show.plots import STYLES  # noqa: E402 - of matplotlib

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

WEIGHTS = {
    "net.0.weight": np.arange(1, 11, dtype=np.float32),
    "net.1.weight": np.full(10, 1e-3, np.float32),
    "net.2.weight": np.arange(1, 6, dtype=np.float32),
}


def test_a_search_of_one_step_is_its_layers() -> None:
    found = sf.magnitude(WEIGHTS, keep=10)
    (axes,) = found.plot().axes
    assert axes.get_yscale() == "log"
    heights = [bar.get_height() for bar in axes.patches]
    assert heights[0] == found.layers[0].density
    assert np.isnan(heights[1])
    assert heights[2] == found.layers[2].density
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2"]
    level, empty = axes.get_lines()
    assert set(level.get_ydata()) == {found.density}
    assert list(empty.get_xdata()) == [1]
    assert "nothing is left: 1" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert axes.get_ylim()[0] < min(height for height in heights if height > 0)
    assert axes.get_ylim()[0] < found.density


def test_a_tensor_without_weights_has_no_bar() -> None:
    found = sf.magnitude({"a": np.float32([1, 2]), "none": np.empty((0, 2), np.float32)}, keep=1)
    heights = [bar.get_height() for bar in found.plot().axes[0].patches]
    assert heights[0] == 0.5
    assert np.isnan(heights[1])


def test_names_are_no_formulas(tmp_path: Path) -> None:
    names = ["$x_1$ $\\frac$", "$\\foo{$", "\udc80", "two\nlines"]
    figure = sf.magnitude({name: np.float32([1, 2]) for name in names}, keep=6).plot()
    figure.savefig(tmp_path / "a.png")
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == [*names[:2], "\\udc80", "two\\nlines"]


def test_the_course_of_a_search() -> None:
    weights, gradients = network(21)
    found = sf.force(weights, gradients, sparsity=0.7, steps=5)
    figure = found.plot()
    _, saliency, churn = figure.axes
    (line,) = saliency.get_lines()
    assert list(line.get_ydata()) == [step.saliency for step in found.history]
    assert line.get_color() == STYLES["force"].color
    removed, revived = churn.get_lines()
    assert list(removed.get_ydata()) == [step.removed for step in found.history]
    assert list(revived.get_ydata()) == [step.revived for step in found.history[1:]]
    assert "force: 18 of 61 weights kept" in figure.get_suptitle()


def test_steps_that_positions_chose_are_marked() -> None:
    weights = np.float32([1, 2, 3, 4, 5, 6])
    search = sf.MaskSearch(weights, schedule=[4, 2])
    search.step(weights * 0)
    search.step(weights)
    _, saliency, _ = search.result().plot().axes
    assert list(saliency.get_lines()[1].get_xdata()) == [1]


def test_of_many_layers_some_are_named() -> None:
    weights = {f"layers.{i}.weight": np.arange(1, 11, dtype=np.float32) for i in range(160)}
    (axes,) = sf.magnitude(weights, keep=800).plot().axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert len(labels) == 32
    assert labels[:3] == ["0", "5", "10"]
    assert len(axes.patches) == 160


def test_a_notebook_is_not_needed_and_pyplot_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    figure = sf.magnitude(WEIGHTS, keep=10).plot()
    assert isinstance(figure, matplotlib.figure.Figure)
    assert "matplotlib.pyplot" not in sys.modules


def test_it_follows_the_style_of_the_user(tmp_path) -> None:
    found = sf.magnitude(WEIGHTS, keep=10)
    with style.context("dark_background"):
        figure = found.plot()
    assert figure.get_facecolor() == (0, 0, 0, 1)
    level = figure.axes[0].get_lines()[0]
    assert level.get_color() == "white"
    figure.savefig(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "swiftforce.result.plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'swiftforce\[demo\]'"):
        sf.magnitude(WEIGHTS, keep=10).plot()


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["a"], ["a"]),
        (["a.weight", "b.weight"], ["a", "b"]),
        (["net.weight", "net.weight.x"], ["weight", "weight.x"]),
        (["0", "1"], ["0", "1"]),
        (["a/b/kernel", "a/c/kernel"], ["b", "c"]),
        (["m.x.weight", "m.y.weight", "m.z"], ["x.weight", "y.weight", "z"]),
        ([f"m.{'x' * 30}.weight", "m.q.weight"], [f"{'x' * 12}…{'x' * 12}", "q"]),
        (["same.weight", "same.weight"], ["weight", "weight"]),
    ],
)
def test_names_without_what_all_have(names: list[str], shown: list[str]) -> None:
    assert distinct(names) == shown
