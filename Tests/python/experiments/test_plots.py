"""Pictures of results: layer densities with empty layers, and churn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from swiftforce.experiments import plots as search_plots
from swiftforce.show import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytest.importorskip("matplotlib")

PNG = b"\x89PNG\r\n\x1a\n"
FULL = {"0.weight": 0.5, "2.weight": 0.01, "4.weight": 1.0}
HOLED = {"0.weight": 0.5, "2.weight": 0.0, "4.weight": 0.5}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures, which are not written to files."""
    found: list[Figure] = []
    monkeypatch.setattr(plots, "save", lambda figure, _: found.append(figure))
    return found


def test_a_panel_per_sparsity_and_a_line_per_method(figures: list[Figure]) -> None:
    densities = {
        sparsity: {"force": [FULL, HOLED], "a method": [FULL]} for sparsity in (0.9, 0.99, 0.995)
    }
    search_plots.layer_densities(densities, "a.png", title="A title")
    (figure,) = figures
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == [
        "90 % removed",
        "99 % removed",
        "99.5 % removed",
    ]
    for axes in panels:
        assert axes.get_yscale() == "log"
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "2", "4"]
        force, _, other, _ = axes.get_lines()
        np.testing.assert_allclose(force.get_ydata(), [0.5, 0.005, 0.75])
        np.testing.assert_allclose(other.get_ydata(), [0.5, 0.01, 1.0])
        assert force.get_color() == plots.STYLES["force"].color
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["FORCE", "a method"]


def test_empty_layers_are_marked_below_all_that_is_kept(figures: list[Figure]) -> None:
    methods = {"force": [FULL], "snip": [HOLED, HOLED], "magnitude": [FULL, HOLED]}
    search_plots.layer_densities({0.99: methods}, "a.png", title="A title")
    axes = figures[0].axes[0]
    assert "empty" in [text.get_text() for text in axes.texts]
    lines = axes.get_lines()
    marks = {
        method: list(line.get_xdata()) for method, line in zip(methods, lines[1::2], strict=True)
    }
    assert marks == {"force": [], "snip": [1], "magnitude": [1]}
    # The strip ends below the least density that is drawn.
    strip = axes.patches[0].get_extents()
    lowest = axes.transData.transform((1, 0.005))[1]
    assert strip.y1 < lowest
    for line in lines[3::2]:
        (place,) = line.get_transform().transform(np.column_stack(line.get_data()))
        assert strip.y0 < place[1] < strip.y1
    # Each method has its own height in it.
    assert lines[3].get_ydata() != lines[5].get_ydata()
    # A layer that is empty with all seeds has no density.
    assert np.isnan(lines[2].get_ydata()[1])


def test_no_strip_where_no_layer_is_empty(figures: list[Figure]) -> None:
    search_plots.layer_densities({0.9: {"force": [FULL]}}, "a.png", title="A title")
    axes = figures[0].axes[0]
    assert not axes.patches
    assert not axes.texts
    assert axes.get_ylim()[0] < 0.01


def test_removed_and_revived_per_step(figures: list[Figure]) -> None:
    removed = {0.99: [(50, 30, 10), (70, 10, 10)], 0.9: [(9, 8, 7)]}
    revived = {0.99: [(0, 5, 1), (0, 7, 3)], 0.9: [(0, 1, 2)]}
    search_plots.churn(removed, revived, "a.png", title="A title")
    (figure,) = figures
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("removed", "revived")
    for axes, first, expected in (
        (left, 1, [[9, 8, 7], [60, 20, 10]]),
        # Nothing can be revived in the first step.
        (right, 2, [[1, 2], [6, 2]]),
    ):
        assert [list(line.get_ydata()) for line in axes.get_lines()] == expected
        assert all(list(line.get_xdata()) == [1, 2, 3][first - 1 :] for line in axes.get_lines())
        assert axes.get_yscale() == "symlog"
        assert 0 < axes.get_ylim()[0] < 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["90 %", "99 %"]


def test_steps_that_revive_nothing_have_a_place(figures: list[Figure]) -> None:
    search_plots.churn({0.9: [(9, 8, 7)]}, {0.9: [(0, 0, 2)]}, "a.png", title="A title")
    assert figures[0].axes[1].get_ylim()[0] == 0


@pytest.mark.slow
def test_the_pictures_are_written(tmp_path: Path) -> None:
    names = {f"{i}.a_long_name.weight": 0.0 for i in range(40)}
    search_plots.layer_densities({0.9: {"snip": [names]}}, tmp_path / "a.png", title="T")
    search_plots.churn({0.9: [(5,)]}, {0.9: [(0,)]}, tmp_path / "b.png", title="T")
    assert [path.read_bytes()[:8] for path in sorted(tmp_path.iterdir())] == [PNG, PNG]
