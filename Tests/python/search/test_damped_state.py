"""The accumulated scores of damped searches: in memory, in copies, in files, on ranks."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from damped import DAMPINGS, STEPS, both, finished
from oracle import assert_same_masks
from ranks import Group, Member, results
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from swiftforce.files.formats import _digest

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


# ------------------------------------------------------------------------------- state


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_accumulated_scores_are_stored_in_one_array_in_place(dtype: str) -> None:
    weights, gradients = both(dtype)
    search = sf.MaskSearch(weights, keep=9, steps=3, momentum=0.9)
    arrays = search._buffers.accumulated
    assert arrays is not None
    assert {array.dtype for array in arrays} == {np.dtype("f8" if dtype == "float64" else "f4")}
    places = [array.ctypes.data for array in arrays]
    finished(search, gradients)
    assert search._buffers.accumulated is arrays
    assert [array.ctypes.data for array in arrays] == places
    assert any(array.any() for array in arrays)
    assert sf.MaskSearch(weights, keep=9, steps=3)._buffers.accumulated is None


@pytest.mark.parametrize("method", ["force", "iterative_snip"])
def test_a_step_that_fails_leaves_the_accumulated_scores(method: str) -> None:
    n = 300_000
    rng = np.random.default_rng(5)
    weights, *gradients = rng.normal(size=(3, n)).astype(np.float32)
    search = sf.MaskSearch(weights, method=method, schedule=[n // 2, n // 3], momentum=0.9)
    search.step(gradients[0])
    before = search._buffers.accumulated[0].tobytes()
    for bad in (np.nan, np.inf):
        spoiled = gradients[1].copy()
        spoiled[-1] = bad
        with pytest.raises(sf.NonFiniteError, match="gradients"):
            search.step(spoiled)
        is_same = search._buffers.accumulated[0].tobytes() == before
        assert is_same
    search.step(gradients[1])
    other = sf.MaskSearch(weights, method=method, schedule=[n // 2, n // 3], momentum=0.9)
    for gradient in gradients:
        other.step(gradient)
    is_same = search._buffers.accumulated[0].tobytes() == other._buffers.accumulated[0].tobytes()
    assert is_same and search.history == other.history


def test_sums_that_overflow_are_named() -> None:
    weights = {"a": np.float32([1, 1]), "b": np.float32([1, 1e19])}
    gradients = {"a": np.float32([1, 1]), "b": np.float32([1, 2e19])}
    search = sf.MaskSearch(weights, schedule=[3, 2], momentum=0.99)
    search.step(gradients)
    with pytest.raises(sf.NonFiniteError, match=r"scores\['b'\].*element 1"):
        search.step(gradients)
    assert search.taken == 1
    # In binary64 the score is finite, but not where it is stored.
    wide = {name: array.astype(np.float64) * 1e19 for name, array in gradients.items()}
    search = sf.MaskSearch(weights, schedule=[3, 2], momentum=0.99)
    with pytest.raises(sf.NonFiniteError, match=r"scores\['b'\].*element 1"):
        search.step(wide)
    assert not any(array.any() for array in search._buffers.accumulated)


def test_scores_of_removed_weights_may_overflow() -> None:
    """They do not compete, and their sums are zero."""
    weights = np.float32([1e20, 1, 2, 3])
    search = sf.MaskSearch(weights, method="iterative_snip", schedule=[3, 2], momentum=0.5)
    search.step(np.float32([0, 1, 1, 1]))
    search.step(np.float32([3e38, 1, 1, 1]))
    assert search.masks.tolist() == [False, False, True, True]
    assert search._buffers.accumulated[0].tolist() == [0, 1.5, 3, 4.5]


@pytest.mark.parametrize("damping", DAMPINGS, ids=str)
def test_copies_go_on_alike(damping: dict[str, Any]) -> None:
    weights, gradients = both()
    search = sf.MaskSearch(weights, keep=9, steps=STEPS, **damping)
    for _ in range(3):
        search.step(gradients(search.masked_weights))
    copies = [copy.deepcopy(search), copy.copy(search), pickle.loads(pickle.dumps(search))]
    expected = finished(search, gradients).result()
    for other in copies:
        found = finished(other, gradients).result()
        assert_same_masks(found.masks, expected.masks)
        assert found.history == expected.history and found.damping == expected.damping


# ------------------------------------------------------------------------------- files


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("damping", DAMPINGS, ids=str)
def test_saved_searches_go_on_alike(damping: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    weights, gradients = both(dtype)
    search = sf.MaskSearch(weights, method="force", keep=9, steps=STEPS, **damping)
    for _ in range(3):
        search.step(gradients(search.masked_weights))
        search.save(tmp_path / "s")
    again = sf.MaskSearch.resume(tmp_path / "s", weights)
    expected = finished(search, gradients).result()
    found = finished(again, gradients).result()
    assert_same_masks(found.masks, expected.masks)
    assert found.history == expected.history and found.damping == expected.damping
    found.save(tmp_path / "m")
    assert sf.load(tmp_path / "m").damping == sf.Damping(**damping)


def test_a_search_saved_before_its_first_step(tmp_path: Path) -> None:
    weights, gradients = both()
    search = sf.MaskSearch(weights, keep=9, steps=STEPS, momentum=0.9)
    search.save(tmp_path / "s")
    found = finished(sf.MaskSearch.resume(tmp_path / "s", weights), gradients)
    assert_same_masks(found.masks, finished(search, gradients).masks)


def damaged(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change arrays and JSON of a file, whose digest fits all the same."""
    import json

    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])["__metadata__"]["swiftforce-search"]
    about = json.loads(json.loads(header)["about"])
    arrays = {name: array.copy() for name, array in load_tensors(content).items()}
    change(arrays, about)
    text = json.dumps(about)
    envelope = json.dumps({"about": text, "digest": _digest(text, arrays)})
    path.write_bytes(save_tensors(arrays, {"swiftforce-search": envelope}))


