"""Allocations, floors and caps: the masks of a greedy loop, in every step of a search."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict
from typing import Any

import axes_oracle
import numpy as np
import oracle
import pytest
import swiftforce as sf
from axes_oracle import Bounds, ImpossibleError
from kinds import KINDS, gradient_function
from oracle import assert_same_masks

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

DTYPES = ("float16", "bfloat16", "float32", "float64")

#: Tensors by the names that they have in `STRUCTURES`.
SHAPES: dict[str, tuple[int, ...]] = {
    "in": (4, 6),
    "conv": (3, 2, 2, 2),
    "bias": (5,),
    "empty": (0, 3),
    "out": (2, 7),
}
#: How tensors are passed, and what they are called.
STRUCTURES: dict[str, tuple[Callable[[list[Any]], Any], tuple[str, ...]]] = {
    "mapping": (lambda arrays: dict(zip(SHAPES, arrays, strict=True)), tuple(SHAPES)),
    "list": (list, tuple("01234")),
    "nested": (
        lambda arrays: {"a": {"b": arrays[0], "c": tuple(arrays[1:3])}, "d": list(arrays[3:])},
        ("a/b", "a/c/0", "a/c/1", "d/0", "d/1"),
    ),
}


def typed(array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        return array.astype(pytest.importorskip("ml_dtypes").bfloat16)
    return array.astype(dtype)


def widened(array: np.ndarray, dtype: str) -> np.ndarray:
    """In the type that scores are computed in."""
    return array.astype(np.float64 if dtype == "float64" else np.float32)


def leaves(masks: Any) -> list[np.ndarray]:
    if isinstance(masks, np.ndarray):
        return [masks]
    parts = masks.values() if isinstance(masks, dict) else masks
    return [leaf for part in parts for leaf in leaves(part)]


def drawn(rng: np.random.Generator, names: tuple[str, ...]) -> dict[str, Any]:
    """Arguments of an `Allocation`: some of all floors and caps, for all tensors or for some."""

    def amount(least: int, most: int) -> Any:
        number, share = int(rng.integers(least, most + 1)), float(rng.random() * most / 8)
        return number if rng.random() < 0.6 else share

    def mapped(value: Any, otherwise: Any) -> Any:
        name = names[int(rng.integers(len(names)))]
        return {name: value, "*": otherwise} if rng.random() < 0.4 else value

    empty = names[3]
    made: dict[str, Callable[[], Any]] = {
        "floor": lambda: {empty: 0, "*": amount(0, 3)} if rng.random() < 0.8 else {names[0]: 2},
        "cap": lambda: mapped(amount(2, 8), 6),
        "floor_per_output": lambda: mapped(amount(0, 2), 1),
        "cap_per_output": lambda: mapped(amount(1, 6), 4),
        "n_m": lambda: [(1, 2), (2, 4), (1, 3), {names[4]: (2, 3)}][int(rng.integers(4))],
        "output_axis": lambda: [-1, {names[1]: 2}, {names[0]: 1}][int(rng.integers(3))],
    }
    return {name: make() for name, make in made.items() if rng.random() < 0.45}


# ---------------------------------------------------------------------------- one selection


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_masks_are_those_of_a_greedy_loop(structure: str, dtype: str) -> None:
    """And what no mask respects is refused, nothing else."""
    make, names = STRUCTURES[structure]
    rng = np.random.default_rng([list(STRUCTURES).index(structure), DTYPES.index(dtype)])
    kinds = ["few values", "random", "constant", "half zeros", "denormals"]
    shapes = list(SHAPES.values())
    size = sum(math.prod(shape) for shape in shapes)
    found_masks = refusals = 0
    for trial in range(40):
        scores = [
            typed(KINDS[kinds[trial % 5]](math.prod(shape), rng).reshape(shape), dtype)
            for shape in shapes
        ]
        options, keep = drawn(rng, names), int(rng.integers(1, size // 2 + 1))
        bounds = [
            axes_oracle.bounds_of(options, name, shape)
            for name, shape in zip(names, shapes, strict=True)
        ]
        call = {"keep": keep, "allocation": sf.Allocation(**options)}
        try:
            expected = axes_oracle.greedy([widened(s, dtype) for s in scores], keep, bounds)
        except ImpossibleError:
            refusals += 1
            with pytest.raises(sf.BoundsError):
                sf.select(make(scores), **call)
            continue
        found_masks += 1
        assert axes_oracle.respected(expected.masks, bounds)
        assert_same_masks(leaves(sf.select(make(scores), **call)), expected.masks)
        step = sf.prune(
            make(scores), lambda given: given, saliency="given", steps=1, **call
        ).history[0]
        overruled = (step.kept_by_floors, step.removed_by_caps)
        assert overruled == (expected.kept_by_floors, expected.removed_by_caps)
    assert found_masks > 10, (found_masks, refusals)
    assert refusals > 2, (found_masks, refusals)


@pytest.mark.parametrize("seed", range(4))
def test_no_masks_within_bounds_have_a_larger_total_score(seed: int) -> None:
    """All masks of ten weights, tried one by one: the greedy loop itself is right."""
    rng = np.random.default_rng(seed)
    scores = [rng.permutation(6).reshape(2, 3).astype(np.float32), rng.random(4, np.float32) * 5]
    options = {"floor_per_output": 1, "n_m": (1, 2), "floor": {"1": 1}, "cap": [3, 0.5][seed % 2]}
    bounds = [
        axes_oracle.bounds_of(options, name, s.shape) for name, s in zip("01", scores, strict=True)
    ]
    total, best = -1.0, None
    for bits in itertools.product([False, True], repeat=10):
        masks = oracle.split(np.array(bits), scores)
        if sum(bits) == 5 and axes_oracle.respected(masks, bounds):
            amount = float(oracle.join(scores)[list(bits)].astype(np.float64).sum())
            if amount > total:
                total, best = amount, masks
    assert best is not None
    assert_same_masks(axes_oracle.greedy(scores, 5, bounds).masks, best)
    assert_same_masks(sf.select(scores, keep=5, allocation=sf.Allocation(**options)), best)


def best_of_rows(scores: np.ndarray, count: int) -> np.ndarray:
    """The `count` best of each row of a matrix, of equal ones the first."""
    places = np.argsort(-scores, axis=-1, kind="stable")[..., :count]
    mask = np.zeros(scores.shape, bool)
    np.put_along_axis(mask, places, True, axis=-1)
    return mask


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_large_tensors(axis: int, threads: int, restored_threads: None) -> None:
    """Several chunks, whose borders lie in output units and in groups, with many ties."""
    sf.set_num_threads(threads)
    rng = np.random.default_rng(axis)
    scores = rng.integers(0, 400, (60, 61, 72)).astype(np.float32)
    rows = np.moveaxis(scores, axis, 0).reshape(scores.shape[axis], -1)
    units, length = rows.shape

    def masks(**options: Any) -> np.ndarray:
        keep = options.pop("keep", None)
        allocation = sf.Allocation(output_axis=axis, **options)
        found = sf.select(scores, keep=keep, allocation=allocation)
        return np.moveaxis(found, axis, 0).reshape(units, -1)

    assert_same_masks(masks(cap_per_output=900), best_of_rows(rows, 900))
    floored = masks(floor_per_output=7, keep=7 * units)
    assert_same_masks(floored, best_of_rows(rows, 7))
    groups = rows.reshape(-1, 4)
    assert length % 4 == 0
    assert_same_masks(masks(n_m=(2, 4)), best_of_rows(groups, 2).reshape(rows.shape))
    # One more than all floors: the best of what is left.
    more = masks(floor_per_output=7, keep=7 * units + 1)
    assert (more >= floored).all()
    assert rows[more & ~floored].tolist() == [rows[~floored].max()]


def test_a_name_wins_over_patterns_and_the_first_pattern_over_others() -> None:
    ones = {name: np.ones((4, 5), np.float32) for name in ("a.x", "a.y", "b.x")}
    masks = sf.select(ones, allocation={"a.*": 0.5, "*.x": 3, "*": 1, "a.x": 2})
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        "a.x": 2,
        "a.y": 10,
        "b.x": 3,
    }
    capped = sf.select(ones, keep=7, allocation=sf.Allocation(cap={"*.x": 1, "a.*": 5}))
    assert {name: int(mask.sum()) for name, mask in capped.items()} == {
        "a.x": 1,
        "a.y": 5,
        "b.x": 1,
    }


def test_an_integer_is_a_number_and_a_float_a_share() -> None:
    ones = np.ones((4, 5), np.float32)
    for amount, kept in ((1, 1), (1.0, 20), (0.125, 2), (0.375, 8), (np.int8(3), 3), (0.0, 1)):
        allocation = {"*": amount} if amount else sf.Allocation(cap_per_output=0.2, floor=amount)
        keep = None if amount else 1
        assert sf.select(ones, allocation=allocation, keep=keep).sum() == kept


# ------------------------------------------------------------------ shares of all tensors


@pytest.mark.parametrize("shares", ["uniform", "erk"])
@pytest.mark.parametrize("bounded", [False, True])
def test_uniform_and_erk_follow_their_shares(shares: str, bounded: bool) -> None:
    """Whatever is to be kept: an exact sum, one factor for all, never fewer of a larger number."""
    shapes = {"wide": (9, 40), "square": (3, 3), "conv": (4, 2, 3, 3), "bias": (6,)}
    weights = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    sizes = [math.prod(shape) for shape in shapes.values()]
    starts = [
        float(n if shares == "uniform" else sum(s))
        for n, s in zip(sizes, shapes.values(), strict=True)
    ]
    allocation = sf.Allocation(shares, floor={"square": 2}, cap={"wide": 50} if bounded else None)
    ranges = [(0, size) for size in sizes]
    if bounded:
        ranges[:2] = [(0, 50), (2, 9)]
    before = [0] * 4
    for keep in range(2 if bounded else 1, sum(most for _, most in ranges) + 1, 3):
        masks = sf.select(weights, keep=keep, allocation=allocation if bounded else shares)
        counts = [int(mask.sum()) for mask in masks.values()]
        assert sum(counts) == keep
        assert all(now >= was for now, was in zip(counts, before, strict=True))
        assert axes_oracle.follows_shares(counts, starts, [math.e] * 4, ranges), (keep, counts)
        before = counts


def test_erk_by_hand() -> None:
    """Densities in proportion to (sum of axes) / (product of axes), dense where that is above 1."""
    weights = [
        np.ones(shape, np.float32) for shape in ((100, 100), (50, 10), (10, 2), (4, 4, 2, 2))
    ]
    kept = [int(mask.sum()) for mask in sf.select(weights, keep=536, allocation="erk")]
    # Axes add up to 200, 60, 12 and 12: a factor of two would keep 400, 120, 24 of 20, and 24.
    # The rest of the third is shared out by the others: 516 / 272 each.
    assert kept == [379, 114, 20, 23]


@pytest.mark.parametrize("schedule", ["exponential", "linear"])
@pytest.mark.parametrize("shares", ["uniform", "erk", {"0": 0, "1": 1.0, "*": 5}])
def test_numbers_of_tensors_fall_together(shares: Any, schedule: str) -> None:
    shapes = [(9, 40), (3, 3), (4, 2, 3, 3), (6,)]
    weights = [np.ones(shape, np.float32) for shape in shapes]
    sizes = [weight.size for weight in weights]
    amount = {} if isinstance(shares, dict) else {"sparsity": 0.9}
    found = sf.prune(
        weights, lambda w: w, steps=9, schedule=schedule, allocation=shares, **amount
    ).history
    final = found[-1].layer_kept
    starts = [max(0.5, count) for count in final]
    ends = [size / start for size, start in zip(sizes, starts, strict=True)]
    ranges = list(zip(final, sizes, strict=True))
    n = sum(sizes)
    assert [step.keep for step in found] == list(oracle.schedule_keeps(schedule, n, sum(final), 9))
    for step in found:
        assert sum(step.layer_kept) == step.keep
        assert axes_oracle.follows_shares(list(step.layer_kept), starts, ends, ranges), step
    for before, after in itertools.pairwise(found):
        assert all(b >= a for b, a in zip(before.layer_kept, after.layer_kept, strict=True))


# ---------------------------------------------------------------------------- several steps

#: Allocations of searches, for tensors that are called 0, 1, ...
ALLOCATIONS: dict[str, dict[str, Any]] = {
    "floors": {"floor": {"2": 4}, "floor_per_output": 1},
    "caps": {"cap": {"0": 0.25, "*": 0.6}, "cap_per_output": {"1": 5}},
    "n_m": {"n_m": (2, 4)},
    "all": {"floor_per_output": 1, "cap": 20, "n_m": {"0": (1, 2)}, "output_axis": {"1": -1}},
    "uniform": {"shares": "uniform", "floor_per_output": 1},
    "erk": {"shares": "erk", "cap_per_output": 0.7},
    "mapping": {"shares": {"0": 8, "*": 0.2}, "n_m": (2, 4)},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["force", "iterative_snip", "force_nested"])
@pytest.mark.parametrize("kind", ALLOCATIONS)
def test_every_step_respects_the_bounds(kind: str, method: str, dtype: str) -> None:
    """And has the masks of the greedy loop, from as many weights as caps allow."""
    rng = np.random.default_rng([len(kind), len(method), DTYPES.index(dtype)])
    shapes = [(6, 8), (3, 4, 2, 2), (7,), (0, 2)]
    plain = [rng.standard_normal((3, *shape)).astype(np.float32) for shape in shapes]
    weights = [typed(array[0], dtype) for array in plain]
    gradients = gradient_function([array[1] for array in plain], [array[2] for array in plain])
    options, steps = ALLOCATIONS[kind], 6
    bounds = [axes_oracle.bounds_of(options, str(i), shape) for i, shape in enumerate(shapes)]
    is_mapping = isinstance(options.get("shares"), dict)
    keep = 8 + 10 + 1 if is_mapping else 17
    search = sf.MaskSearch(
        weights,
        method=method,
        keep=None if is_mapping else keep,
        steps=steps,
        allocation=sf.Allocation(**options),
    )
    size = sum(weight.size for weight in weights)
    allowed = axes_oracle.most(shapes, bounds)
    expected_keeps = [
        min(k, allowed) for k in oracle.schedule_keeps("exponential", size, keep, steps)
    ]
    assert list(search.keeps) == expected_keeps
    before = [np.ones(shape, bool) for shape in shapes]
    for number, k in enumerate(expected_keeps, 1):
        masked = [np.asarray(array, np.float32) for array in search.masked_weights]
        grads = [typed(grad, dtype) for grad in gradients(masked)]
        step = search.step(grads)
        wide = [widened(weight, dtype) for weight in weights]
        scores = [np.abs(w * widened(g, dtype)) for w, g in zip(wide, grads, strict=True)]
        nested = method == "iterative_snip" or (method == "force_nested" and number > steps // 2)
        candidates = before if nested and number > 1 else None
        counts = step.layer_kept
        within = (
            bounds
            if "shares" not in options
            else [
                Bounds(**{**asdict(bound), "least": count, "most": count})
                for bound, count in zip(bounds, counts, strict=True)
            ]
        )
        expected = axes_oracle.greedy(scores, k, within, candidates)
        assert_same_masks(search.masks, expected.masks)
        assert axes_oracle.respected(search.masks, bounds)
        assert step.keep == k
        assert (step.kept_by_floors, step.removed_by_caps) == (
            expected.kept_by_floors,
            expected.removed_by_caps,
        )
        before = [mask.copy() for mask in search.masks]
    if kind in {"floors", "caps"}:
        overruled = [(step.kept_by_floors, step.removed_by_caps) for step in search.history]
        assert any(one[kind == "caps"] for one in overruled)


@pytest.mark.parametrize(
    "bounds",
    [
        {"floor_per_output": 1},
        {"floor_per_output": 1, "cap_per_output": 6},
        {"floor_per_output": 1, "n_m": (2, 4)},
    ],
)
@pytest.mark.parametrize("method", ["force", "iterative_snip", "force_nested"])
def test_initial_masks(method: str, bounds: dict[str, Any]) -> None:
    """Bounds hold among the weights that a search begins at, where the rule is nested."""
    rng = np.random.default_rng(3)
    weights, slopes = (rng.standard_normal((6, 8)).astype(np.float32) for _ in range(2))
    begins = rng.random((6, 8)) < 0.7
    search = sf.MaskSearch(
        weights,
        method=method,
        keep=8,
        steps=3,
        initial_masks=begins,
        allocation=sf.Allocation(**bounds),
    )
    of_tensor = [axes_oracle.bounds_of(bounds, "weights", (6, 8))]
    before = begins
    for number in (1, 2, 3):
        step = search.step(slopes)
        nested = method == "iterative_snip" or (method == "force_nested" and number > 2)
        scores = [np.abs(weights * slopes)]
        candidates = [before] if nested else None
        expected = axes_oracle.greedy(scores, step.keep, of_tensor, candidates)
        assert_same_masks(search.masks, expected.masks[0])
        before = search.masks.copy()


@pytest.mark.parametrize("schedule", ["exponential", "cubic"])
def test_without_a_sparsity_as_many_as_caps_allow(schedule: str) -> None:
    weights = {"a": np.ones((4, 10), np.float32), "b": np.ones(7, np.float32)}
    two_of_four = sf.Allocation(n_m={"a": (2, 4)})
    found = sf.prune(weights, lambda w: w, steps=4, schedule=schedule, allocation=two_of_four)
    # Of each row two, two, and of the two that are left, two.
    assert [step.keep for step in found.history] == [31] * 4
    assert [layer.kept for layer in found.layers] == [24, 7]
    assert str(sf.magnitude(weights, allocation=sf.Allocation(cap=3)).keep) == "6"
    listed = sf.prune(weights, lambda w: w, schedule=[31, 9], allocation=two_of_four)
    assert [step.keep for step in listed.history] == [31, 9]


# ---------------------------------------------------------------------------- what is refused

WEIGHTS = {
    "a": np.arange(24, dtype=np.float32).reshape(4, 6),
    "b": np.arange(24, dtype=np.float32).reshape(3, 2, 2, 2),
    "c": np.arange(5, dtype=np.float32),
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "floors above keep": (
        {"keep": 3, "allocation": {"floor_per_output": 1}},
        "3 weights are to be kept, and the floors demand 7",
    ),
    "caps below keep": (
        {"keep": 50, "allocation": {"n_m": (2, 4)}},
        "50 weights are to be kept, and the caps allow 33",
    ),
    "a floor above the size": (
        {"keep": 9, "allocation": {"floor": {"a": 25}}},
        r"\['a'\]: at least 25 weights must be kept, and at most 24 of 24 may be",
    ),
    "a floor above the cap": (
        {"keep": 9, "allocation": {"floor": {"b": 5}, "cap": 3}},
        r"\['b'\]: at least 5 weights must be kept, and at most 3 of 24 may be",
    ),
    "a floor per output above n_m": (
        {"keep": 9, "allocation": {"floor_per_output": 3, "n_m": (1, 4)}},
        r"\['a'\]: at least 3 weights of each output unit must be kept, and at most 2 of its 6",
    ),
    "an axis": (
        {"keep": 9, "allocation": {"output_axis": {"b": 4}, "cap": 9}},
        "'b' has 4 axes, so output_axis cannot be 4",
    ),
    "a missing number": (
        {"allocation": {"shares": {"a": 3}}},
        "no number for 'b': add it, or '\\*'",
    ),
    "an unknown name": (
        {"keep": 9, "allocation": {"cap": {"aa": 3}}},
        "cap has 'aa', which no tensor is called; there are: 'a', 'b', 'c'",
    ),
    "nothing": ({"allocation": {"shares": {"*": 0}}}, "keeps no weight at all"),
    "a number above the size": (
        {"allocation": {"shares": {"c": 6, "*": 1}}},
        "keeps 6 weights of 'c', which has 5: give fewer",
    ),
    "a number below the floor": (
        {"allocation": {"shares": {"*": 4}, "floor": {"a": 5}}},
        r"\['a'\]: 4 weights are to be kept, and the number must be in 5 \.\.\. 24",
    ),
    "a list above the caps": (
        {"schedule": [20, 9], "allocation": {"cap": 3}},
        "20 weights are to be kept, and the caps allow 9",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("call", [sf.MaskSearch, sf.prune])
def test_impossible_demands_are_refused(case: str, call: Any) -> None:
    options, text = REFUSED[case]
    options = {**options, "allocation": sf.Allocation(**options["allocation"])}
    if call is sf.prune:
        options["gradients"] = lambda weights: pytest.fail("a step was taken")
    with pytest.raises(sf.BoundsError, match=text) as caught:
        call(WEIGHTS, **{"steps": None if "schedule" in options else 3, **options})
    assert isinstance(caught.value, ValueError)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    if "schedule" not in options:
        with pytest.raises(sf.BoundsError, match=text):
            sf.select(WEIGHTS, **{k: v for k, v in options.items() if k != "gradients"})


@pytest.mark.parametrize(
    ("options", "error"),
    [({"sparsity": 0.5}, sf.SparsityError), ({"keep": 9}, sf.KeepError)],
)
def test_a_mapping_needs_no_sparsity(options: dict[str, Any], error: type[Exception]) -> None:
    text = f"each tensor keeps, 9 in all: leave out {next(iter(options))}"
    with pytest.raises(error, match=text):
        sf.MaskSearch(WEIGHTS, allocation={"*": 3}, **options)
    with pytest.raises(sf.SparsityError, match="give sparsity"):
        sf.MaskSearch(WEIGHTS, allocation="uniform")
    with pytest.raises(sf.SparsityError, match="give sparsity"):
        sf.MaskSearch(WEIGHTS, allocation=sf.Allocation(floor_per_output=1))


def test_a_step_that_fails_changes_nothing() -> None:
    """Initial masks leave a row empty that must have a weight, and the rule is nested."""
    begins = {name: np.ones(array.shape, bool) for name, array in WEIGHTS.items()}
    begins["a"][2] = False
    search = sf.MaskSearch(
        WEIGHTS,
        method="iterative_snip",
        keep=9,
        steps=2,
        initial_masks=begins,
        allocation=sf.Allocation(floor_per_output=1),
    )
    shown = {name: array.copy() for name, array in search.masked_weights.items()}
    for _ in range(2):
        with pytest.raises(sf.BoundsError, match=r"\['a'\]: .* output unit 2 .* 0 compete"):
            search.step(WEIGHTS)
        assert (search.taken, search.history) == (0, ())
        assert_same_masks(search.masks, begins)
        for name, array in search.masked_weights.items():
            assert array.tobytes() == shown[name].tobytes()
    search = sf.MaskSearch(WEIGHTS, keep=9, steps=3, allocation=sf.Allocation("erk", cap=5))
    search.step(WEIGHTS)
    masks = {name: mask.copy() for name, mask in search.masks.items()}
    with pytest.raises(sf.NonFiniteError, match="gradients\\['b'\\]"):
        search.step({**WEIGHTS, "b": np.full((3, 2, 2, 2), np.inf, np.float32)})
    assert_same_masks(search.masks, masks)
    whole = sf.prune(WEIGHTS, lambda w: w, keep=9, steps=3, allocation=sf.Allocation("erk", cap=5))
    while not search.done:
        search.step(search.masked_weights)
    assert_same_masks(search.masks, whole.masks)


# ---------------------------------------------------------------------------- the record


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"floor": -1}, "floor must be a number of weights, at least 0, not -1"),
        ({"cap": 1.5}, r"cap must be a share in \[0, 1\] or, as an int, .* not 1.5"),
        ({"cap": math.nan}, "cap must be a share .* not nan"),
        ({"floor": True}, "floor must be a number of weights .* not True"),
        ({"floor": "1"}, "floor must be a number of weights .* not '1'"),
        ({"floor": 10**30}, "floor must be a number of weights"),
        ({"cap_per_output": {"a": None}}, r"cap_per_output\['a'\] must be a number .* not None"),
        ({"floor_per_output": {1: 2}}, "floor_per_output maps names or patterns .* not 1"),
        ({"n_m": (3, 2)}, r"n_m must be integers \(N, M\) with 1 <= N <= M, not \(3, 2\)"),
        ({"n_m": (0, 4)}, "n_m must be integers"),
        ({"n_m": (0.5, 4)}, "n_m must be integers"),
        ({"n_m": 2}, r"n_m must be \(N, M\), for example \(2, 4\), not 2"),
        ({"n_m": {"x": (1, 2, 3)}}, r"n_m\['x'\] must be \(N, M\)"),
        ({"output_axis": 0.5}, "output_axis must be the number of an axis, not 0.5"),
        ({"output_axis": True}, "output_axis must be the number of an axis, not True"),
        ({"shares": {"a": "b"}}, r"shares\['a'\] must be a number"),
    ],
)
def test_values_out_of_range(options: dict[str, Any], text: str) -> None:
    with pytest.raises(sf.BoundsError, match=text):
        sf.Allocation(**options)


@pytest.mark.parametrize("name", ["unifrm", 3, None])
def test_unknown_shares(name: Any) -> None:
    with pytest.raises(sf.UnknownNameError, match=r"no allocation .* global, uniform, erk"):
        sf.Allocation(name)
    if name is not None:
        with pytest.raises(sf.UnknownNameError, match="no allocation"):
            sf.MaskSearch(WEIGHTS, keep=9, allocation=name)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, ""),
        ({"shares": "ERK"}, "shares erk"),
        ({"n_m": [2, 4], "floor": 0.25}, "floor 0.25, 2:4"),
        (
            {"shares": {"a*": 0.5, "*": 3}, "cap_per_output": 7, "n_m": {"x": (1, 2)}},
            "shares {'a*': 0.5, '*': 3}, cap per output 7, {'x': 1:2}",
        ),
        (
            {"output_axis": {"k": -1}, "floor_per_output": np.int64(1)},
            "floor per output 1, output axis {'k': -1}",
        ),
    ],
)
def test_text_and_json(options: dict[str, Any], text: str) -> None:
    allocation = sf.Allocation(**options)
    assert str(allocation) == text
    assert sf.Allocation(**json.loads(json.dumps(allocation.to_json()))) == allocation
    assert eval(repr(allocation), {"Allocation": sf.Allocation}) == allocation
    assert (allocation.is_plain, allocation.has_bounds) == (
        not {*options} - {"output_axis"},
        bool({*options} - {"shares", "output_axis"}),
    )


def test_allocations_do_not_change() -> None:
    shares, caps = {"a": 1}, {"a": 2}
    allocation = sf.Allocation(shares, cap=caps)
    shares["a"], caps["b"] = 5, 6
    assert allocation == sf.Allocation({"a": 1}, cap={"a": 2})
    with pytest.raises(FrozenInstanceError):
        allocation.cap = 3  # type: ignore[misc]
    ones = np.ones((2, 3), np.float32)
    mapping = {"weights": 2}
    search = sf.MaskSearch(ones, steps=2, allocation=mapping)
    mapping["weights"] = 6
    while not search.done:
        search.step(ones)
    found = search.result()
    assert (found.keep, found.allocation) == (2, sf.Allocation({"weights": 2}))
