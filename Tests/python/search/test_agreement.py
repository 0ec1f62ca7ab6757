"""Ranks fail together, whatever fails on one of them and wherever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from ranks import Group, Member, results
from swiftforce.search import Agreement, RankSums, search_state
from swiftforce.search.agreement import failure_on, rank_failure
from swiftforce.search.pieces import halves, joined


@pytest.fixture(autouse=True)
def one_thread(restored_threads: None) -> None:
    """Ranks are threads already."""
    sf.set_num_threads(1)


def run(work: Callable[[Member], Any], ranks: int = 3) -> list[Any]:
    """What each rank returns or raises, within seconds."""
    group = Group(ranks)
    group._barrier = threading.Barrier(ranks, timeout=10)
    return group.run(work)


def kinds(outcomes: list[Any]) -> list[type]:
    return [type(one) for one in outcomes]


@pytest.mark.parametrize("error", [ValueError, MemoryError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", range(5))
def test_an_error_anywhere_in_a_block_reaches_all_ranks(
    error: type[BaseException], where: int
) -> None:
    def work(member: Member) -> str:
        def fails(place: int) -> None:
            if place == where and member.rank == 1:
                raise error

        with Agreement(member):
            fails(0)
            with Agreement(member):
                fails(1)
            fails(2)
            sums = RankSums(member)
            sums(lambda numbers: fails(3))
            with Agreement(member):
                pass
            fails(4)
        return "done"

    first, second, third = run(work)
    assert type(second) is error
    for other in (first, third):
        with pytest.raises(sf.RankFailedError, match=r"^rank 1 failed: its own error says why$"):
            raise other


def test_several_ranks_that_fail_are_counted() -> None:
    def work(member: Member) -> None:
        with Agreement(member):
            if member.rank:
                raise OSError

    first, *others = run(work)
    assert kinds(others) == [OSError, OSError]
    with pytest.raises(sf.RankFailedError, match=r"^2 ranks failed: their own errors say why$"):
        raise first


@pytest.mark.parametrize("ranks", [1, 2, 65535, 65536, 2**30])
def test_numbers_of_failed_ranks_fit(ranks: int) -> None:
    """However many of them fail, as the core checks its sums."""

    class Last:
        rank, size = ranks - 1, ranks

    largest = failure_on(Last())
    which = f"rank {ranks - 1}" if ranks < 65536 else "another rank"
    assert str(rank_failure(largest)).startswith(f"{which} failed")
    # Ranks 0 to n - 1 together.
    total = ranks * largest if ranks >= 65536 else ranks + (ranks * (ranks + 1) // 2 << 31)
    assert total <= 2**62
    assert str(rank_failure(total)).startswith(
        f"{ranks} ranks failed" if ranks > 1 else "rank 0 failed"
    )


def test_ranks_may_try_again_after_an_error() -> None:
    def work(member: Member) -> list[int]:
        for attempt in range(3):
            try:
                with Agreement(member), Agreement(member):
                    if member.rank == attempt:
                        raise OSError
            except (OSError, sf.RankFailedError):
                continue
        return RankSums(member)(lambda numbers: numbers.__setitem__(0, 5)).tolist()

    assert results(run(work)) == [[15, 0, 0, 0, 0, 0, 0, 0]] * 3


def test_settings_of_which_one_cannot_be_shown() -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    def work(member: Member) -> None:
        with Agreement(member) as agreement:
            agreement.settings = Shy() if member.rank else "plain"

    assert kinds(run(work, 2)) == [sf.RankFailedError, RuntimeError]


class Odd(Member):
    """A communicator of which one rank returns what it should not."""

    wrong: Any = None
    what = ""

    @property
    def size(self) -> Any:
        return self.wrong if self.what == "size" else self._group.size

    def offset(self, count: int) -> Any:
        offset = super().offset(count)
        return self.wrong if self.what == "offset" else offset


@pytest.mark.parametrize("guilty", [0, 1])
@pytest.mark.parametrize(
    ("what", "wrong", "error", "others"),
    [
        ("size", "2", sf.UnsupportedTypeError, sf.RankFailedError),
        ("size", 2.0, sf.UnsupportedTypeError, sf.RankFailedError),
        ("size", 3, sf.ExchangeError, sf.ExchangeError),
        ("offset", None, sf.UnsupportedTypeError, sf.RankFailedError),
        ("offset", 1.0, sf.UnsupportedTypeError, sf.RankFailedError),
        ("offset", -1, sf.ExchangeError, sf.RankFailedError),
        ("offset", 2, sf.ExchangeError, sf.ExchangeError),
    ],
)
def test_a_communicator_that_returns_wrong_values_on_one_rank(
    guilty: int, what: str, wrong: Any, error: type[Exception], others: type[Exception]
) -> None:
    def work(member: Member) -> Any:
        odd = Odd(member._group, member.rank)
        if member.rank == guilty:
            odd.what, odd.wrong = what, wrong
        return sf.MaskSearch(np.ones(3, "f4"), method="magnitude", keep=2, communicator=odd)

    expected = [others, others]
    expected[guilty] = error
    assert kinds(run(work, 2)) == expected


def test_offsets_of_numpy_integers() -> None:
    def work(member: Member) -> int:
        odd = Odd(member._group, member.rank)
        odd.what, odd.wrong = "offset", np.int32(3 * member.rank)
        search = sf.MaskSearch(np.ones(3, "f4"), method="magnitude", keep=2, communicator=odd)
        return search.step().layer_kept[0]

    assert results(run(work, 2)) == [2, 0]


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize(
    "name", ["Tensors", "check_seed", "plan", "NativeSearch", "SearchBuffers", "checked_gradients"]
)
def test_what_fails_inside_a_search_on_one_rank_fails_on_all(
    name: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, failing = getattr(search_state, name), threading.local()

    def fails(*args: Any, **named: Any) -> Any:
        if getattr(failing, "here", False):
            raise error
        return whole(*args, **named)

    monkeypatch.setattr(search_state, name, fails)

    def work(member: Member) -> str:
        failing.here = member.rank == 2
        search = sf.MaskSearch(
            np.ones(4, "f4"),
            method="snip",
            keep=5,
            communicator=member,
            pieces=[sf.Piece((12,), 4 * member.rank)],
        )
        search.step(np.ones(4, "f4"))
        return "done"

    assert kinds(run(work)) == [sf.RankFailedError, sf.RankFailedError, error]


def test_sums_of_ten_million_ranks_fit() -> None:
    """Digests travel in words whose squares, and in halves that, do not overflow when added."""
    ranks = 10**7
    assert (2**16 - 1) ** 2 * ranks < 2**62
    low, high = halves(2**64 - 1)
    assert max(low, high) * ranks < 2**62
    assert joined(low * ranks, high * ranks) == (2**64 - 1) * ranks % 2**64
    sent: list[Any] = []

    class Alone:
        rank, size = 0, 1

        def sum_integers(self, values: Any) -> None:
            sent.append(values.copy())

        def sum_floats(self, values: Any) -> None: ...

        def offset(self, count: int) -> int:
            return 0

    for _ in range(200):  # whatever the settings are
        with Agreement(Alone()) as agreement:
            agreement.settings = len(sent)
    assert max(int(numbers.max()) for numbers in sent) * ranks < 2**62
    assert min(int(numbers.min()) for numbers in sent) >= 0
