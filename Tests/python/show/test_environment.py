"""Where output goes is found out without an error, whatever stands for a stream."""

from __future__ import annotations

import io
import sys
from types import ModuleType

import pytest
from swiftforce.show import is_terminal
from swiftforce.show.environment import in_notebook


def test_a_closed_stream_is_no_terminal() -> None:
    stream = io.StringIO()
    stream.close()
    assert not is_terminal(stream)
    assert not is_terminal(object())


def test_a_module_that_is_called_ipython_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    assert not in_notebook()