def spoil_first(value: float) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        arrays["accumulated.0"][0] = value

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (spoil_first(np.nan), "not all finite"),
        (spoil_first(-1), "not all finite and not negative"),
        (lambda arrays, _: arrays.pop("accumulated.0"), "accumulated.0"),
        (lambda arrays, _: arrays.update({"accumulated.0": np.zeros(3, "f4")}), "shape"),
        (lambda arrays, _: arrays.update({"accumulated.0": np.zeros(600, "f8")}), "float64"),
        (lambda _, about: about["damping"].update(momentum=1), "momentum is 1"),
        (lambda _, about: about["damping"].update(removed_factor=-0.5), "factor -0.5"),
        (lambda _, about: about["damping"].update(nested_from=0), "step that nests"),
        (lambda _, about: about["damping"].update(nested_from=99), "nested_from"),
        (lambda _, about: about["damping"].pop("momentum"), "momentum"),
        (lambda _, about: about["damping"].update(momentum=1 - 1e-9), "float32"),
        (lambda _, about: about.pop("damping"), "damping"),
        (lambda _, about: about.update(damping=None), "damaged"),
    ],
)
def test_damaged_files(change: Any, why: str, tmp_path: Path) -> None:
    weights, gradients = both()
    search = sf.MaskSearch(weights, keep=9, steps=STEPS, momentum=0.9, nested_from=2)
    search.step(gradients(search.masked_weights))
    path = tmp_path / "s"
    search.save(path)
    damaged(path, lambda *_: None)
    assert sf.MaskSearch.resume(path, weights).taken == 1
    damaged(path, change)
    with pytest.raises(sf.SearchFileError, match=why):
        sf.MaskSearch.resume(path, weights)


# ------------------------------------------------------------------------------- ranks


def parts_of(arrays: list[Any], rank: int, ranks: int) -> tuple[list[Any], list[sf.Piece]]:
    """Columns of each array, and where they lie."""
    parts, pieces = [], []
    for array in arrays:
        side = array.shape[-1]
        first, last = side * rank // ranks, side * (rank + 1) // ranks
        parts.append(np.ascontiguousarray(array[..., first:last]))
        pieces.append(sf.Piece(array.shape, offset=(*[0] * (array.ndim - 1), first)))
    return parts, pieces


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("damping", DAMPINGS, ids=str)
@pytest.mark.parametrize("ranks", [1, 3])
def test_ranks_find_the_masks_of_one(
    ranks: int, damping: dict[str, Any], dtype: str, restored_threads: None, tmp_path: Path
) -> None:
    """Also from a file that one process wrote, and one process from the file of ranks."""
    sf.set_num_threads(1)
    weights, gradients = both(dtype)
    options = {"keep": 40, "steps": STEPS} | damping
    alone = sf.MaskSearch(weights, **options)
    given = []
    while not alone.done:
        given.append(gradients(alone.masked_weights))
        alone.step(given[-1])
        if alone.taken == 2:
            alone.save(tmp_path / "alone")
    last = gradients(alone.masked_weights)
    objective = alone.objective(last)

    def work(member: Member, path: Path | None) -> tuple[list[Any], Any]:
        own, pieces = parts_of(weights, member.rank, ranks)
        where = {"communicator": member, "pieces": pieces}
        if path is None:
            search = sf.MaskSearch(own, **options, **where)
        else:
            search = sf.MaskSearch.resume(path, own, **where)
        while not search.done:
            search.step(parts_of(given[search.taken], member.rank, ranks)[0])
            if path is None and search.taken == 4:
                search.save(tmp_path / "ranks")
        assert search.objective(parts_of(last, member.rank, ranks)[0]) == pytest.approx(objective)
        return search.masks, search.history

    for path in (None, tmp_path / "alone"):
        outcomes = results(Group(ranks).run(lambda member, path=path: work(member, path)))
        for rank, (masks, history) in enumerate(outcomes):
            assert_same_masks(masks, parts_of(alone.masks, rank, ranks)[0])
            for step, own in zip(history, alone.history, strict=True):
                assert step.revived == own.revived
                assert step.objective == pytest.approx(own.objective)
    again = sf.MaskSearch.resume(tmp_path / "ranks", weights)
    while not again.done:
        again.step(given[again.taken])
    assert_same_masks(again.masks, alone.masks)


def test_ranks_must_be_damped_alike(restored_threads: None) -> None:
    sf.set_num_threads(1)

    def work(member: Member) -> None:
        sf.MaskSearch(
            np.ones(4, "f4"), keep=2, steps=2, momentum=0.1 * member.rank, communicator=member
        )

    for outcome in Group(2).run(work):
        assert isinstance(outcome, (sf.StructureError, sf.RankFailedError))
