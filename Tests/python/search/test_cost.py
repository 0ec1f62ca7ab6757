"""Weights with costs: the masks of a loop that pays for weights in order, in every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from swiftforce import nn

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

Arrays = dict[str, np.ndarray]


def gradients(masked: Arrays) -> Arrays:
    """In place of those of a loss."""
    return {name: np.sin(3 * array) + np.float32(0.1) for name, array in masked.items()}


def paid(scores: Arrays, cost: dict[str, int], budget: int, before: Arrays | None) -> Arrays:
    """The masks of the definition."""
    keys = np.concatenate([(scores[n] / scores[n].dtype.type(cost[n])).ravel() for n in scores])
    costs = np.concatenate([np.full(scores[n].size, cost[n]) for n in scores])
    competes = np.ones(keys.size, bool)
    if before is not None:
        competes = np.concatenate([before[n].ravel() for n in scores])
    order = np.argsort(-keys, kind="stable")
    order = order[competes[order]]
    count = np.searchsorted(np.cumsum(costs[order]), budget, side="right")
    flat = np.zeros(keys.size, bool)
    flat[order[:count]] = True
    ends = np.cumsum([scores[n].size for n in scores])[:-1]
    parts = np.split(flat, ends)
    return {n: part.reshape(scores[n].shape) for n, part in zip(scores, parts, strict=True)}


def assert_equal(masks: Arrays, expected: Arrays) -> None:
    assert masks.keys() == expected.keys()
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask, expected[name], err_msg=name)


@given(st.data())
def test_select_pays_for_scores_in_order(data):
    draw = data.draw
    sizes = draw(st.lists(st.integers(0, 30), min_size=1, max_size=4).filter(any))
    values = st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0, 1e-40])
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    scores = {
        f"t{i}": np.array(draw(st.lists(values, min_size=n, max_size=n)), dtype)
        for i, n in enumerate(sizes)
    }
    cost = {name: draw(st.integers(1, 9)) for name in scores}
    whole = sum(cost[name] * array.size for name, array in scores.items())
    least = max(cost[name] for name, array in scores.items() if array.size)
    budget = draw(st.integers(least, whole))
    found = sf.select(scores, keep=budget, allocation=sf.Allocation(cost=cost))
    assert_equal(found, paid(scores, cost, budget, None))


@pytest.mark.parametrize("method", ["force", "iterative_snip", "force_nested", "grasp_it"])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.5}], ids=["plain", "momentum"])
def test_every_step_of_a_search_pays(method, options):
    rng = np.random.default_rng(1)
    weights = {"dear": rng.normal(size=(5, 6)), "cheap": rng.normal(size=(40, 3))}
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    cost = {"dear": 25, "cheap": 1}
    search: Any = sf.MaskSearch(
        weights,
        method=method,
        sparsity=0.9,
        steps=5,
        allocation=sf.Allocation(cost=cost),
        **options,
    )
    assert search.keeps[-1] == sf.keep_count(30 * 25 + 120, 0.9)
    before: Arrays | None = None
    sums = {name: np.zeros_like(array) for name, array in weights.items()}
    for step, budget in enumerate(search.keeps, 1):
        found = gradients(search.masked_weights)
        free = method == "force" or (method == "force_nested" and step < 3)
        kept = None if free or before is None else before
        factor = np.float32(options.get("momentum", 0))
        for name, array in weights.items():
            product = found[name] ** 2 if method == "grasp_it" else np.abs(array * found[name])
            sums[name] = factor * sums[name] + product.astype(np.float32)
            if kept is not None:
                sums[name] = np.where(kept[name], sums[name], np.float32(0))
        report = search.step(found)
        assert_equal(search.masks, paid(sums, cost, budget, kept))
        assert report.keep == sum(mask.sum() for mask in search.masks.values())
        before = search.masks
    left = sum(cost[name] * mask.sum() for name, mask in search.masks.items())
    result = search.result()
    assert result.cost_sparsity == pytest.approx(1 - left / (30 * 25 + 120))
    assert " of the cost removed, sparsity " in str(result)


def test_a_saved_search_goes_on(tmp_path):
    rng = np.random.default_rng(2)
    weights = {n: rng.normal(size=20).astype(np.float32) for n in ("a", "b")}
    options: Any = {"sparsity": 0.8, "steps": 6, "allocation": sf.Allocation(cost={"a": 7, "*": 2})}
    for method in ("force", "iterative_snip"):
        whole = sf.prune(weights, gradients, method=method, **options)
        search: Any = sf.MaskSearch(weights, method=method, **options)
        for _ in range(3):
            search.step(gradients(search.masked_weights))
        search.save(tmp_path / "search")
        resumed = sf.MaskSearch.resume(tmp_path / "search", weights)
        for _ in range(3):
            resumed.step(gradients(resumed.masked_weights))
        assert_equal(resumed.masks, whole.masks)
        result = resumed.result()
        result.save(tmp_path / "masks")
        assert sf.load(tmp_path / "masks").cost_sparsity == whole.cost_sparsity


def test_a_search_that_begins_at_masks_goes_down_from_their_cost():
    weights = {"a": np.arange(1, 11, dtype=np.float32), "b": np.ones(10, np.float32)}
    begun = {"a": np.arange(10) < 4, "b": np.ones(10, bool)}
    search = sf.MaskSearch(
        weights,
        method="iterative_snip",
        keep=10,
        steps=3,
        initial_masks=begun,
        allocation=sf.Allocation(cost={"a": 5, "b": 1}),
    )
    assert search.keeps == sf.schedule_keeps("exponential", 4 * 5 + 10, keep=10, steps=3)


def test_costs_of_a_network_leave_a_share_of_its_multiply_adds():
    network = nn.lenet5((1, 28, 28), 10, seed=0)
    cost = network.multiply_adds
    assert list(cost) == list(network.weights)
    found = sf.magnitude(network.weights, sparsity=0.9, allocation=sf.Allocation(cost=cost))
    whole = sum(cost[name] * weight.size for name, weight in network.weights.items())
    left = sum(cost[name] * mask.sum() for name, mask in found.masks.items())
    kept = sf.keep_count(whole, 0.9)
    assert kept - max(cost.values()) < left <= kept


@pytest.mark.parametrize("cost", [0, -1, 1.5, True, "many", {"a": 0}, {1: 2}, 1 << 62])
def test_a_cost_is_an_integer_from_one_on(cost):
    with pytest.raises(sf.BoundsError, match="cost"):
        sf.Allocation(cost=cost)


@pytest.mark.parametrize("other", [{"shares": "erk"}, {"floor": 1}, {"n_m": (2, 4)}])
def test_costs_and_bounds_do_not_go_together(other):
    with pytest.raises(sf.BoundsError, match="leave out the cost"):
        sf.Allocation(cost=2, **other)


def test_errors_name_the_tensor_and_say_what_to_do():
    weights = {"a": np.ones(4, np.float32), "b": np.ones(4, np.float32)}
    with pytest.raises(sf.BoundsError, match="no number for 'b': add it, or"):
        sf.magnitude(weights, keep=4, allocation=sf.Allocation(cost={"a": 2}))
    with pytest.raises(sf.BoundsError, match=r"'b'.*costs 9, and the budget is 8"):
        sf.magnitude(weights, keep=8, allocation=sf.Allocation(cost={"a": 2, "b": 9}))
    with pytest.raises(sf.KeepError, match=r"1 ... 24, what all weights cost, not 25"):
        sf.magnitude(weights, keep=25, allocation=sf.Allocation(cost=3))
    with pytest.raises(sf.SparsityError, match=r"if these are costs, pass Allocation\(cost"):
        sf.magnitude(weights, sparsity=0.5, allocation={"a": 2, "b": 1})
    with pytest.raises(sf.BoundsError, match="a cost is for single weights"):
        sf.magnitude(weights, keep=8, allocation=sf.Allocation(cost=2), pattern="outputs")
    with pytest.raises(sf.BoundsError, match="cost 9223372036854775808 together"):
        sf.magnitude(weights, keep=8, allocation=sf.Allocation(cost=1 << 61))
