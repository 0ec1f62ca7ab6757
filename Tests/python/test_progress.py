"""Progress: parts and bars on standard error, what is said on standard output."""

from __future__ import annotations

import sys

import pytest
from swiftforce.progress import Work


def test_without_a_terminal_parts_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Work(2) as work:
        work.begin("one")
        work.advance()
        work.say("one is done")
    captured = capsys.readouterr()
    assert captured.err == "one\n"
    assert captured.out == "one is done\n"


def test_on_a_terminal_what_is_said_leaves_the_bar_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Work(2) as work:
        work.begin("one")
        work.advance()
        work.say("one is done")
    captured = capsys.readouterr()
    assert "one: " in captured.err
    assert "1/2" in captured.err
    assert captured.out.strip("\r\x1b[A\n") == "one is done"
