"""Searches that ranks share fail on all ranks together, and leave nothing behind."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from ranks import Group, Member, results
from swiftforce import _core
from swiftforce.search import agreement

Array = Any
Arrays = list[Array]


@pytest.fixture(autouse=True)
def one_thread(restored_threads: None) -> None:
    """Ranks are threads already."""
    sf.set_num_threads(1)


def errors_of(step: Any) -> list[Any]:
    """What the second step raises on each rank, after which it is taken all the same."""

    def work(member: Member) -> tuple[BaseException | None]:
        search = third(member)
        grads = {"w": np.ones(3, np.float32)}
        search.step(grads)
        masked = search.masked_weights["w"].tobytes()
        caught: BaseException | None = None
        try:
            step(member.rank, search, grads)
        except Exception as error:
            caught = error
        if caught is not None:
            assert search.taken == 1
            assert search.masked_weights["w"].tobytes() == masked
            search.step(grads)
        assert search.done
        return (caught,)

    return [error for (error,) in results(Group(3).run(work))]


def third(member: Member) -> sf.MaskSearch:
    flat = np.arange(1, 10, dtype=np.float32)
    part = flat[3 * member.rank : 3 * member.rank + 3].copy()
    return sf.MaskSearch({"w": part}, schedule=[4, 1], communicator=member)


@pytest.mark.parametrize("guilty", [0, 1, 2])
@pytest.mark.parametrize(
    ("bad", "error", "text"),
    [
        ({"w": np.float32([1, np.nan, 1])}, sf.NonFiniteError, r"gradients\['w'\] has 1 value"),
        ({"w": np.ones(4, np.float32)}, sf.ShapeError, "has shape"),
        ({"v": np.ones(3, np.float32)}, sf.StructureError, "lack 'w'"),
        (None, sf.MissingGradientsError, "pass gradients"),
        ({"w": np.ones(3, np.int32)}, sf.UnsupportedTypeError, "int32"),
    ],
)
def test_all_ranks_raise_where_one_does(
    guilty: int, bad: Any, error: type[Exception], text: str
) -> None:
    def step(rank: int, search: sf.MaskSearch, grads: Any) -> None:
        search.step(bad if rank == guilty else grads)

    for rank, caught in enumerate(errors_of(step)):
        if rank == guilty:
            with pytest.raises(error, match=text):
                raise caught
        else:
            assert type(caught) is sf.RankFailedError
            assert str(caught) == f"rank {guilty} failed: its own error says why"


def test_masks_that_changed_on_one_rank() -> None:
    def step(rank: int, search: sf.MaskSearch, grads: Any) -> None:
        if rank == 1:
            mask = search._buffers.masks(1)[0]
            mask[0] ^= True
            try:
                search.step(grads)
            finally:
                mask[0] ^= True
        else:
            search.step(grads)

    kinds = [type(error) for error in errors_of(step)]
    assert kinds == [sf.RankFailedError, sf.MasksChangedError, sf.RankFailedError]


def test_a_native_refusal_tells_the_others() -> None:
    """What the border refuses, beyond Python's own checks."""

    def step(rank: int, search: sf.MaskSearch, grads: Any) -> None:
        if rank == 0:
            # The checks of Python, and then masks where the gradients are.
            with agreement.Agreement(search._shard.communicator):
                pass
            shared = np.zeros(3, np.float32)
            try:
                _core.search_step(
                    search._native._handle,
                    search._tensors.arrays,
                    [shared],
                    search._buffers.masks(1),
                    [shared.view(bool)[:3]],
                    None,
                    None,
                    partial(search._shard.sum, agreement.Watch(None)),
                    search._shard.starts,
                    search._shard.loops,
                )
            except _core.NativeError as error:
                raise sf.OverlapError(*error.args[-1:]) from None
        search.step(grads)

    found = errors_of(step)
    kinds = [type(error) for error in found]
    assert kinds == [sf.OverlapError, sf.RankFailedError, sf.RankFailedError]
    assert {str(error) for error in found[1:]} == {"rank 0 failed: its own error says why"}


