"""Searches that ranks share, as threads of one process: the mask of one process, bit for bit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import cut, cuts, values
from ranks import Group, Member, runs_of
from swiftforce import _core
from swiftforce.search import shards

Array = Any
Arrays = list[Array]

#: What a rank may send for a step, however large the model is.
MOST_BYTES = 200_000


@pytest.fixture(autouse=True)
def one_thread(restored_threads: None) -> None:
    """Ranks are threads already."""
    sf.set_num_threads(1)


def whole_masks(
    weights: Arrays, gradients: Sequence[Arrays], method: str, keeps: Sequence[int], seed: int = 0
) -> list[Arrays]:
    """The masks of one process after each step."""
    search = sf.MaskSearch(weights, method=method, schedule=keeps, seed=seed)
    found = []
    for grads in gradients[: len(keeps)]:
        search.step(grads if search.needs_gradients else None)
        found.append([mask.copy() for mask in search.masks])
    return found


def pieces_of(arrays: Arrays, rank: int, ranks: int) -> tuple[Arrays, list[sf.Piece]]:
    """A rank's run of every tensor, and where it lies."""
    parts, pieces = [], []
    for array in arrays:
        start, end = array.size * rank // ranks, array.size * (rank + 1) // ranks
        parts.append(array.reshape(-1)[start:end].copy())
        pieces.append(sf.Piece(array.shape, start))
    return parts, pieces


def shared_search(
    member: Member, weights: Arrays, gradients: Sequence[Arrays], **options: Any
) -> tuple[list[Arrays], sf.MaskSearch, list[int]]:
    """The masks of a rank's own tensors after each step, and the bytes sent until then."""
    search = sf.MaskSearch(weights, communicator=member, **options)
    found, sent = [], [member._group.sent[member.rank]]
    for grads in gradients[: search.steps]:
        search.step(grads if search.needs_gradients else None)
        found.append([mask.copy() for mask in search.masks])
        sent.append(member._group.sent[member.rank])
    return found, search, sent


def joined(parts: Sequence[Arrays]) -> Array:
    return np.concatenate([mask.reshape(-1) for masks in parts for mask in masks])


def results(outcomes: list[Any]) -> list[Any]:
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes


# ------------------------------------------------------------------------- many ranks


