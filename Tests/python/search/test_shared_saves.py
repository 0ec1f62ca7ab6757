"""Searches that ranks share, in files: any number of ranks continues what others saved."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from ranks import Group, Member, results
from swiftforce.search import search_state

pytest.importorskip("safetensors")

KEEPS = (900, 300, 41)
SHAPES = {"a": (30, 20), "b": (0,), "c": (501,), "d": (7, 8, 3)}
Parts = tuple[dict[str, Any], list[sf.Piece]]


@pytest.fixture(autouse=True)
def one_thread(restored_threads: None) -> None:
    """Ranks are threads already."""
    sf.set_num_threads(1)


def numbers(step: int) -> dict[str, Any]:
    """Weights (step 0) or gradients, of few values, so that many scores are equal."""
    rng = np.random.default_rng(step)
    return {name: rng.integers(-3, 4, shape).astype("f4") for name, shape in SHAPES.items()}


def runs(whole: dict[str, Any], rank: int, size: int) -> Parts:
    parts, pieces = {}, []
    for name, array in whole.items():
        start, end = array.size * rank // size, array.size * (rank + 1) // size
        parts[name] = array.reshape(-1)[start:end].copy()
        pieces.append(sf.Piece(array.shape, start))
    return parts, pieces


def columns(whole: dict[str, Any], rank: int, size: int) -> Parts:
    """Blocks along the last dimension."""
    parts, pieces = {}, []
    for name, array in whole.items():
        side = array.shape[-1]
        first, last = side * rank // size, side * (rank + 1) // size
        parts[name] = array[..., first:last].copy()
        pieces.append(sf.Piece(array.shape, offset=(*[0] * (array.ndim - 1), first)))
    return parts, pieces


def step_from(search: sf.MaskSearch[Any], cut: Callable[[dict[str, Any]], Any]) -> None:
    search.step(cut(numbers(search.taken + 1)))


def run(work: Callable[[Member], Any], ranks: int) -> list[Any]:
    group = Group(ranks)
    group._barrier = threading.Barrier(ranks, timeout=20)
    return group.run(work)


def alone() -> sf.MaskSearch[Any]:
    return sf.MaskSearch(numbers(0), schedule=KEEPS)


def saved_by(ranks: int, cut: Any, taken: int, path: Path) -> None:
    if not ranks:
        search = alone()
        for _ in range(taken):
            step_from(search, lambda whole: whole)
        search.save(path, label="mine")
        return

    def work(member: Member) -> None:
        parts, pieces = cut(numbers(0), member.rank, ranks)
        search = sf.MaskSearch(parts, schedule=KEEPS, communicator=member, pieces=pieces)
        for _ in range(taken):
            step_from(search, lambda whole: cut(whole, member.rank, ranks)[0])
        # The first rank writes, wherever the others think the file is.
        search.save(path if member.rank == 0 else path / "nowhere", label="mine")

    results(run(work, ranks))


def resumed_by(ranks: int, cut: Any, path: Path) -> list[tuple[dict[str, Any], sf.Pruning[Any]]]:
    """The parts of the weights, and the result, of each rank that goes on to the end."""

    def finish(search: sf.MaskSearch[Any], cut: Any, parts: Any) -> Any:
        while not search.done:
            step_from(search, cut)
        return parts, search.result()

    if not ranks:
        search = sf.MaskSearch.resume(path, numbers(0), label="mine")
        return [finish(search, lambda whole: whole, numbers(0))]

    def work(member: Member) -> Any:
        parts, pieces = cut(numbers(0), member.rank, ranks)
        search = sf.MaskSearch.resume(path, parts, communicator=member, pieces=pieces, label="mine")
        return finish(search, lambda whole: cut(whole, member.rank, ranks)[0], parts)

    return results(run(work, ranks))


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize("taken", [0, 1, 3])
@pytest.mark.parametrize(
    ("before", "first", "after", "second"),
    [
        (2, runs, 2, runs),
        (3, columns, 2, runs),
        (2, runs, 5, columns),
        (4, columns, 0, None),
        (0, None, 3, columns),
        (1, runs, 2, columns),
    ],
)
def test_any_number_of_ranks_continues(
    before: int, first: Any, after: int, second: Any, taken: int, tmp_path: Path
) -> None:
    whole = alone()
    while not whole.done:
        step_from(whole, lambda arrays: arrays)
    expected = whole.result()
    saved_by(before, first, taken, tmp_path / "s")
    found = resumed_by(after, second, tmp_path / "s")
    for rank, (parts, pruning) in enumerate(found):
        masks = second(expected.masks, rank, after)[0] if after else expected.masks
        for name, mask in pruning.masks.items():
            assert mask.tobytes() == np.reshape(masks[name], -1).tobytes(), name
            assert mask.shape == parts[name].shape
        assert [one.layer_kept for one in pruning.history] == [
            one.layer_kept for one in expected.history
        ]
        assert pruning.layers == expected.layers
        assert pruning.schedule == expected.schedule


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_ranks_with_tensors_of_their_own(tmp_path: Path) -> None:
    """Two ranks with one and two tensors; one process has all three afterwards."""
    weights = [np.random.default_rng(n).standard_normal(50 + n).astype("f4") for n in range(3)]
    own = [weights[:1], weights[1:]]

    def work(member: Member) -> Any:
        part = own[member.rank]
        search = sf.MaskSearch(part, schedule=[60, 20], communicator=member)
        search.step(part)
        search.save(tmp_path / "s")
        again = sf.MaskSearch.resume(tmp_path / "s", part, communicator=member)
        assert again.history == search.history
        again.step(part)
        return again.result()

    first, second = results(run(work, 2))
    search = sf.MaskSearch.resume(tmp_path / "s", weights)
    search.step(weights)
    masks = search.result().masks
    assert [one.tobytes() for one in [*first.masks, *second.masks]] == [
        one.tobytes() for one in masks
    ]
    assert sum(search.history[0].layer_kept) == 60


@pytest.mark.parametrize("begins", [False, True])
def test_searches_that_begin_at_masks(begins: bool, tmp_path: Path) -> None:
    flat = np.arange(1, 13, dtype="f4")
    mask = flat > 4 if begins else np.ones(12, bool)

    def part(array: Any, member: Member) -> Any:
        return array[4 * member.rank :][:4].copy()

    def work(member: Member) -> Any:
        pieces = [sf.Piece((12,), 4 * member.rank)]
        masks = {"initial_masks": part(mask, member)} if begins else {}
        search = sf.MaskSearch(
            part(flat, member), schedule=[6, 2], communicator=member, pieces=pieces, **masks
        )
        search.save(tmp_path / "s")
        again = sf.MaskSearch.resume(
            tmp_path / "s", part(flat, member), communicator=member, pieces=pieces
        )
        assert np.array_equal(again.masks, part(mask, member))
        return again.step(part(flat, member)).removed

    assert results(run(work, 3)) == [2 if begins else 6] * 3


def spoiled(path: Path, parts: Any, rank: int) -> dict[str, Any]:
    parts["c"][0] += 1
    return {}


def missing(path: Path, parts: Any, rank: int) -> dict[str, Any]:
    return {"path": path.with_name("none")} if rank else {}


def labelled(path: Path, parts: Any, rank: int) -> dict[str, Any]:
    return {"label": "other"} if rank else {}


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        (spoiled, [sf.WeightsDifferError] * 2),
        (missing, [sf.RankFailedError, FileNotFoundError]),
        (labelled, [sf.RankFailedError, sf.SearchFileError]),
    ],
)
def test_what_cannot_be_resumed_fails_on_all_ranks(
    change: Any, errors: list[type], tmp_path: Path
) -> None:
    saved_by(2, runs, 1, tmp_path / "s")

    def work(member: Member) -> Any:
        parts, pieces = runs(numbers(0), member.rank, 2)
        options = {"path": tmp_path / "s", "label": "mine"}
        options |= change(tmp_path / "s", parts, member.rank)
        return sf.MaskSearch.resume(weights=parts, communicator=member, pieces=pieces, **options)

    assert [type(one) for one in run(work, 2)] == errors


def test_a_file_that_cannot_be_written_fails_on_all_ranks(tmp_path: Path) -> None:
    def work(member: Member) -> None:
        parts, pieces = runs(numbers(0), member.rank, 2)
        search = sf.MaskSearch(parts, schedule=KEEPS, communicator=member, pieces=pieces)
        search.save(tmp_path / "no" / "folder" / "s")

    first, second = run(work, 2)
    assert isinstance(first, OSError)
    assert type(second) is sf.RankFailedError


@pytest.mark.parametrize("taken", [0, 1])
def test_arrays_of_the_caller_are_as_before_where_another_rank_cannot_resume(
    taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, failing = tmp_path / "search.safetensors", threading.local()
    saved_by(2, runs, taken, path)
    whole, made = search_state.SearchBuffers, []

    def buffers(*args: Any, **named: Any) -> Any:
        if failing.here:
            raise MemoryError
        made.append(args)
        return whole(*args, **named)

    monkeypatch.setattr(search_state, "SearchBuffers", buffers)

    def work(member: Member) -> Any:
        parts, pieces = runs(numbers(0), member.rank, 2)
        masked = {name: np.full_like(part, 7) for name, part in parts.items()}
        for failing.here, error in ((member.rank == 1, True), (False, False)):
            try:
                search = sf.MaskSearch.resume(
                    path,
                    parts,
                    communicator=member,
                    pieces=pieces,
                    masked_weights=masked,
                    label="mine",
                )
            except (MemoryError, sf.RankFailedError):
                assert error
                assert all((array == 7).all() for array in masked.values())
        for name, array in search.masked_weights.items():
            assert array.tobytes() == masked[name].tobytes()
        return search.taken

    assert results(run(work, 2)) == [taken, taken]
    assert len(made) == 3  # one for each search: the masked weights are there once
