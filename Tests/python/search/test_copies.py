"""Searches and results that are pickled or copied go on as the original does."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import swiftforce as sf
from kinds import network
from oracle import assert_same_masks
from ranks import Group, Member

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda value, protocol=protocol: pickle.loads(
            pickle.dumps(value, protocol)
        )
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}
METHODS = {name: 1 if name in ("snip", "magnitude", "random") else 4 for name in sf.methods()}


def finished(search: sf.MaskSearch[Any], gradients: Any) -> sf.MaskSearch[Any]:
    while not search.done:
        search.step(gradients(search.masked_weights) if search.needs_gradients else None)
    return search


def begun(method: str, after: int, gradients: Any, weights: Any, **options: Any) -> Any:
    options = {"keep": 9, "steps": METHODS[method], "seed": 5} | options
    search = sf.MaskSearch(weights, method=method, **options)
    for _ in range(min(after, search.steps)):
        search.step(gradients(search.masked_weights) if search.needs_gradients else None)
    return search


def assert_equal(search: sf.MaskSearch[Any], other: sf.MaskSearch[Any]) -> None:
    assert search.history == other.history
    assert_same_masks(search.masks, other.masks)
    for mine, its in zip(search.masked_weights, other.masked_weights, strict=True):
        assert (mine.dtype, mine.tobytes()) == (its.dtype, its.tobytes())
    if search.taken:
        assert search.result().to_json() == other.result().to_json()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("after", [0, 1, 2, 4])
def test_a_copy_goes_on_by_itself(way: str, method: str, after: int) -> None:
    weights, gradients = network(71)
    expected = finished(begun(method, 0, gradients, weights), gradients)
    search = begun(method, after, gradients, weights)
    copied = WAYS[way](search)
    assert_equal(copied, search)
    taken = search.taken
    finished(copied, gradients)
    # Neither writes to the other's masks.
    assert search.taken == taken
    assert_equal(copied, expected)
    assert_equal(finished(search, gradients), expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("after", [0, 1])
def test_copies_of_a_search_that_begins_at_masks(way: str, after: int) -> None:
    weights, gradients = network(72)
    masks = sf.magnitude(weights, keep=30)
    search = begun("force", after, gradients, weights, initial_masks=masks)
    copied = WAYS[way](search)
    assert_equal(copied, search)
    assert_equal(finished(copied, gradients), finished(search, gradients))


@pytest.mark.parametrize("way", WAYS)
def test_weights_of_every_type_and_name(way: str) -> None:
    rng = np.random.default_rng(0)
    kinds = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
    weights = {(1, "x"): rng.standard_normal((3, 5)).astype(kinds[0])}
    weights |= {kind.__name__: rng.standard_normal((3, 5)).astype(kind) for kind in kinds[1:]}
    weights = {**weights, 7: np.empty((0, 2), np.float32)}

    def gradients(masked: Any) -> Any:
        return {key: (array + array.dtype.type(0.5)) for key, array in masked.items()}

    search = sf.MaskSearch(weights, keep=11, steps=3, method="iterative_snip")
    search.step(gradients(search.masked_weights))
    copied = WAYS[way](search)
    assert list(copied.masks) == list(search.masks) == list(weights)
    finished(search, gradients)
    finished(copied, gradients)
    assert copied.history == search.history
    assert all((copied.masks[key] == search.masks[key]).all() for key in weights)


def test_a_copy_does_not_write_to_the_arrays_of_the_caller() -> None:
    weights, gradients = network(73)
    masked = [np.zeros_like(weight) for weight in weights]
    search = sf.MaskSearch(weights, keep=9, steps=3, masked_weights=masked)
    search.step(gradients(search.masked_weights))
    before = [array.tobytes() for array in masked]
    finished(copy.copy(search), gradients)
    assert [array.tobytes() for array in masked] == before
    finished(search, gradients)
    assert [array.tobytes() for array in masked] != before


def test_a_copy_can_be_saved(tmp_path: Any) -> None:
    weights, gradients = network(74)
    search = begun("force", 2, gradients, weights)
    pickle.loads(pickle.dumps(search)).save(tmp_path / "search")
    resumed = sf.MaskSearch.resume(tmp_path / "search", weights)
    assert_equal(finished(resumed, gradients), finished(search, gradients))


class Named(sf.MaskSearch[Any]):
    """A search with something of its own."""

    name = ""


def test_what_a_subclass_adds_is_copied() -> None:
    weights, _ = network(75)
    search = Named(weights, keep=3, steps=2)
    search.name = "mine"
    for way in WAYS.values():
        copied = way(search)
        assert (type(copied), copied.name, copied.keeps) == (Named, "mine", search.keeps)


def gradients_of(search: sf.MaskSearch[Any]) -> Any:
    return [masked + np.float32(0.5) for masked in search.masked_weights]


def finished_elsewhere(search: sf.MaskSearch[Any]) -> tuple[sf.MaskSearch[Any], Any]:
    while not search.done:
        search.step(gradients_of(search))
    return search, search.result()


@pytest.mark.parametrize("after", [0, 2])
def test_another_process_goes_on(after: int) -> None:
    weights, _ = network(76)
    search = sf.MaskSearch(weights, keep=3, steps=4)
    for _ in range(after):
        search.step(gradients_of(search))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there, found = pool.submit(finished_elsewhere, search).result(timeout=100)
    expected, result = finished_elsewhere(search)
    assert_equal(there, expected)
    assert found.to_json() == result.to_json()
    assert_same_masks(found.masks, result.masks)


@pytest.mark.parametrize("way", WAYS)
def test_results_and_their_parts(way: str) -> None:
    weights, gradients = network(77)
    found = sf.force(weights, gradients, keep=9, steps=3)
    copied = WAYS[way](found)
    assert type(copied) is sf.Pruning
    assert (copied.history, copied.layers) == (found.history, found.layers)
    assert_same_masks(copied.masks, found.masks)
    assert WAYS[way](found.history[1]) == found.history[1]
    assert WAYS[way](found.layers[0]) == found.layers[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_search_that_ranks_share_is_refused(way: str) -> None:
    def work(member: Member) -> Any:
        search = sf.MaskSearch(np.float32([1, 2, 3]), keep=2, communicator=member)
        WAYS[way](search)

    for error in Group(2).run(work):
        assert type(error) is sf.StructureError
        assert "communicator" in str(error)
