"""Allocations, floors, caps and costs of weights that ranks share: the masks of one process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from ranks import Group, Member, results

Array = Any
#: A rank's arrays, and what else `MaskSearch` is told of them.
Part = tuple[dict[str, Array], dict[str, Any]]

SHAPES = {"a": (12, 10), "b": (3, 4, 5), "bias": (7,), "head": (5, 12), "none": (0, 3)}


@pytest.fixture(autouse=True)
def one_thread(restored_threads: None) -> None:
    """Ranks are threads already."""
    sf.set_num_threads(1)


def arrays_of(seed: int, ties: bool = False) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    draw = (lambda n: rng.integers(-2, 3, n)) if ties else rng.standard_normal
    return {name: np.asarray(draw(shape), np.float32) for name, shape in SHAPES.items()}


def rows(arrays: dict[str, Array], rank: int, ranks: int) -> Part:
    """A run of each tensor, in pieces."""
    parts, pieces = {}, []
    for name, array in arrays.items():
        start, end = array.size * rank // ranks, array.size * (rank + 1) // ranks
        parts[name] = array.reshape(-1)[start:end].copy()
        pieces.append(sf.Piece(array.shape, start))
    return parts, {"pieces": pieces}


def own(arrays: dict[str, Array], rank: int, ranks: int) -> Part:
    """Tensors of a rank's own."""
    names = list(arrays)
    range_ = slice(len(names) * rank // ranks, len(names) * (rank + 1) // ranks)
    return {name: arrays[name].copy() for name in names[range_]}, {}


def whole_pieces(arrays: dict[str, Array], rank: int, ranks: int) -> Part:
    """Each tensor on one rank, and nothing of it on the others, in pieces."""
    parts, pieces = {}, []
    for position, (name, array) in enumerate(arrays.items()):
        held = array.size if position % ranks == rank else 0
        parts[name] = array.reshape(-1)[:held].copy()
        pieces.append(sf.Piece(array.shape, 0))
    return parts, {"pieces": pieces}


DIVISIONS = {"rows": rows, "own": own, "whole pieces": whole_pieces}

#: What may be limited of tensors in pieces.
LIMITS: dict[str, dict[str, Any]] = {
    "uniform": {"keep": 40, "allocation": "uniform"},
    "erk": {"sparsity": 0.8, "allocation": "erk"},
    "mapping": {"allocation": {"head": 0.5, "b*": 3, "*": 0.1}},
    "floors": {"keep": 60, "allocation": sf.Allocation(floor={"head": 30, "bias": 0.5}, cap=40)},
    "caps alone": {"allocation": sf.Allocation(cap={"a": 0.1})},
    "uniform with a floor": {"keep": 50, "allocation": sf.Allocation("uniform", floor={"bias": 6})},
    "costs": {"sparsity": 0.9, "allocation": sf.Allocation(cost={"a": 100, "b": 7, "*": 1})},
}
#: What may be limited of tensors on one rank.
OF_UNITS: dict[str, dict[str, Any]] = {
    "floor per output": {"keep": 60, "allocation": sf.Allocation(floor_per_output=1)},
    "n:m": {"allocation": sf.Allocation(n_m={"a": (2, 5), "head": (1, 4)})},
    "erk and n:m": {"keep": 70, "allocation": sf.Allocation("erk", n_m=(2, 4), floor={"b": 9})},
}


def check(
    divide: Callable[[dict[str, Array], int, int], Part],
    ranks: int,
    options: dict[str, Any],
    *,
    seed: int = 0,
    ties: bool = False,
) -> None:
    """After each step, the masks and the counts of ranks are those of one process."""
    weights = arrays_of(seed, ties)
    gradients = [arrays_of(seed + step + 1, ties) for step in range(3)]
    one = sf.MaskSearch(weights, steps=3, **options)
    expected = []
    for grads in gradients:
        step = one.step(grads)
        expected.append((step, {name: mask.copy() for name, mask in one.masks.items()}))

    def work(member: Member) -> None:
        part, about = divide(weights, member.rank, ranks)
        search = sf.MaskSearch(part, steps=3, communicator=member, **about, **options)
        assert search.keeps == one.keeps
        for grads, (step, masks) in zip(gradients, expected, strict=True):
            found = search.step(divide(grads, member.rank, ranks)[0])
            mine = divide(masks, member.rank, ranks)[0]
            for name, mask in search.masks.items():
                assert np.array_equal(mask.reshape(-1), mine[name].reshape(-1)), (name, step.step)
            same = ("keep", "removed", "revived", "kept_by_floors", "removed_by_caps", "threshold")
            for name in (*same, "kept_at_threshold", "at_threshold", "zero_scores"):
                assert getattr(found, name) == getattr(step, name), (name, step.step)
            if about:
                assert found.layer_kept == step.layer_kept
        result = search.result()
        assert not about or result.allocation == one.result().allocation
        # Of tensors of a rank's own, the result is about those.
        assert not about or result.cost_sparsity == one.result().cost_sparsity
        assert str(result)

    results(Group(ranks).run(work))


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize("division", DIVISIONS)
@pytest.mark.parametrize("limits", LIMITS)
def test_limits_of_tensors(division: str, limits: str) -> None:
    for method, ranks in (("force", 2), ("iterative_snip", 3), ("force_nested", 7)):
        check(
            DIVISIONS[division],
            ranks,
            {"method": method, **LIMITS[limits]},
            seed=ranks,
            ties=method == "iterative_snip",
        )


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize("division", ["own", "whole pieces"])
@pytest.mark.parametrize("limits", OF_UNITS)
def test_limits_of_output_units(division: str, limits: str) -> None:
    for method, ranks in (("force", 3), ("iterative_snip", 2)):
        check(DIVISIONS[division], ranks, {"method": method, **OF_UNITS[limits]}, ties=ranks == 2)


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    ranks=st.integers(1, 5),
    division=st.sampled_from(sorted(DIVISIONS)),
    limits=st.sampled_from(sorted(LIMITS)),
    method=st.sampled_from(["force", "iterative_snip"]),
    momentum=st.sampled_from([0, 0.5]),
    ties=st.booleans(),
)
def test_any_of_them(
    seed: int, ranks: int, division: str, limits: str, method: str, momentum: float, ties: bool
) -> None:
    options = {"method": method, "momentum": momentum, **LIMITS[limits]}
    check(DIVISIONS[division], ranks, options, seed=seed, ties=ties)


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize("limits", ["mapping", "floors", "costs", "uniform"])
@pytest.mark.parametrize("division", ["rows", "own"])
def test_saved_and_resumed(limits: str, division: str, tmp_path: Path) -> None:
    """Two ranks save, three go on, and one process does."""
    divide = DIVISIONS[division]
    weights, options = arrays_of(1), {"method": "force", **LIMITS[limits]}
    one = sf.MaskSearch(weights, steps=3, **options)
    for step in range(3):
        one.step(arrays_of(step))

    def save(member: Member) -> None:
        part, about = divide(weights, member.rank, 2)
        search = sf.MaskSearch(part, steps=3, communicator=member, **about, **options)
        search.step(divide(arrays_of(0), member.rank, 2)[0])
        search.save(tmp_path / "s")

    def resume(member: Member) -> None:
        part, about = divide(weights, member.rank, 3)
        search = sf.MaskSearch.resume(tmp_path / "s", part, communicator=member, **about)
        for step in (1, 2):
            search.step(divide(arrays_of(step), member.rank, 3)[0])
        masks = divide(one.masks, member.rank, 3)[0]
        for name, mask in search.masks.items():
            assert np.array_equal(mask.reshape(-1), masks[name].reshape(-1)), name

    results(Group(2).run(save))
    results(Group(3).run(resume))
    flat = (
        weights
        if division == "rows"
        else {str(place): array.reshape(-1) for place, array in enumerate(weights.values())}
    )
    alone = sf.MaskSearch.resume(tmp_path / "s", flat)
    for step in (1, 2):
        named = zip(flat, arrays_of(step).values(), strict=True)
        alone.step({name: array.reshape(flat[name].shape) for name, array in named})
    for found, expected in zip(alone.masks.values(), one.masks.values(), strict=True):
        assert np.array_equal(found.reshape(-1), expected.reshape(-1))


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_a_rank_without_tensors_saves_and_resumes(tmp_path: Path) -> None:
    weights = arrays_of(3)
    options = {"method": "force", **LIMITS["costs"]}
    one = sf.MaskSearch(weights, steps=2, **options)
    for step in range(2):
        one.step(arrays_of(step))

    def work(member: Member) -> None:
        def part(arrays: dict[str, Array]) -> dict[str, Array]:
            return own(arrays, member.rank // 2, 2)[0] if member.rank != 1 else {}

        search = sf.MaskSearch(part(weights), steps=2, communicator=member, **options)
        search.step(part(arrays_of(0)))
        search.save(tmp_path / "s")
        again = sf.MaskSearch.resume(tmp_path / "s", part(weights), communicator=member)
        again.step(part(arrays_of(1)))
        assert_same(again.masks, part(one.masks))
        result = again.result()
        assert (result.cost_sparsity is None) == (member.rank == 1)
        assert str(result)

    results(Group(3).run(work))
    with pytest.raises(sf.WeightsDifferError, match="pass them as a list"):
        sf.MaskSearch.resume(tmp_path / "s", weights)
    alone = sf.MaskSearch.resume(tmp_path / "s", list(weights.values()))
    alone.step(list(arrays_of(1).values()))
    assert alone.result().cost_sparsity == one.result().cost_sparsity
    for found, expected in zip(alone.masks, one.masks.values(), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize("limits", ["costs", "floors"])
def test_initial_masks(limits: str) -> None:
    weights, grads = arrays_of(1), arrays_of(2)
    begins = {name: array > -0.5 for name, array in weights.items()}
    options = {"method": "force", "steps": 2, **LIMITS[limits]}
    one = sf.MaskSearch(weights, initial_masks=begins, **options)
    one.step(grads)

    def work(member: Member) -> None:
        part, about = own(weights, member.rank, 2)
        masks = own(begins, member.rank, 2)[0]
        search = sf.MaskSearch(part, initial_masks=masks, communicator=member, **about, **options)
        assert search.keeps == one.keeps
        search.step(own(grads, member.rank, 2)[0])
        for name, mask in search.masks.items():
            assert np.array_equal(mask, one.masks[name])

    results(Group(2).run(work))


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_a_name_of_another_ranks_tensor_is_no_pattern() -> None:
    """As a pattern, ``layer[0]`` matches ``layer0``."""
    arrays = {"layer[0]": np.arange(1, 51, dtype="f4"), "layer0": np.arange(2, 52, dtype="f4")}
    options = {"method": "force", "steps": 2, "allocation": {"layer[0]": 5, "*": 30}}
    one = sf.MaskSearch(arrays, **options)
    one.step(arrays)

    def work(member: Member) -> None:
        part, _ = own(arrays, member.rank, 2)
        search = sf.MaskSearch(part, communicator=member, **options)
        assert search.keeps == one.keeps
        search.step(part)
        for name, mask in search.masks.items():
            assert np.array_equal(mask, one.masks[name])

    results(Group(2).run(work))


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize("division", ["rows", "own"])
@pytest.mark.parametrize("limits", ["mapping", "floors", "costs"])
def test_a_step_that_fails_may_be_tried_again(division: str, limits: str) -> None:
    """A gradient of one rank is not a number: all ranks raise, and the next try succeeds."""
    divide, options = DIVISIONS[division], {"method": "force", "momentum": 0.5, **LIMITS[limits]}
    weights = arrays_of(1)
    one = sf.MaskSearch(weights, steps=2, **options)
    for step in range(2):
        one.step(arrays_of(step))

    def work(member: Member) -> None:
        part, about = divide(weights, member.rank, 3)
        search = sf.MaskSearch(part, steps=2, communicator=member, **about, **options)
        for step in range(2):
            grads = divide(arrays_of(step), member.rank, 3)[0]
            spoiled = {name: grad.copy() for name, grad in grads.items()}
            if member.rank == 1:
                next(one for one in spoiled.values() if one.size).reshape(-1)[1] = np.nan
            before = {name: mask.copy() for name, mask in search.masked_weights.items()}
            error = sf.NonFiniteError if member.rank == 1 else sf.RankFailedError
            with pytest.raises(error):
                search.step(spoiled)
            assert_same(search.masked_weights, before)
            search.step(grads)
        assert_same(search.masks, divide(one.masks, member.rank, 3)[0])

    results(Group(3).run(work))


def assert_same(found: dict[str, Array], expected: dict[str, Array]) -> None:
    for name, array in found.items():
        assert np.array_equal(array.reshape(-1), expected[name].reshape(-1)), name


# ------------------------------------------------------------------------------ refusals


def refusals(ranks: int, divide: Any, **options: Any) -> list[BaseException]:
    """What the ranks raise when they make a search."""

    def work(member: Member) -> None:
        part, about = divide(arrays_of(0), member.rank, ranks)
        sf.MaskSearch(part, steps=3, method="force", communicator=member, **about, **options)

    found = Group(ranks).run(work)
    assert all(isinstance(one, BaseException) for one in found), found
    return found  # type: ignore[return-value]


def test_patterns_are_refused() -> None:
    for error in refusals(2, own, keep=30, pattern="outputs"):
        assert isinstance(error, sf.BoundsError)
        assert "the pattern outputs is for weights in one process" in str(error)


def test_output_units_in_pieces_are_refused() -> None:
    for error in refusals(2, rows, keep=30, allocation=sf.Allocation(floor_per_output={"b": 1})):
        assert isinstance(error, sf.BoundsError)
        assert "'b'" in str(error) and "give it to one rank" in str(error)


def test_names_that_no_rank_has() -> None:
    for divide in (rows, own):
        for error in refusals(3, divide, allocation={"fc.*": 3, "*": 0.1}):
            assert isinstance(error, sf.BoundsError)
            assert "shares has 'fc.*', which no tensor" in str(error)


def test_amounts_that_a_tensor_lacks() -> None:
    """The rank that has the tensor says so, and the others say which rank failed."""
    errors = refusals(2, own, allocation={"a": 1000, "*": 0.1})
    assert isinstance(errors[0], sf.BoundsError) and "'a', which has 120" in str(errors[0])
    assert isinstance(errors[1], sf.RankFailedError) and "rank 0" in str(errors[1])


def test_sums_of_all_ranks_are_refused_alike() -> None:
    for error in refusals(2, own, keep=3, allocation=sf.Allocation(floor={"a": 3, "head": 2})):
        assert isinstance(error, sf.BoundsError) and "floors demand 5" in str(error)
    for error in refusals(2, own, sparsity=0.5, allocation={"*": 0.1}):
        assert isinstance(error, sf.SparsityError) and "25 in all" in str(error)
    errors = refusals(2, own, keep=30, allocation=sf.Allocation(cost={"a": 1 << 60, "*": 1}))
    assert "the elements of weights['a'] cost 138350580552821637120 together" in str(errors[0])
    for error in refusals(2, own, keep=30, allocation=sf.Allocation(cost=1 << 55)):
        assert isinstance(error, sf.BoundsError) and "the weights cost" in str(error)


def test_ranks_with_other_limits() -> None:
    def work(member: Member) -> None:
        part, about = rows(arrays_of(0), member.rank, 2)
        amounts = {"a": 5 + member.rank, "*": 0.1}
        sf.MaskSearch(part, steps=3, allocation=amounts, communicator=member, **about)

    for error in Group(2).run(work):
        assert isinstance(error, sf.StructureError) and "in allocation or pattern" in str(error)


def test_costs_beyond_what_is_counted() -> None:
    """Also before the ranks have told each other what the masks keep."""
    begins = {name: np.ones(shape, bool) for name, shape in SHAPES.items()}

    def work(member: Member) -> None:
        part, about = own(arrays_of(0), member.rank, 2)
        masks = own(begins, member.rank, 2)[0]
        options = {"keep": 9, "allocation": sf.Allocation(cost=1 << 55), "initial_masks": masks}
        sf.MaskSearch(part, steps=2, communicator=member, **options, **about)

    for error in Group(2).run(work):
        assert isinstance(error, sf.BoundsError), error


def test_a_communicator_of_wrong_offsets() -> None:
    def work(member: Member) -> None:
        part, _ = own(arrays_of(0), member.rank, 2)
        member.offset = lambda count: 0
        sf.MaskSearch(part, keep=9, steps=2, allocation="erk", communicator=member)

    for error in Group(2).run(work):
        assert isinstance(error, sf.ExchangeError), error


def test_a_file_with_a_pattern_is_for_one_process(tmp_path: Path) -> None:
    weights = arrays_of(0)
    sf.MaskSearch(weights, keep=30, steps=2, pattern="outputs").save(tmp_path / "s")

    def work(member: Member) -> None:
        part, about = rows(weights, member.rank, 2)
        sf.MaskSearch.resume(tmp_path / "s", part, communicator=member, **about)

    for error in Group(2).run(work):
        assert isinstance(error, sf.BoundsError) and "one process" in str(error)