@pytest.mark.parametrize(
    ("weights", "options", "error"),
    [
        (np.ones(3, np.int32), {}, sf.UnsupportedTypeError),
        (np.ones(3, np.float32), {"method": "forse"}, sf.UnknownNameError),
        (np.ones(3, np.float32), {"seed": -1}, sf.SeedError),
        (np.ones(3, np.float32), {"sparsity": 2}, sf.SparsityError),
        (np.ones(3, np.float32), {"schedule": [1, 2]}, sf.ScheduleError),
        (np.ones(3, np.float32), {"pieces": []}, sf.StructureError),
        (np.ones(3, np.float32), {"pieces": [sf.Piece((2,))]}, sf.ShapeError),
        (np.ones(3, np.float32), {"pieces": [sf.Piece((9,), 7)]}, sf.ShapeError),
        (np.ones(3, np.float32), {"pieces": [sf.Piece((9,), -1)]}, sf.ShapeError),
        (np.ones(3, np.float32), {"pieces": [sf.Piece((-3, -3))]}, sf.ShapeError),
        (np.ones(3, np.float32), {"pieces": [(9,)]}, sf.UnsupportedTypeError),
    ],
)
def test_arguments_that_one_rank_gets_wrong(
    weights: Array, options: dict[str, Any], error: type[Exception]
) -> None:
    def work(member: Member) -> None:
        ones = np.ones(3, np.float32)
        if member.rank == 1:
            options.setdefault("sparsity", 0.5) if "schedule" not in options else None
            sf.MaskSearch(weights, communicator=member, **options)
        else:
            sf.MaskSearch(ones, sparsity=0.5, communicator=member)

    first, second, third = Group(3).run(work)
    assert isinstance(second, error)
    assert type(first) is type(third) is sf.RankFailedError


@pytest.mark.parametrize(
    "options",
    [{"keep": 3}, {"seed": 1}, {"steps": 5}, {"method": "iterative_snip"}, {"schedule": "linear"}],
)
def test_settings_must_be_the_same(options: dict[str, Any]) -> None:
    def work(member: Member) -> None:
        given = {"keep": 2, "steps": 6} | (options if member.rank == 1 else {})
        sf.MaskSearch(np.ones(30, np.float32), communicator=member, **given)

    for error in Group(3).run(work):
        assert isinstance(error, sf.StructureError)
        assert "the ranks differ" in str(error)


@pytest.mark.parametrize(
    ("shape", "start", "text"),
    [((4,), 0, "hold 6 elements on all ranks together where shape"), ((7,), 3, "the ranks differ")],
)
def test_pieces_must_make_up_the_whole(shape: Any, start: int, text: str) -> None:
    def work(member: Member) -> None:
        piece = sf.Piece((7,) if member.rank == 0 and shape == (7,) else shape, start)
        piece = sf.Piece((8,), 3) if shape == (7,) and member.rank else piece
        ones = np.ones(3, np.float32)
        sf.MaskSearch([ones], keep=1, communicator=member, pieces=[piece])

    for error in Group(2).run(work):
        assert isinstance(error, sf.StructureError)
        assert text in str(error)


def test_pieces_need_a_communicator() -> None:
    with pytest.raises(sf.StructureError, match="pass a communicator"):
        sf.MaskSearch(np.ones(3, np.float32), keep=1, pieces=[sf.Piece((3,))])
    with pytest.raises(sf.UnsupportedTypeError, match="is not a communicator: pass"):
        sf.MaskSearch(np.ones(3, np.float32), keep=1, communicator=3)  # type: ignore[arg-type]


class Broken:
    """A rank alone, whose sums go wrong after a while."""

    rank, size = 0, 1

    def __init__(self, good: int, problem: Any) -> None:
        self.left, self.problem = good, problem

    def sum_integers(self, values: Array) -> None:
        if self.left == 0:
            self.problem(values)
        self.left -= 1

    def sum_floats(self, values: Array) -> None: ...

    def offset(self, count: int) -> int:
        return 0


class LinkError(Exception):
    """What the library of a communicator might raise."""


def fails(values: Array) -> None:
    raise LinkError("the cable is out")


