"""The card of a notebook: what it says, and that any viewer can show it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import swiftforce as sf
from kinds import network
from swiftforce.result.card import _AMBER as AMBER
from swiftforce.result.card import _RED as RED

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

#: Tags that viewers of notebooks leave in.
TAGS = {"div", "span", "b", "br", "ul", "li", "table", "tr", "th", "td", "details", "summary"}


class Reader(HTMLParser):
    """Reads a card as a browser does, and refuses what is not nested right."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.titles: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "br":
            self.open.append(tag)
        self.titles += [value or "" for name, value in attrs if name == "title"]
        assert {name for name, _ in attrs} <= {"style", "title"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def pruned(layers: int, *, keep: int, empty: int = 0) -> sf.Pruning:
    """Layers of ten weights, of which the first are small."""
    weights = {
        f"layers.{i}.weight": np.full((2, 5), 1e-3 if i < empty else 1.0, np.float32)
        * np.arange(1, 11, dtype=np.float32).reshape(2, 5)
        for i in range(layers)
    }
    return sf.magnitude(weights, keep=keep)


def card(found: sf.Pruning) -> Reader:
    return Reader(found._repr_html_())


def test_a_card_of_few_layers() -> None:
    shown = card(pruned(5, keep=25, empty=2))
    assert shown.text.startswith("50 % removed")
    assert "25 of 50 weights kept by magnitude, 1 step" in shown.text
    assert "no weight is kept in layers.0.weight, layers.1.weight" in shown.text
    assert shown.text.count("nothing is left") == 2
    assert shown.tags.count("tr") == 6
    assert "details" not in shown.tags
    assert any(title.startswith("layers.4.weight (2, 5): ") for title in shown.titles)


def test_a_card_without_a_warning_says_so() -> None:
    assert "no warnings" in card(pruned(3, keep=15)).text
    assert "no warnings" not in card(pruned(3, keep=15, empty=1)).text


def test_many_layers_stand_side_by_side_and_can_be_opened() -> None:
    shown = card(pruned(160, keep=800, empty=60))
    assert "density of 160 layers" in shown.text
    assert "60 with nothing left" in shown.text
    assert "all 160 layers" in shown.text
    assert shown.tags.count("details") == 1
    assert shown.tags.count("tr") == 161
    for i in (0, 159):
        # A column, and a row of the table.
        assert sum(title.startswith(f"layers.{i}.weight") for title in shown.titles) == 2
    assert "sparsest: layers." in shown.text


def test_a_thousand_layers_are_a_card_that_can_be_seen() -> None:
    found = pruned(1000, keep=5000, empty=3)
    shown = card(found)
    html = found._repr_html_()
    assert "each column is the sparsest of 5 layers" in shown.text
    # One column tells of the three empty layers.
    assert html.count(f"height:100.0%;background:{RED}") == 1
    assert shown.tags.count("tr") == 301
    assert "the first 300 of 1000 layers" in shown.text
    assert len(html) < 250_000
    # Gaps leave room for columns.
    (gap,) = re.findall(r"gap:0 ([\d.]+)%", html)
    assert 200 * float(gap) < 50


@pytest.mark.parametrize("layers", [5, 160])
def test_names_and_numbers_stay_on_one_line_whatever_the_page_says_of_tables(layers: int) -> None:
    html = pruned(layers, keep=5 * layers)._repr_html_()
    # JupyterLab has `table-layout: fixed`, which makes all columns equally wide.
    (table,) = re.findall(r'<table style="([^"]*)"', html)
    assert "table-layout:auto" in table
    cells = re.findall(r'<t[hd] style="([^"]*)"', html)
    assert len(cells) == 4 * (layers + 1)
    assert all("white-space:nowrap" in style for style in cells)
    assert sum("width:100%" in style for style in cells) == 1


def test_nothing_but_text_boxes_and_tables() -> None:
    weights, gradients = network(21)
    for found in (
        pruned(5, keep=25, empty=2),
        pruned(160, keep=800, empty=60),
        sf.force(weights, gradients, sparsity=0.7, steps=70),
        sf.magnitude({"a": np.ones(3, "f"), "none": np.ones((0, 2), "f")}, keep=1),
    ):
        shown = card(found)
        assert set(shown.tags) <= TAGS
        # The text has the colour of what is around it, on light and on dark.
        assert "color:inherit" in found._repr_html_()
        assert not re.search(r"(?<!-)color:(black|white|#000|#fff)", found._repr_html_())


@pytest.mark.parametrize("others", [0, 30])
def test_names_are_text_and_nothing_else(others: int) -> None:
    name, empty = '<script>alert("1")</script>&amp;', "<i>empty</i>"
    weights = {name: np.float32([3, 2]), empty: np.float32([1e-3])}
    weights |= {f"<u>{i}</u>": np.float32([2, 1]) for i in range(others)}
    shown = card(sf.magnitude(weights, keep=2 + others))
    assert name in shown.text
    assert f"no weight is kept in {empty}" in shown.text
    assert any(title.startswith(name) for title in shown.titles)
    assert not {"script", "i", "u"} & set(shown.tags)
    # Of what stands in no tag of its own, too.
    if others:
        assert f"densest: {name}, 100 %" in shown.text
        assert "sparsest: <u>0</u>, 50 %" in shown.text


def test_the_course_of_a_search() -> None:
    weights, gradients = network(21)
    found = sf.force(weights, gradients, sparsity=0.7, steps=5)
    shown = card(found)
    assert "5 steps, exponential schedule" in shown.text
    assert "kept: 61 → 18" in shown.text
    assert f"brought back: {sum(step.revived for step in found.history)}" in shown.text
    assert sum(title.startswith("step ") for title in shown.titles) == 4 * 5
    last = next(title for title in shown.titles if title.startswith("step 5:"))
    assert last.startswith("step 5: 18 kept, ")
    assert "step 1" not in card(pruned(3, keep=15)).text


def test_of_many_steps_sixty_are_drawn_the_first_and_the_last_among_them() -> None:
    weights = {"a": np.arange(1, 1001, dtype=np.float32)}
    shown = card(sf.force(weights, lambda masked: masked, keep=100, steps=200))
    steps = [title.split(":")[0] for title in shown.titles if title.startswith("step ")]
    assert len(steps) == 4 * 60
    assert (steps[0], steps[59]) == ("step 1", "step 200")


def test_sums_beyond_float64_and_odd_names_can_be_shown() -> None:
    weights = {"two\nlines": np.full(10, 1e308), "\udc80": np.full(2, 1e300)}
    found = sf.force(weights, lambda masked: {n: w * 0 + 1 for n, w in masked.items()}, keep=5)
    shown = card(found)
    assert {"two\\nlines", "\\udc80"} <= set(re.findall(r"two\\nlines|\\udc80", shown.text))
    assert "nan" not in found._repr_html_()
    found._repr_html_().encode()


def test_steps_that_positions_chose_are_told() -> None:
    weights = {"a": np.arange(1, 9, dtype=np.float32)}
    found = sf.force(weights, lambda masked: {"a": masked["a"] * 0}, keep=2, steps=3)
    assert "positions, not scores, chose some weights" in card(found).text
    # All three columns of the chart that are not of height zero.
    assert found._repr_html_().count(f"background:{AMBER}") >= 3
    assert "positions, not" not in card(sf.force(weights, lambda w: w, keep=2, steps=3)).text


def test_an_empty_tensor_and_a_mask_of_all_weights() -> None:
    shown = card(sf.magnitude({"a": np.ones(3, "f"), "none": np.ones((0, 2), "f")}, keep=3))
    assert "0 % removed" in shown.text
    assert "0 of 0" in shown.text
    assert "no weights" in shown.text
    assert "nothing is left" not in shown.text
