"""Progress bars of real calls: on a terminal, and in notebooks with and without ipywidgets."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from notebook_cells import outputs_of

pytest.importorskip("tqdm")

pytestmark = pytest.mark.slow

#: A search of a little over two seconds.
SEARCH = """\
import time
import numpy as np
import swiftforce as sf

def gradients(masked):
    time.sleep(0.3)
    return masked + 1

found = sf.force(np.arange(1.0, 100.0), gradients, keep=9, steps=8, progress={progress})
"""

#: What tqdm needs of ipywidgets.
WIDGETS = """\
from types import SimpleNamespace

class HTML:
    value = ""

class FloatProgress:
    bar_style = ""
    def __init__(self, min, max):
        self.layout, self.style = SimpleNamespace(), SimpleNamespace(bar_color=None)

class HBox:
    def __init__(self, children):
        self.children, self.layout = children, SimpleNamespace()
    def close(self):
        pass
"""


def on_a_terminal(program: str) -> str:
    """What a program writes to a terminal that is its standard error."""
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (24, 80))
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program], stderr=writer, stdout=subprocess.DEVNULL
    )
    os.close(writer)
    shown = b""
    try:
        while part := os.read(reader, 1024):
            shown += part
    except OSError:  # Linux says so at the end
        pass
    os.close(reader)
    assert process.wait() == 0, shown
    return shown.decode()


@pytest.mark.parametrize("progress", [None, False, True])
def test_a_search_on_a_terminal(progress: bool | None) -> None:
    shown = on_a_terminal(SEARCH.format(progress=progress))
    assert ("force: 100%" in shown or "7/8" in shown) is (progress is not False)
    assert ("0/8 [00:00<?" in shown and " 1/8 " in shown) is (progress is True)


def test_a_short_search_on_a_terminal_shows_nothing_and_imports_no_tqdm() -> None:
    program = SEARCH.format(progress=None).replace("0.3", "0")
    assert on_a_terminal(f"{program}\nimport sys\nassert 'tqdm' not in sys.modules") == ""


BEFORE = """\
import sys, warnings
warnings.simplefilter("error", UserWarning)
"""

#: Stored notebooks have of a line what was written to it last.
RECORD = """\
class Recorder:
    def __init__(self, stream):
        self.stream, self.text = stream, ""
    def write(self, text):
        self.text += text
        return self.stream.write(text)
    def __getattr__(self, name):
        return getattr(self.stream, name)

sys.stdout = Recorder(sys.stdout)
"""


def test_a_notebook_without_ipywidgets_has_a_bar_of_text() -> None:
    before = f"{BEFORE}{RECORD}sys.modules['ipywidgets'] = None"
    _, shown, written = outputs_of(
        before, SEARCH.format(progress=None), "print(repr(sys.stdout.text))"
    )
    assert {each["output_type"] for each in (*shown, *written)} == {"stream"}
    assert {each["name"] for each in shown} == {"stdout"}
    assert "force:" in written[0]["text"]
    assert "7/8" in written[0]["text"]


def test_a_notebook_with_ipywidgets_has_one_widget(tmp_path: Path) -> None:
    (tmp_path / "ipywidgets.py").write_text(WIDGETS)
    before = f"{BEFORE}sys.path.insert(0, {str(tmp_path)!r})"
    _, (shown,) = outputs_of(before, SEARCH.format(progress=None))
    assert shown["output_type"] == "display_data", shown
    assert "force:" in shown["data"]["text/plain"]
