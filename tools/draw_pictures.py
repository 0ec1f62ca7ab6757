"""Draw docs/pictures: a result in a notebook, on a terminal and as a figure.

    make pictures

The results are of the demonstration's network on Fashion-MNIST, and of a made-up network of 160
layers with long names. Headless Chromium draws notebook and terminal.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import swiftforce as sf
from matplotlib import style
from PIL import Image, ImageChops
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, MONOKAI
from swiftforce import datasets, nn

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: Background and text colours of notebooks.
THEMES = {"light": ("#ffffff", "#111111"), "dark": ("#111111", "#dddddd")}
MARGIN = 12
#: Height of the page; the empty part is cut off.
PAGE_HEIGHT = 1600
#: Pixels of the picture for each of the page.
SCALE = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/pictures.")
    parser.add_argument("--output", type=Path, default=PICTURES, metavar="FOLDER")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", sf.SwiftForceWarning)
    few, many = demonstration(), many_layers()
    for theme in THEMES:
        screenshot(few._repr_html_(), options.output / f"card_{theme}.png", theme)
        screenshot(many._repr_html_(), options.output / f"card_160_layers_{theme}.png", theme)
        screenshot(terminal(few, theme), options.output / f"terminal_{theme}.png", theme)
        with style.context({"light": "default", "dark": "dark_background"}[theme]):
            few.plot().savefig(options.output / f"plot_{theme}.png", dpi=90)


def demonstration() -> sf.Pruning:
    """The result of FORCE at 99 % sparsity on the demonstration's network."""
    data = datasets.fashion_mnist()
    net = nn.small_vgg(seed=0)
    gradients = net.gradients_on(data.train_x, data.train_y, batch_size=128, seed=0)
    return sf.force(net.weights, gradients, sparsity=0.99, steps=60)


def many_layers() -> sf.Pruning:
    """The result for layers of very different sizes, some of which keep no weight."""
    rng = np.random.default_rng(0)
    weights = {}
    for block in range(40):
        for part in ("query", "key", "value", "output"):
            name = f"model.decoder.layers.{block}.self_attention.{part}_projection.weight"
            scale = 0.4 if part == "output" and block % 5 == 0 else 1
            shape = (10, 8 + 4 * block)
            weights[name] = scale * rng.standard_normal(shape, np.float32)
    targets = {name: rng.standard_normal(w.shape, np.float32) for name, w in weights.items()}

    def gradients(masked: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: weight - 0.6 * targets[name] for name, weight in masked.items()}

    return sf.force(weights, gradients, sparsity=0.99, steps=60)


def terminal(pruning: sf.Pruning, theme: str) -> str:
    """An HTML page of what a terminal shows."""
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    console.print("[dim]>>>[/] print(pruning)")
    console.print(pruning)
    colors = {"light": DEFAULT_TERMINAL_THEME, "dark": MONOKAI}[theme]
    text = console.export_html(theme=colors, inline_styles=True, code_format="{code}")
    return f'<pre style="font:14px DejaVu Sans Mono,monospace;line-height:1.25">{text}</pre>'


def screenshot(content: str, path: Path, theme: str) -> None:
    """Draw a page and crop it to its content."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("the pictures need Chromium (on Debian: apt-get install chromium)")
    background, color = THEMES[theme]
    page = (
        f'<!doctype html><meta charset="utf-8"><body style="margin:{MARGIN}px;width:fit-content;'
        f'font:14px DejaVu Sans,sans-serif;background:{background};color:{color}">{content}'
    )
    with tempfile.TemporaryDirectory() as folder:
        source, drawn = Path(folder) / "page.html", Path(folder) / "page.png"
        source.write_text(page)
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={folder}/profile", f"--window-size=960,{PAGE_HEIGHT}"]
        command += [f"--force-device-scale-factor={SCALE}", f"--screenshot={drawn}"]
        command.append(source.as_uri())
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        with Image.open(drawn) as image:
            picture = image.convert("RGB")
    blank = Image.new("RGB", picture.size, background)
    left, top, right, bottom = ImageChops.difference(picture, blank).getbbox()
    margin = SCALE * MARGIN
    box = (left - margin, top - margin, right + margin, bottom + margin)
    picture.crop(box).quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
