"""The script that draws the pictures of the documentation, with and without a browser."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

pytest.importorskip("matplotlib")
pytest.importorskip("rich")

ROOT = Path(__file__).parents[3]
NAMES = {
    f"{name}_{theme}.png"
    for name in ("card", "card_160_layers", "terminal", "plot")
    for theme in ("light", "dark")
}


@pytest.fixture
def draw() -> dict[str, Any]:
    """The script's functions."""
    return runpy.run_path(str(ROOT / "tools" / "draw_pictures.py"))


def test_the_pictures_that_are_there_are_those_it_makes() -> None:
    assert {path.name for path in (ROOT / "docs" / "pictures").glob("*.png")} == NAMES


def test_what_the_pages_show(draw: dict[str, Any], tmp_path: Path) -> None:
    main = draw["main"]
    pages: dict[str, str] = {}
    main.__globals__["screenshot"] = lambda page, path, theme: pages.update({path.name: page})
    # In place of the one that needs Fashion-MNIST.
    main.__globals__["demonstration"] = lambda: sf.magnitude(
        {"fc": np.arange(200, dtype=np.float32)}, sparsity=0.99
    )
    main(["--output", str(tmp_path)])
    assert pages.keys() | {path.name for path in tmp_path.iterdir()} == NAMES
    assert "99 %" in pages["card_light.png"]
    assert pages["card_light.png"] == pages["card_dark.png"]
    assert "density of 160 layers" in pages["card_160_layers_light.png"]
    terminal = re.sub(r"<[^>]*>", "", pages["terminal_dark.png"])
    assert "print(pruning)" in terminal
    assert "2 of 200 weights kept" in terminal
    # Two themes, two colours of the same text.
    assert pages["terminal_dark.png"] != pages["terminal_light.png"]


@pytest.mark.slow
def test_a_page_becomes_a_picture_of_its_size(draw: dict[str, Any], tmp_path: Path) -> None:
    if not any(map(shutil.which, draw["BROWSERS"])):
        pytest.skip("needs Chromium")
    image = pytest.importorskip("PIL.Image")
    content = '<div style="width:100px;height:50px;background:#ff0000"></div>'
    draw["screenshot"](content, tmp_path / "a.png", "dark")
    with image.open(tmp_path / "a.png") as picture:
        assert picture.size == (2 * (100 + 2 * 12), 2 * (50 + 2 * 12))
        assert picture.convert("RGB").getpixel((120, 60)) == (255, 0, 0)
        assert picture.convert("RGB").getpixel((4, 4)) == (17, 17, 17)


def test_without_a_browser_it_says_what_is_missing(
    draw: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="need Chromium"):
        draw["screenshot"]("", tmp_path / "a.png", "light")
