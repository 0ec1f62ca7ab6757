"""Progress: parts and bars on standard error, what is said on standard output."""

from __future__ import annotations

import sys

import pytest
from swiftforce.show.progress import Training, Work


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


def test_a_bar_of_training_tells_loss_accuracy_speed_and_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Training(1000, description="epoch 1/3", shown=True) as bar:
        bar.advance(250, loss=1.25, accuracy=0.5)
        bar._bar.refresh()
        text = capsys.readouterr().err
    assert "epoch 1/3" in text
    for part in ("25%", "250/1000", "loss=1.250", "accuracy=50.0 %", " images/s", "<"):
        assert part in text


def test_a_bar_that_is_not_wanted_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Training(10, description="epoch", shown=False) as bar:
        bar.advance(5, loss=1, accuracy=1)
    assert capsys.readouterr() == ("", "")
