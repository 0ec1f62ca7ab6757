"""Damped searches: accumulated scores, a factor for removed weights, a step that nests."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from kinds import network
from oracle import assert_same_masks
from ranks import Group, Member, results
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from steps import assert_same_step
from swiftforce.files.formats import _digest

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

STEPS = 6
DAMPINGS = [
    {"momentum": 0.9},
    {"removed_factor": 0.25},
    {"nested_from": 4},
    {"momentum": 0.5, "removed_factor": 0.1, "nested_from": 5},
]


def both(dtype: str = "float32") -> tuple[list[Any], Callable[[Any], Any]]:
    """Weights in a list, and gradients that depend on the mask."""
    arrays, gradients = network(7, ((20, 30), (0,), (300,), (7, 8, 3)))
    weights = [array.astype(dtype) for array in arrays]
    return weights, lambda masked: gradients([array.astype(np.float32) for array in masked])


def finished(search: sf.MaskSearch[Any], gradients: Callable[[Any], Any]) -> sf.MaskSearch[Any]:
    while not search.done:
        search.step(gradients(search.masked_weights))
    return search


# ------------------------------------------------------------------------------- as the oracle


@pytest.mark.parametrize("damping", DAMPINGS, ids=str)
@pytest.mark.parametrize("method", ["force", "iterative_snip", "grasp_it"])
def test_every_step_is_the_oracles(method: str, damping: dict[str, Any]) -> None:
    if method != "force":
        damping = {"momentum": damping.get("momentum", 0.75)}
    weights, gradients = both()
    keeps = (700, 400, 300, 150, 70, 21)
    masks, steps = oracle.search(
        weights, gradients, method, keeps, damping=oracle.Damping(**damping)
    )
    search = sf.MaskSearch(weights, method=method, schedule=keeps, **damping)
    for mask in masks:
        search.step(gradients(search.masked_weights))
        assert_same_masks(search.masks, mask)
    for found, expected in zip(search.history, steps, strict=True):
        assert_same_step(found, expected)
    assert search.result().damping == sf.Damping(**damping)


def test_a_step_by_hand() -> None:
    """Scores 1 2 4, then 4 0 0: sums 4.5 1 2, the first, removed, counts half."""
    search = sf.MaskSearch(
        np.float32([1, 2, 4]), schedule=[2, 2, 1], momentum=0.5, removed_factor=0.5
    )
    search.step(np.float32([1, 1, 1]))
    assert search.masks.tolist() == [False, True, True]
    step = search.step(np.float32([4, 0, 0]))
    assert search.masks.tolist() == [True, False, True]
    assert (step.threshold, step.saliency, step.total_saliency) == (2.0, 4.25, 5.25)
    assert search.history[0].objective == 0  # of the weights that step 1 kept
    assert search._buffers.accumulated[0].tolist() == [4.5, 1, 2]


@pytest.mark.parametrize(
    "same", [{"removed_factor": 0}, {"nested_from": 1}, {"removed_factor": 0, "nested_from": 3}]
)
def test_force_without_returns_is_iterative_snip(same: dict[str, Any]) -> None:
    weights, gradients = both()
    options = {"keep": 40, "steps": STEPS, "momentum": 0.9}
    found = sf.force(weights, gradients, **options, **same)
    expected = sf.iterative_snip(weights, gradients, **options)
    assert_same_masks(found.masks, expected.masks)
    assert found.history == expected.history


def test_defaults_are_the_paper() -> None:
    weights, gradients = both()
    found = sf.force(weights, gradients, keep=40, steps=STEPS)
    neutral = {"momentum": 0.0, "removed_factor": 1.0, "nested_from": None}
    same = sf.force(weights, gradients, keep=40, steps=STEPS, **neutral)
    assert found.history == same.history
    assert sum(step.revived for step in found.history) > 0
    assert found.damping == sf.Damping()


@pytest.mark.parametrize(
    ("share", "steps", "step"),
    [(0.5, 60, 31), (0.9, 60, 55), (0.29, 100, 30), (0.001, 10, 1), (0.999, 10, 10)],
)
def test_a_share_of_the_steps(share: float, steps: int, step: int) -> None:
    weights = np.arange(1, 2001, dtype=np.float32)
    search = sf.MaskSearch(weights, keep=3, steps=steps, nested_from=share)
    assert search._damping.nested_from == step
    assert sf.MaskSearch(weights, keep=3, steps=steps, nested_from=np.float32(share))


@pytest.mark.parametrize("share", [Fraction(1, 2), np.longdouble(0.5), np.float16(0.5), 0.5])
def test_any_real_number_is_a_share(share: Any) -> None:
    search = sf.MaskSearch(np.ones(100, np.float32), keep=3, steps=10, nested_from=share)
    assert search._damping.nested_from == 6


@pytest.mark.parametrize("value", [Fraction(3, 2), 1.0, 0.0, float("nan"), 3 + 0j, "0.5", True])
def test_what_is_neither_step_nor_share(value: Any) -> None:
    with pytest.raises(sf.HyperparameterError, match="nested_from"):
        sf.MaskSearch(np.ones(100, np.float32), keep=3, steps=10, nested_from=value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "damping",
    [
        {"momentum": 1 - 1e-9},
        {"momentum": 1e-46},
        {"removed_factor": 1e-46},
        {"removed_factor": 1 - 1e-9},
    ],
    ids=str,
)
def test_factors_that_round_to_others_are_refused(damping: dict[str, float], dtype: str) -> None:
    weights = np.ones(10, dtype)
    with pytest.raises(sf.HyperparameterError, match=f"{next(iter(damping))} .*float32.*round it"):
        sf.MaskSearch(weights, keep=3, steps=2, **damping)
    nearest = {name: float(np.float32(0.9999999)) for name in damping}
    assert sf.MaskSearch(weights, keep=3, steps=2, **nearest)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_momentum_does_not_change_the_type_of_scores(momentum: float) -> None:
    """Squares overflow in float32, the type of the gradients, whatever that of the weights."""
    weights = np.ones(3, np.float64)
    search = sf.MaskSearch(weights, method="grasp_it", schedule=[2, 1], momentum=momentum)
    with pytest.raises(sf.NonFiniteError, match="scores"):
        search.step(np.float32([1, 2, 1e20]))
    gradients = np.float32([1, 2, 0.1])
    step = search.step(gradients)
    assert step.total_saliency == float((gradients * gradients).astype(np.float64).sum())
    search.objective(gradients)
    with pytest.raises(sf.NonFiniteError, match=r"gradients|scores"):
        search.objective(np.float32([1e20, 1, 1]))


@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_methods_without_gradients_have_no_objective(method: Any) -> None:
    weights = np.arange(1, 11, dtype=np.float32)
    search = sf.MaskSearch(weights, method=method, keep=3)
    search.step()
    for gradients in ((), (weights,)):
        with pytest.raises(sf.HyperparameterError, match=f"which {method} does not"):
            search.objective(*gradients)
    assert search.history[-1].objective is None


# ------------------------------------------------------------------------------- warnings


MASKED = [*DAMPINGS, {"momentum": 0.9, "nested_from": 3}, {"removed_factor": 1e-30}]


@pytest.mark.parametrize("damping", MASKED, ids=str)
def test_masked_gradients_are_told(damping: dict[str, Any], tmp_path: Path) -> None:
    """By the scores of each step alone: those of earlier steps are not zero."""
    weights, gradients = both()

    def masked(at: Any) -> Any:
        pairs = zip(gradients(at), at, strict=True)
        return [gradient * (weight != 0) for gradient, weight in pairs]

    competing = damping.get("nested_from", STEPS + 1) - 1
    which = f"{competing} steps" + " in which they competed" * (competing < STEPS)
    with pytest.warns(sf.MaskedGradientsWarning, match=f"in all {which}, so none") as caught:
        found = sf.force(weights, masked, keep=40, steps=STEPS, **damping)
    assert found.warnings == tuple(str(one.message) for one in caught)
    found.save(tmp_path / "m")
    assert sf.load(tmp_path / "m").warnings == found.warnings


@pytest.mark.parametrize(
    "damping", [*DAMPINGS, {"nested_from": 1}, {"nested_from": 2}, {"removed_factor": 0}], ids=str
)
def test_dense_gradients_are_not_taken_for_masked_ones(damping: dict[str, Any]) -> None:
    weights, gradients = both()
    found = sf.force(weights, gradients, keep=40, steps=STEPS, **damping)
    assert not any("removed weights" in text for text in found.warnings)


@pytest.mark.parametrize("damping", [{"nested_from": 2}, {"removed_factor": 0}], ids=str)
def test_gradients_of_weights_that_never_compete_may_be_masked(damping: dict[str, Any]) -> None:
    weights = np.arange(1, 101, dtype=np.float32)
    found = sf.force(weights, lambda masked: masked, keep=10, steps=STEPS, **damping)
    assert found.warnings == ()


def test_zeros_are_those_of_a_step_alone() -> None:
    search = sf.MaskSearch(
        np.float32([1, 2, 4, 8]), schedule=[3, 2, 1], momentum=0.5, nested_from=3
    )
    zeros = [
        search.step(np.float32(gradients)).zero_scores
        for gradients in ([1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 0, 1])
    ]
    assert zeros == [0, 2, 1]  # in the last step 4 and 8 compete


# ------------------------------------------------------------------------------- shown


def test_results_say_how_they_were_damped() -> None:
    weights, gradients = both()
    plain = sf.force(weights, gradients, keep=40, steps=STEPS)
    damped = sf.force(weights, gradients, keep=40, steps=STEPS, momentum=0.9, nested_from=4)
    for text in (str(damped), damped._repr_html_()):
        assert "momentum 0.9, nested from step 4" in text
        assert "accumulated saliency" in text
        assert "sum of all accumulated |weight x gradient|" in text
    for text in (str(plain), plain._repr_html_()):
        assert "saliency" in text
        assert not any(word in text for word in ("momentum", "nested", "accumulated"))
    half = sf.force(weights, gradients, keep=40, steps=STEPS, removed_factor=0.5)
    assert "removed factor 0.5" in str(half) and "accumulated" not in str(half)


def test_settings_are_shown_with_all_digits() -> None:
    """The label of a checkpoint has them, by which a search is recognised."""
    assert str(sf.Damping(momentum=0.9)) != str(sf.Damping(momentum=0.90000001))
    assert str(sf.Damping(removed_factor=0.1)) != str(sf.Damping(removed_factor=0.100000001))
    assert str(sf.Damping()) == ""


def test_no_weight_returns_from_the_step_on() -> None:
    weights, gradients = both()
    search = finished(sf.MaskSearch(weights, keep=40, steps=STEPS, nested_from=4), gradients)
    returned = [step.revived for step in search.history]
    assert all(returned[1:3]) and not any(returned[3:])
    candidates = [step.candidates for step in search.history]
    assert candidates == [1068, 1068, 1068, *(step.keep for step in search.history[2:5])]


def test_initial_masks_are_no_step() -> None:
    """The step that nests is counted from the first one of the search."""
    weights, gradients = both()
    begins = sf.random(weights, keep=600).masks
    search = sf.MaskSearch(weights, initial_masks=begins, keep=40, steps=STEPS, nested_from=3)
    finished(search, gradients)
    assert [step.candidates for step in search.history[:3]] == [1068, 1068, search.keeps[1]]


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
    search = sf.MaskSearch(weights, keep=9, steps=STEPS, **damping)
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


# ------------------------------------------------------------------------------- objective


def exact(weights: list[Any], gradients: list[Any], masks: list[Any]) -> float:
    products = np.abs(oracle.join(weights) * oracle.join(gradients)).astype(np.float64)
    return float(products[oracle.join(masks)].sum())


@pytest.mark.parametrize("method", ["force", "iterative_snip"])
def test_the_objective_of_each_step(method: str) -> None:
    weights, gradients = both()
    search = sf.MaskSearch(weights, method=method, keep=40, steps=STEPS)
    measured = []
    while not search.done:
        search.step(gradients(search.masked_weights))
        assert search.history[-1].objective is None
        own = gradients(search.masked_weights)
        measured.append(exact(weights, own, search.masks))
        if search.taken == 3:
            assert search.objective(own) == pytest.approx(measured[-1], rel=1e-12)
    assert [step.objective for step in search.history[:-1]] == pytest.approx(measured[:-1])
    found = sf.prune(weights, gradients, method=method, keep=40, steps=STEPS, objective=True)
    assert found.objective == pytest.approx(measured[-1], rel=1e-12)
    assert found.history[-1].objective == found.objective
    assert sf.prune(weights, gradients, method=method, keep=40, steps=STEPS).objective is None


def test_the_objective_is_saved(tmp_path: Path) -> None:
    weights, gradients = both()
    found = sf.force(weights, gradients, keep=40, steps=3, objective=True)
    found.save(tmp_path / "m")
    again = sf.load(tmp_path / "m")
    assert again.history == found.history and again.objective == found.objective
    assert found.to_dict()["objective"] == found.objective


def test_the_objective_takes_one_gradient_more() -> None:
    weights, gradients = both()
    calls = []
    for objective in (False, True):
        seen: list[int] = []

        def counted(masked: Any, seen: list[int] = seen) -> Any:
            seen.append(sum(int(np.count_nonzero(array)) for array in masked))
            return gradients(masked)

        sf.force(weights, counted, keep=40, steps=3, objective=objective)
        calls.append(seen)
    assert calls[1] == [*calls[0], 40]


def test_what_the_objective_cannot_be_measured_by() -> None:
    weights, gradients = both()
    with pytest.raises(sf.MissingGradientsError, match="new gradients"):
        sf.prune(weights, gradients(weights), method="force", keep=9, steps=1, objective=True)
    with pytest.raises(sf.HyperparameterError, match="magnitude"):
        sf.prune(weights, method="magnitude", keep=9, objective=True)
    search = sf.MaskSearch(weights, keep=9, steps=2)
    with pytest.raises(sf.SearchDoneError, match="no step"):
        search.objective(gradients(weights))
    search.step(gradients(weights))
    with pytest.raises(sf.MissingGradientsError):
        search.objective()
    spoiled = gradients(weights)
    spoiled[2][5] = np.nan
    with pytest.raises(sf.NonFiniteError, match=r"gradients\[2\]"):
        search.objective(spoiled)
    assert search.taken == 1 and search.history[0].objective is None


def test_fewer_gradients_where_survivors_compete() -> None:
    """A function that leaves out gradients of zeros is asked for them only where they count."""

    class Gradients:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def __call__(self, masked: Any) -> Any:
            self.asked.append("all")
            return [np.ones_like(array) for array in masked]

        def of_nonzero(self, masked: Any) -> Any:
            self.asked.append("kept")
            return [(array != 0).astype(array.dtype) for array in masked]

    weights, _ = both()
    for method, options, asked in [
        ("force", {}, ["all"] * 4),
        ("force", {"nested_from": 3}, ["all", "all", "kept", "kept"]),
        ("force", {"removed_factor": 0}, ["kept"] * 4),
        ("iterative_snip", {"momentum": 0.5}, ["kept"] * 4),
        ("grasp_it", {}, ["all"] * 4),
    ]:
        gradients = Gradients()
        sf.prune(weights, gradients, method=method, keep=9, steps=4, **options)
        assert gradients.asked == asked, (method, options)


# ------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("method", "options", "why"),
    [
        ("force", {"momentum": 1.0}, r"momentum must be in \[0, 1\), not 1"),
        ("force", {"momentum": -0.1}, "momentum"),
        ("force", {"momentum": float("nan")}, "momentum"),
        ("force", {"momentum": "0.9"}, "momentum must be a number"),
        ("force", {"momentum": True}, "momentum"),
        ("force", {"removed_factor": 1.1}, r"removed_factor must be in \[0, 1\]"),
        ("force", {"removed_factor": float("nan")}, "removed_factor"),
        ("force", {"removed_factor": None}, "removed_factor"),
        ("force", {"nested_from": 0}, "nested_from must be in 1 ... 6"),
        ("force", {"nested_from": 7}, "nested_from must be in 1 ... 6"),
        ("force", {"nested_from": 1.0}, "a share of the steps"),
        ("force", {"nested_from": float("nan")}, "a share of the steps"),
        ("force", {"nested_from": True}, "nested_from"),
        ("iterative_snip", {"nested_from": 2}, "nested_from must be left out"),
        ("grasp_it", {"removed_factor": 0.5}, "removed_factor must be 1"),
        ("magnitude", {"momentum": 0.5}, "momentum must be 0 for a method of one step"),
        ("snip", {"removed_factor": 0.5}, "removed_factor must be 1"),
    ],
)
def test_what_is_refused(method: str, options: dict[str, Any], why: str) -> None:
    weights, _ = both()
    steps = None if method in ("magnitude", "snip") else STEPS
    with pytest.raises(sf.HyperparameterError, match=why):
        sf.MaskSearch(weights, method=method, keep=9, steps=steps, **options)
