"""Ctrl-C at any line of a call on one rank: no other rank waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from interrupts import is_interrupted
from ranks import Group, Member
from swiftforce.search.agreement import SUM, Agreement, Watch

GUILTY = 1
WATCHED = threading.local()


@pytest.fixture(autouse=True)
def one_thread(restored_threads: None) -> None:
    """Ranks are threads already."""
    sf.set_num_threads(1)


@pytest.fixture(autouse=True)
def noted_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call has begun once it is watched: before, it is like code of the caller."""
    whole = Watch.__enter__

    def enter(watch: Watch) -> Watch:
        found = whole(watch)
        WATCHED.has_begun = True
        return found

    monkeypatch.setattr(Watch, "__enter__", enter)


class Counted(Member):
    """A communicator that counts its sums."""

    sums = 0

    def sum_integers(self, values: Any) -> None:
        super().sum_integers(values)
        self.sums += 1


class Trial:
    """A call on two ranks, of which one is interrupted at a line of it.

    From some number of sums on, by default all of the call, nobody can tell the other rank.
    """

    def __init__(
        self,
        make: Callable[[Counted], Any],
        call: Callable[[Counted, Any], Any],
        told_sums: int | None = None,
    ) -> None:
        self.make, self.call = make, call
        self.told_sums = told_sums

    def run(self, line: int) -> tuple[bool, list[Any]]:
        """Whether the call has so many lines, and the errors of the ranks."""
        group, interrupted = Group(2), []
        group._barrier = threading.Barrier(2, timeout=5)

        def work(plain: Member) -> None:
            member = Counted(group, plain.rank)
            made = self.make(member)
            before, WATCHED.has_begun = member.sums, False
            if member.rank != GUILTY:
                self.call(member, made)
                # What the caller does next.
                with Agreement(member):
                    pass
                return
            interrupted.append(is_interrupted(lambda: self.call(member, made), line))
            if not interrupted[0]:
                self.told_sums = self.told_sums or member.sums - before
                with Agreement(member):
                    pass
            elif not WATCHED.has_begun or member.sums - before >= (self.told_sums or 0):
                group._barrier.abort()  # nobody tells what a caller raises between two calls
            else:
                raise KeyboardInterrupt

        return interrupted, group.run(work)

    def check(self) -> int:
        """Interrupt every line; returns how many there are."""
        self.run(10**9)
        line = 0
        while True:
            line += 1
            (interrupted,), errors = self.run(line)
            if not interrupted:
                assert errors == [None, None]
                return line
            kinds = [type(error) for error in errors]
            if kinds[GUILTY] is KeyboardInterrupt:
                assert kinds[1 - GUILTY] is sf.RankFailedError, (line, errors)


def search(member: Member, **options: Any) -> sf.MaskSearch:
    half = np.arange(4, dtype=np.float32) + 4 * member.rank
    piece = sf.Piece((8,), 4 * member.rank)
    return sf.MaskSearch([half], schedule=[4, 2], communicator=member, pieces=[piece], **options)


def test_making_a_search() -> None:
    assert Trial(lambda member: None, lambda member, _: search(member)).check() > 100


def test_a_step() -> None:
    """Until the core has begun: after its first sum, no rank knows what the others wait for."""
    grads = [np.ones(4, np.float32)]
    assert Trial(search, lambda member, made: made.step(grads), 2).check() > 50


def test_saving(tmp_path: Path) -> None:
    path = tmp_path / "search.safetensors"
    assert Trial(search, lambda member, made: made.save(path)).check() > 100


def test_the_end_of_a_watch_meets_any_first_sum() -> None:
    """That of an agreement and that of the core have one length, and say first who failed."""
    sent: list[int] = []

    class Alone:
        rank, size = 0, 1

        def sum_integers(self, values: Any) -> None:
            sent.append(values.size)

        def sum_floats(self, values: Any) -> None: ...

        def offset(self, count: int) -> int:
            return 0

    alone = Alone()
    made = sf.MaskSearch(np.ones(4, "f4"), method="magnitude", keep=2, communicator=alone)
    assert sent == [SUM] * 3
    made.step()
    assert sent[3:5] == [SUM] * 2
    with pytest.raises(OSError), Watch(alone):
        raise OSError
    assert sent[-1] == SUM
