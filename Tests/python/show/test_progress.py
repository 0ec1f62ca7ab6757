"""Progress bars: when they appear, what they show, and lines where there can be none."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from swiftforce.show import progress
from swiftforce.show.progress import TrainingProgress, WorkProgress, bar


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error, and nothing else, is a terminal."""
    pytest.importorskip("tqdm")
    monkeypatch.setattr(progress, "is_terminal", lambda stream: stream is sys.stderr)


def iterated(clock: Clock, seconds: float, **options: bool | None) -> None:
    """Four items, each of so many seconds."""
    for _ in bar(range(4), description="force", **options):
        clock.now += seconds


@pytest.mark.usefixtures("terminal")
def test_a_bar_appears_when_a_call_has_taken_two_seconds(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    iterated(clock, 0.49)
    assert capsys.readouterr() == ("", "")
    items = iter(bar(range(4), description="force"))
    next(items)
    clock.now += 1.75
    next(items)
    assert capsys.readouterr().err == ""
    clock.now += 0.25
    next(items)
    shown = capsys.readouterr().err
    assert "force:  50%" in shown
    # Items that were done before it appeared count in its times.
    assert "2/4 [00:02<00:02" in shown
    assert list(items) == [3]
    assert capsys.readouterr().err.endswith("\r")


@pytest.mark.usefixtures("terminal")
def test_false_shows_no_bar(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    iterated(clock, 10, shown=False)
    assert capsys.readouterr() == ("", "")


def test_true_shows_a_bar_at_once_and_everywhere(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tqdm")
    items = iter(bar(range(4), description="force", shown=True))
    assert "force:   0%" in capsys.readouterr().err
    assert list(items) == [0, 1, 2, 3]


def test_without_a_terminal_no_bar_appears(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    iterated(clock, 10)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("stderr", [None, SimpleNamespace(write=None)])
def test_standard_error_may_be_anything(
    stderr: object, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    iterated(clock, 10)


@pytest.mark.usefixtures("terminal")
def test_without_tqdm_a_bar_that_is_asked_for_is_an_error(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    iterated(clock, 10)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ImportError, match=r"pip install 'swiftforce\[demo\]'"):
        bar(range(4), description="force", shown=True)
    with pytest.raises(ImportError, match=r"pip install 'swiftforce\[demo\]'"):
        TrainingProgress(4, description="epoch", shown=True)


@pytest.mark.usefixtures("terminal")
def test_a_loop_that_fails_closes_its_bar(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        for _ in bar(range(4), description="force"):
            clock.now += 3
            if clock.now > 1005:
                raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine") as caught:
        fail()
    del caught
    assert capsys.readouterr().err.endswith("\r")


# ------------------------------------------------------------------------- training


def test_a_bar_of_training_shows_loss_accuracy_speed_and_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("tqdm")
    with TrainingProgress(1000, description="epoch 1/3", shown=True) as training:
        training.advance(250, loss=1.25, accuracy=0.5)
        training._bar.refresh()
        text = capsys.readouterr().err
    assert "epoch 1/3" in text
    for part in ("25%", "250/1000", "loss=1.250", "accuracy=50.0 %", " images/s", "<"):
        assert part in text


@pytest.mark.usefixtures("terminal")
def test_the_delay_counts_from_the_beginning_of_the_call_and_not_of_the_epoch(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    began = clock.now
    for epoch in range(3):
        with TrainingProgress(2, description=f"epoch {epoch}", began=began) as training:
            for _ in range(2):
                clock.now += 0.6
                training.advance(1, loss=1, accuracy=1)
    shown = capsys.readouterr().err
    assert "epoch 0" not in shown
    assert "epoch 1: 100%" in shown
    assert "epoch 2:  50%" in shown


def test_training_shows_nothing_if_it_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(10, description="epoch", shown=False) as training:
        training.advance(5, loss=1, accuracy=1)
    assert capsys.readouterr() == ("", "")


# ------------------------------------------------------------------------- work in parts


def test_without_a_terminal_parts_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with WorkProgress(2) as work:
        work.begin("one")
        work.advance()
        work.say("one is done")
    captured = capsys.readouterr()
    assert captured.err == "one\n"
    assert captured.out == "one is done\n"


@pytest.mark.usefixtures("terminal")
def test_without_tqdm_parts_are_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with WorkProgress(2) as work:
        work.begin("one")
        work.advance()
    assert capsys.readouterr().err == "one\n"


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_parts_are_named_by_the_bar(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with WorkProgress(4) as work:
        work.begin("one")
        work.advance()
        work.say("one is done")
        assert capsys.readouterr() == ("one is done\n", "")
        work.begin("two")
        clock.now += 2
        work.advance()
        assert "two:  50%" in capsys.readouterr().err
        work.begin("three")
        assert "three:  50%" in capsys.readouterr().err
        work.say("two is done")
        assert capsys.readouterr().out.strip("\r\x1b[A\n") == "two is done"
