"""Where output goes."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest
from swiftforce.show import in_notebook, is_terminal


def test_streams_that_are_terminals_and_others() -> None:
    assert is_terminal(SimpleNamespace(isatty=lambda: True))
    assert not is_terminal(io.StringIO())
    assert not is_terminal(None)
    assert not is_terminal(SimpleNamespace())


@pytest.mark.parametrize(
    ("shell", "expected"),
    [(None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel="ipykernel"), True)],
)
def test_a_notebook_is_a_shell_of_ipython_with_a_kernel(
    shell: object, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert in_notebook() is expected


def test_without_ipython_there_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()