@pytest.mark.slow
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("ranks", "tensors"), [(1000, 7), (20, 500)])
def test_many_ranks_and_tensors(
    ranks: int, tensors: int, ties: bool, rng: np.random.Generator
) -> None:
    """Every tensor in as many pieces as there are ranks, some of them empty."""
    sizes = rng.integers(0, 130_000 // tensors, tensors)
    sizes[:2] = 0, 1
    keeps = (int(sizes.sum()) // 2, 1501)

    def numbers() -> Arrays:
        flat = rng.integers(0, 2, sizes.sum()) if ties else rng.standard_normal(sizes.sum())
        return cut(flat.astype(np.float32), list(np.cumsum(sizes[:-1])))

    weights, gradients = numbers(), [numbers(), numbers()]
    expected = whole_masks(weights, gradients, "force", keeps)

    def work(member: Member) -> tuple[list[Arrays], tuple[sf.Layer, ...], list[int]]:
        part, pieces = pieces_of(weights, member.rank, ranks)
        grads = [pieces_of(each, member.rank, ranks)[0] for each in gradients]
        found, search, sent = shared_search(
            member, part, grads, method="force", schedule=keeps, pieces=pieces
        )
        return found, search._layers(search.history[-1]), sent

    outcomes = results(Group(ranks).run(work))
    for step, masks in enumerate(expected):
        for tensor, mask in enumerate(masks):
            pieces = [found[step][tensor] for found, _, _ in outcomes]
            assert np.concatenate(pieces).tobytes() == mask.tobytes()
    for _, layers, sent in outcomes:
        assert [layer.kept for layer in layers] == [int(mask.sum()) for mask in expected[-1]]
        assert max(after - before for before, after in pairwise(sent)) < MOST_BYTES


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bytes_do_not_grow_with_ties_types_or_tensors(dtype: Any) -> None:
    """All scores are equal, and there are a million of them on each of four ranks."""

    def work(member: Member) -> list[int]:
        ones = [np.ones(2**20, dtype)]
        search_sent = shared_search(
            member, ones, [ones], method="snip", keep=3_000_001 - member.size
        )
        assert search_sent[1].history[0].at_threshold == 2**22
        return search_sent[2]

    for sent in results(Group(4).run(work)):
        assert sent[1] - sent[0] < 150_000


# ------------------------------------------------------------------------- properties


@given(st.data())
@settings(max_examples=40)
@pytest.mark.slow
def test_the_mask_does_not_depend_on_how_weights_are_split(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 400))
    method = data.draw(st.sampled_from(sorted(oracle.METHODS)))
    weights, *gradients = (data.draw(values(n)) for _ in range(3))
    steps = 1 if oracle.METHODS[method][2] else 2
    keeps = sorted((data.draw(st.integers(1, n)) for _ in range(steps)), reverse=True)
    ranks = data.draw(st.integers(1, 6))
    runs = runs_of(
        n, data.draw(st.lists(st.integers(0, n), min_size=ranks - 1, max_size=ranks - 1))
    )
    expected = whole_masks([weights], [[g] for g in gradients], method, keeps, seed=4)
    inner = [data.draw(cuts(run.stop - run.start, most=3)) for run in runs]

    def work(member: Member) -> list[Arrays]:
        def part(flat: Array) -> Arrays:
            return cut(flat[runs[member.rank]], inner[member.rank])

        grads = [part(g) for g in gradients]
        return shared_search(member, part(weights), grads, method=method, schedule=keeps, seed=4)[0]

    found = results(Group(ranks).run(work))
    for step, masks in enumerate(expected):
        assert joined([each[step] for each in found]).tobytes() == masks[0].tobytes()


@pytest.mark.parametrize("method", oracle.METHODS)
@pytest.mark.parametrize("types", ["eee", "fef", "fdf", "ddd"])
def test_types_and_methods(method: str, types: str, rng: np.random.Generator) -> None:
    shapes = [(30, 7), (64,), (5, 5, 5)]
    weights = [
        rng.integers(-9, 9, shape).astype(kind) for shape, kind in zip(shapes, types, strict=True)
    ]
    gradients = [[rng.standard_normal(s).astype("f4") for s in shapes] for _ in range(2)]
    keeps = [100] if oracle.METHODS[method][2] else [200, 33]
    expected = whole_masks(weights, gradients, method, keeps, seed=7)

    def work(member: Member) -> list[Arrays]:
        part, pieces = pieces_of(weights, member.rank, 3)
        grads = [pieces_of(each, member.rank, 3)[0] for each in gradients]
        return shared_search(
            member, part, grads, method=method, schedule=keeps, seed=7, pieces=pieces
        )[0]

    found = results(Group(3).run(work))
    for step, masks in enumerate(expected):
        for tensor, mask in enumerate(masks):
            assert np.array_equal(
                np.concatenate([each[step][tensor] for each in found]), mask.reshape(-1)
            )


# ------------------------------------------------------------------------- reports and results


def half(member: Member, **options: Any) -> sf.MaskSearch:
    """A search of one of two ranks that hold five of the numbers 1 to 10 each."""
    flat = np.arange(1, 11, dtype=np.float32)
    return sf.MaskSearch(
        {"w": flat[5 * member.rank : 5 * member.rank + 5].copy()}, communicator=member, **options
    )


def test_figures_are_of_all_ranks() -> None:
    def work(member: Member) -> tuple[sf.Step, sf.Pruning]:
        search = half(member, method="magnitude", keep=3)
        return search.step(), search.result()

    with pytest.warns(sf.LayerCollapseWarning, match="no weight is kept in w"):
        outcomes = results(Group(2).run(work))
    (first, one), (second, other) = outcomes
    assert (first.keep, first.candidates, first.removed) == (3, 10, 7)
    assert first.saliency == second.saliency == 27
    assert first.total_saliency == second.total_saliency == 55
    assert first.threshold == second.threshold == 8
    assert (first.layer_kept, second.layer_kept) == ((0,), (3,))
    assert (one.keep, other.keep) == (0, 3)


def test_layers_of_pieces_are_of_whole_tensors(tmp_path: Any) -> None:
    a, b = np.float32([[1, 2], [9, 8]]), np.float32([7, 0, 0])

    def work(member: Member) -> sf.Pruning:
        (a_part, b_part), pieces = pieces_of([a, b], member.rank, 2)
        search = sf.MaskSearch(
            {"a": a_part, "b": b_part},
            method="magnitude",
            sparsity=4 / 7,
            communicator=member,
            pieces=pieces,
        )
        search.step()
        assert search.masked_weights["a"].tolist() in ([0, 0], [9, 8])
        # Each rank may ask by itself, as often as it wants to.
        return search.result() if member.rank == 1 else None  # type: ignore[return-value]

    pruning = results(Group(2).run(work))[1]
    assert [(x.name, x.shape, x.kept) for x in pruning.layers] == [("a", (2, 2), 2), ("b", (3,), 1)]
    assert (pruning.size, pruning.keep) == (7, 3)
    assert pruning.masks["a"].tolist() == [True, True]
    pytest.importorskip("safetensors")
    with pytest.raises(sf.StructureError, match=r"the mask of 'a' is only a piece: shape \(2,\)"):
        pruning.save(tmp_path / "m")


def test_a_whole_tensor_that_collapses_is_named() -> None:
    def work(member: Member) -> sf.Pruning:
        part, pieces = pieces_of([np.zeros(4, "f4"), np.ones(4, "f4")], member.rank, 2)
        search = sf.MaskSearch(part, method="magnitude", keep=4, communicator=member, pieces=pieces)
        search.step()
        return search.result()

    with pytest.warns(sf.LayerCollapseWarning, match="no weight is kept in 0"):
        results(Group(2).run(work))


def test_a_rank_without_weights() -> None:
    def work(member: Member) -> Any:
        weights = {"w": np.float32([3, 1, 2])} if member.rank == 1 else {}
        search = sf.MaskSearch(weights, method="random", keep=2, seed=3, communicator=member)
        search.step()
        return search.masks

    expected = sf.random(np.float32([3, 1, 2]), keep=2, seed=3).masks
    first, second, third = results(Group(3).run(work))
    assert first == third == {}
    assert second["w"].tolist() == expected.tolist()


def test_no_weights_anywhere() -> None:
    def work(member: Member) -> None:
        sf.MaskSearch([], method="magnitude", keep=1, communicator=member)

    outcomes = Group(2).run(work)
    assert [str(error) for error in outcomes] == ["weights hold no elements on any rank"] * 2


def test_one_rank_is_one_process(rng: np.random.Generator) -> None:
    weights, grads = rng.standard_normal((2, 50)).astype(np.float32)
    expected = sf.snip(weights, grads, keep=20)

    def work(member: Member) -> sf.Pruning:
        search = sf.MaskSearch(weights, method="snip", keep=20, communicator=member)
        search.step(grads)
        return search.result()

    (found,) = results(Group(1).run(work))
    assert found.masks.tobytes() == expected.masks.tobytes()
    assert found.layers == expected.layers
    assert found.history[0].saliency == expected.history[0].saliency


# ------------------------------------------------------------------------- failures


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
        (None, sf.MissingGradientsError, "pass grads"),
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


def test_masks_that_changed_on_one_rank() -> None:
    def step(rank: int, search: sf.MaskSearch, grads: Any) -> None:
        if rank == 1:
            mask = search._masks_of(1)[0]
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
            with shards.Agreement(search._shard.communicator):
                pass
            shared = np.zeros(3, np.float32)
            try:
                _core.search_step(
                    search._search,
                    search._tensors.arrays,
                    [shared],
                    search._masks_of(1),
                    [shared.view(bool)[:3]],
                    None,
                    search._shard.sum,
                    search._shard.starts,
                )
            except _core.NativeError as error:
                raise sf.OverlapError(*error.args[-1:]) from None
        search.step(grads)

    kinds = [type(error) for error in errors_of(step)]
    assert kinds == [sf.OverlapError, sf.RankFailedError, sf.RankFailedError]


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
    with pytest.raises(sf.UnsupportedTypeError, match="no communicator"):
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
