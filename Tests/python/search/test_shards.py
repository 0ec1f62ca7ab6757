"""Searches that ranks share, as threads of one process: the mask of one process, bit for bit."""

from __future__ import annotations

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
from ranks import Group, Member, results, runs_of

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


# ------------------------------------------------------------------------- many ranks


@pytest.mark.slow
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("ranks", "tensors"), [(300, 7), (20, 500)])
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
        return found, search._native.layers(search.history[-1]), sent

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
