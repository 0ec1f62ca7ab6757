"""Pieces of tensors: any blocks find the mask of one process, and wrong ones fail on all ranks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from ranks import Group, Member, results
from swiftforce.inputs import Tensors
from swiftforce.search.pieces import Block, blocks_of

Array = Any


@pytest.fixture(autouse=True)
def one_thread(restored_threads: None) -> None:
    """Ranks are threads already."""
    sf.set_num_threads(1)


Box = tuple[tuple[int, int], ...]


def boxes(shape: tuple[int, ...], count: int, rng: np.random.Generator) -> list[Box]:
    """The whole of a tensor cut into blocks at random, some of them empty."""
    found: list[Box] = [tuple((0, side) for side in shape)]
    while len(found) < count:
        box = found.pop(int(rng.integers(len(found))))
        dimension = int(rng.integers(len(shape)))
        begin, end = box[dimension]
        middle = int(rng.integers(begin, end + 1))
        for part in ((begin, middle), (middle, end)):
            found.append((*box[:dimension], part, *box[dimension + 1 :]))
    return found


def block_of(array: Array, box: Box) -> tuple[Array, sf.Piece]:
    """A block as an array, sometimes flat, and where it lies."""
    part = array[tuple(slice(*ends) for ends in box)].copy()
    offset = tuple(begin for begin, _ in box)
    if part.size % 2:
        return part, sf.Piece(array.shape, offset=offset)
    return part.reshape(-1), sf.Piece(array.shape, offset=offset, extent=part.shape)


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(oracle.METHODS)), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_blocks_find_the_mask_of_one_process(seed: int, method: str, ranks: int) -> None:
    """Many scores are equal, so the position in the whole tensor decides."""
    rng = np.random.default_rng(seed)
    shapes = [tuple(rng.integers(1, 9, rng.integers(1, 5)).tolist()) for _ in range(3)]
    weights, *gradients = (
        [rng.integers(-2, 3, shape).astype("f4") for shape in shapes] for _ in range(3)
    )
    total = sum(array.size for array in weights)
    steps = 1 if oracle.METHODS[method][2] else 2
    keeps = sorted((int(k) for k in rng.integers(1, total + 1, steps)), reverse=True)
    whole = sf.MaskSearch(weights, method=method, schedule=keeps, seed=5)
    for grads in gradients[:steps]:
        whole.step(grads if whole.needs_gradients else None)
    cuts = [boxes(shape, ranks, rng) for shape in shapes]

    def work(member: Member) -> tuple[list[Array], tuple[sf.Step, ...]]:
        def part(arrays: list[Array]) -> tuple[list[Array], list[sf.Piece]]:
            pairs = [block_of(a, c[member.rank]) for a, c in zip(arrays, cuts, strict=True)]
            return [one for one, _ in pairs], [piece for _, piece in pairs]

        own, pieces = part(weights)
        search = sf.MaskSearch(
            own, method=method, schedule=keeps, seed=5, communicator=member, pieces=pieces
        )
        for grads in gradients[:steps]:
            search.step(part(grads)[0] if search.needs_gradients else None)
        return search.masks, search.history

    outcomes = results(Group(ranks).run(work))
    for tensor, mask in enumerate(whole.masks):
        for rank, (masks, _) in enumerate(outcomes):
            expected, _ = block_of(mask, cuts[tensor][rank])
            assert masks[tensor].tobytes() == expected.tobytes()
    for _, history in outcomes:
        assert [one.layer_kept for one in history] == [one.layer_kept for one in whole.history]


def test_columns_of_a_large_matrix_in_several_blocks_of_the_core() -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 3, (700, 1003)).astype("f4")
    expected = sf.magnitude(weights, keep=123_457).masks
    cuts = [0, 333, 334, 1003]

    def work(member: Member) -> Array:
        columns = slice(*cuts[member.rank : member.rank + 2])
        search = sf.MaskSearch(
            weights[:, columns].copy(),
            method="magnitude",
            keep=123_457,
            communicator=member,
            pieces=[sf.Piece(weights.shape, offset=(0, columns.start))],
        )
        search.step()
        return search.masks

    assert np.array_equal(np.hstack(results(Group(3).run(work))), expected)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_positions_of_a_block_are_those_of_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 6, rng.integers(1, 5)).tolist())
    whole = np.arange(np.prod(shape)).reshape(shape)
    box = boxes(shape, 4, rng)[0]
    part, piece = block_of(whole, box)
    (block,) = blocks_of([piece], Tensors(part.astype("f4"), "weights", may_be_empty=True))
    positions = block.positions(0, block.size)
    assert positions.tolist() == part.reshape(-1).tolist()
    for position in range(whole.size + 1):
        assert block.before(position) == int((positions < position).sum())


# ------------------------------------------------------------------------- wrong pieces


def outcomes_of(
    *pieces: sf.Piece, sizes: tuple[int, ...] | None = None
) -> list[sf.MaskSearch[Any] | BaseException]:
    """What making a search returns or raises on each rank."""

    def work(member: Member) -> sf.MaskSearch[Any]:
        piece = pieces[member.rank]
        extent = piece.extent if isinstance(piece, sf.Piece) else None
        size = sizes[member.rank] if sizes else int(np.prod(extent)) if extent else 4
        return sf.MaskSearch(
            [np.ones(size, "f4")], method="magnitude", keep=2, communicator=member, pieces=[piece]
        )

    group = Group(len(pieces))
    group._barrier = threading.Barrier(len(pieces), timeout=5)
    return group.run(work)


@pytest.mark.parametrize(
    ("shape", "starts", "size"),
    [
        ((8,), (0, 0), 4),
        ((8,), (0, 2), 4),
        ((4,), (0, 0, 3, 3), 1),  # first and second moments of the positions are right
        ((6,), (0, 1, 1, 4, 4, 5), 1),
        ((2**40, 2**20), (0, 2**60 - 2**59), 2**60),
    ],
)
def test_runs_that_overlap_are_refused_on_all_ranks(
    shape: tuple[int, ...], starts: tuple[int, ...], size: int
) -> None:
    if size > 100:  # too large for arrays: where the pieces lie is all that matters
        halves = [Block(shape, 2**60, start, (size // 2,), (1,)).coverage() for start in starts]
        whole = Block(shape, 2**60, 0, (2**60,), (1,)).whole_coverage
        assert sum(halves) % 2**64 == whole
        assert (halves[0] * 2) % 2**64 != whole
        return
    found = outcomes_of(*[sf.Piece(shape, start) for start in starts], sizes=(size,) * len(starts))
    assert [type(one) for one in found] == [sf.StructureError] * len(starts)
    assert "overlap, and leave gaps" in str(found[0])


@pytest.mark.parametrize(
    "offsets",
    [((0, 0), (0, 0)), ((0, 0), (0, 2)), ((0, 0), (1, 1))],
)
def test_blocks_that_overlap_are_refused_on_all_ranks(offsets: Any) -> None:
    found = outcomes_of(*[sf.Piece((4, 4), offset=one, extent=(2, 2)) for one in offsets] * 2)
    assert [type(one) for one in found] == [sf.StructureError] * 4
    assert "overlap, and leave gaps" in str(found[0])


def test_runs_and_blocks_go_together() -> None:
    pieces = [
        sf.Piece((4, 4), 0),
        sf.Piece((4, 4), offset=(1, 0), extent=(3, 2)),
        sf.Piece((4, 4), offset=(1, 2), extent=(3, 2)),
    ]
    assert all(isinstance(one, sf.MaskSearch) for one in outcomes_of(*pieces))


@pytest.mark.parametrize("guilty", [0, 1])
@pytest.mark.parametrize(
    ("piece", "error"),
    [
        (sf.Piece((8,), 2.0), sf.UnsupportedTypeError),  # type: ignore[arg-type]
        (sf.Piece((8,), np.float32(4)), sf.UnsupportedTypeError),  # type: ignore[arg-type]
        (sf.Piece((8,), "4"), sf.UnsupportedTypeError),  # type: ignore[arg-type]
        (sf.Piece((8,), None), sf.UnsupportedTypeError),  # type: ignore[arg-type]
        (sf.Piece((8,), 2**70), sf.ShapeError),
        (sf.Piece((2.0, 4), 4), sf.UnsupportedTypeError),  # type: ignore[arg-type]
        (sf.Piece(8, 4), sf.UnsupportedTypeError),  # type: ignore[arg-type]
        (sf.Piece((2**40, 2**40)), sf.ShapeError),
        (sf.Piece((8,), 4, (4,)), sf.StructureError),
        (sf.Piece((8,), extent=(4,)), sf.StructureError),
        (sf.Piece((2, 4), offset=(1,), extent=(4,)), sf.ShapeError),
        (sf.Piece((2, 4), offset=(1, 0), extent=(2, 2)), sf.ShapeError),
        (sf.Piece((2, 4), offset=(-1, 0), extent=(1, 4)), sf.ShapeError),
        (sf.Piece((2, 4), offset=(0, 0), extent=(-1, -4)), sf.ShapeError),
        (sf.Piece((2, 4), offset=(1, 0.0), extent=(1, 4)), sf.UnsupportedTypeError),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_piece_of_one_rank_fails_on_all(
    piece: sf.Piece, error: type[Exception], guilty: int
) -> None:
    pieces = [sf.Piece((8,), 0), sf.Piece((8,), 4)]
    pieces[guilty] = piece
    found = outcomes_of(*pieces, sizes=(4, 4))
    assert isinstance(found[guilty], error), found[guilty]
    assert type(found[1 - guilty]) is sf.RankFailedError


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64, np.int64])
def test_any_integers_do(kind: Callable[[int], Any]) -> None:
    pieces = [
        sf.Piece((kind(2), kind(4)), kind(0)),
        sf.Piece((kind(2), kind(4)), offset=(kind(1), kind(0)), extent=(kind(1), kind(4))),
    ]
    assert all(isinstance(one, sf.MaskSearch) for one in outcomes_of(*pieces, sizes=(4, 4)))