@pytest.mark.parametrize("good", range(9))
def test_what_a_communicator_raises_goes_through(good: int) -> None:
    """After any number of sums; the step leaves nothing behind, and may be tried again."""
    weights = np.float32([5, 4, 3, 2, 2, 2])
    communicator = Broken(-1, fails)
    search = sf.MaskSearch(weights, schedule=[4, 1], communicator=communicator)
    search.step(np.ones(6, np.float32))
    masked = search.masked_weights.tobytes()
    communicator.left = good
    try:
        search.step(weights)
    except LinkError:
        assert search.taken == 1
        assert search.masked_weights.tobytes() == masked
        communicator.left = -1
        search.step(weights)
    else:
        assert good >= 6  # one to agree, one to meet, three digits, the figures
    assert search.masks.tolist() == [True] + [False] * 5


@pytest.mark.parametrize("value", [-1, 2**62 + 1, -(2**63)])
@pytest.mark.parametrize("good", [3, 5])
def test_sums_that_are_none_are_refused(value: int, good: int) -> None:
    def spoil(values: Array) -> None:
        values[-1] = value

    communicator = Broken(-1, spoil)
    search = sf.MaskSearch(
        np.float32([1, 2]), method="magnitude", keep=1, communicator=communicator
    )
    communicator.left = good - 2
    with pytest.raises(sf.ExchangeError, match="not what sums"):
        search.step()
    assert search.taken == 0


def test_an_agreement_that_counts_wrong() -> None:
    def double(values: Array) -> None:
        values *= 2

    with pytest.raises(sf.ExchangeError, match="is 2, not the number of ranks"):
        sf.MaskSearch(np.ones(2, np.float32), keep=1, communicator=Broken(0, double))


def test_an_interrupt_inside_a_sum() -> None:
    def interrupt(values: Array) -> None:
        raise KeyboardInterrupt

    communicator = Broken(-1, interrupt)
    search = sf.MaskSearch(
        np.float32([1, 2]), method="magnitude", keep=1, communicator=communicator
    )
    communicator.left = 2
    with pytest.raises(KeyboardInterrupt):
        search.step()
    communicator.left = -1
    assert search.step().keep == 1


def test_other_threads_run_while_ranks_wait() -> None:
    """The lock is given away: or else the group of threads could not meet at all."""
    turns = []

    def work(member: Member) -> None:
        search = third(member)
        search.step({"w": np.ones(3, np.float32)})
        turns.append(threading.get_ident())

    results(Group(3).run(work))
    assert len(set(turns)) == 3


def test_a_communicator_that_asks_its_own_search_is_told_that_it_is_in_use() -> None:
    class Curious:
        rank, size = 0, 1
        search: sf.MaskSearch | None = None

        def sum_integers(self, values: Any) -> None:
            if self.search is not None:
                assert self.search.taken == 0

        def sum_floats(self, values: Any) -> None: ...

        def offset(self, count: int) -> int:
            return 0

    communicator = Curious()
    ones = np.ones(5, np.float32)
    search = sf.MaskSearch(ones, method="magnitude", keep=2, communicator=communicator)
    communicator.search = search
    with pytest.raises(sf.InUseError, match="under way in this thread"):
        search.step()
    communicator.search = None
    assert search.step().keep == 2


def test_pieces_that_overlap_are_refused() -> None:
    def work(member: Member) -> Any:
        half = np.ones(4, np.float32)
        return sf.MaskSearch(
            [half], method="magnitude", keep=2, communicator=member, pieces=[sf.Piece((8,), 0)]
        )

    outcomes = Group(2).run(work)
    assert [type(one) for one in outcomes] == [sf.StructureError] * 2
    assert "overlap" in str(outcomes[0])


def test_a_shape_of_numpy_integers_is_a_shape() -> None:
    def work(member: Member) -> Any:
        shape = (np.int64(8),) if member.rank else (8,)
        piece = sf.Piece(shape, 4 * member.rank)
        half = np.ones(4, np.float32)
        search = sf.MaskSearch(
            [half], method="magnitude", keep=2, communicator=member, pieces=[piece]
        )
        return search.step().keep

    assert Group(2).run(work) == [2, 2]
