"""What the reference implementation of FORCE gets wrong, and that swiftforce does not.

One test per fault, in the order of the table in METHOD.md. Faults that only a framework can have
(modes of batch norm, ranks of a distributed run) are tested as far as arrays go. The reference's
loss is no fault: the test is that swiftforce has it and others.
"""

from __future__ import annotations

import inspect
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from kinds import blobs, network
from oracle import assert_same_masks
from swiftforce import nn


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_ties_at_the_threshold_do_not_keep_more_than_k() -> None:
    scores = floats(1, 2, 2, 2, 3)
    kth = np.sort(scores)[-2]
    assert (scores >= kth).sum() == 4  # the reference
    assert sf.select(scores, keep=2).tolist() == [False, True, False, False, True]


def test_fewer_than_k_scores_above_zero_do_not_keep_everything() -> None:
    weights, gradients = np.ones(10, np.float32), np.zeros(10, np.float32)
    gradients[[4, 7]] = 1
    assert (np.abs(weights * gradients) >= 0).all()  # the reference
    with pytest.warns(sf.DegenerateSaliencyWarning, match="3 of the 5 weights kept"):
        found = sf.snip(weights, gradients, keep=5)
    assert np.flatnonzero(found.masks).tolist() == [0, 1, 2, 4, 7]
    assert found.degenerate
    assert found.history[0].arbitrary == 3


def test_dead_weights_do_not_tie_with_live_zeros_and_return() -> None:
    search = sf.MaskSearch(floats(1, 1, 1, 1), method="iterative_snip", schedule=[2, 2])
    search.step(floats(0, 0, 1, 1))
    step = search.step(floats(1, 1, 0, 0))  # the living have the smallest scores there are
    assert search.masks.tolist() == [False, False, True, True]
    assert (step.revived, step.candidates) == (0, 2)


def test_nan_is_an_error_and_not_a_short_mask() -> None:
    gradients = floats(1, np.nan, 2)
    with np.errstate(invalid="ignore"):
        kth = np.sort(gradients)[-1]  # NaN ranks highest
        assert not (gradients >= kth).any()  # the reference
    with pytest.raises(sf.NonFiniteError) as caught:
        sf.snip({"fc": floats(1, 1, 1)}, {"fc": gradients}, keep=1)
    found = caught.value
    assert (found.tensor, found.count, found.first_index) == ("gradients['fc']", 1, 1)


def test_the_number_kept_is_rounded_at_least_one_and_checked() -> None:
    assert int(100 * (1 - 0.9)) == 9  # the reference
    assert sf.keep_count(100, 0.9) == 10
    assert sf.keep_count(100, 0.9999) == 1
    assert sf.magnitude(floats(1, 2, 3), sparsity=0.9999).keep == 1
    assert sf.magnitude(floats(1, 2, 3), keep=2).keep == 2
    for keep in (0, 4):
        with pytest.raises(sf.KeepError):
            sf.magnitude(floats(1, 2, 3), keep=keep)


def test_the_loss_is_the_callers_and_by_name_in_the_engine() -> None:
    weights = floats(1, 2, 3)
    seen = []
    sf.snip(weights, lambda w: seen.append(w.tolist()) or w, keep=1)
    assert seen == [[1, 2, 3]]
    net, (x, y) = nn.Network([nn.Linear(6, 3)], seed=1), blobs(20)
    cross = net.gradients_on(x, y, loss="cross_entropy")(net.weights)["0.weight"]
    expected = oracle.lenet_gradients([net.weights["0.weight"]], [net.biases["0.bias"]], x, y)
    np.testing.assert_allclose(cross, expected[0], rtol=1e-4, atol=1e-6)
    logit = net.gradients_on(x, y, loss="target_logit")(net.weights)["0.weight"]
    sums = [-x[y == label].sum(axis=0) / len(x) for label in range(3)]
    np.testing.assert_allclose(logit, sums, rtol=1e-4, atol=1e-6)


def test_each_sample_is_used_once_and_a_short_batch_weighs_by_its_size() -> None:
    net, (x, y) = nn.Network([nn.Linear(6, 3)], seed=1), blobs(23)
    whole = net.gradients_on(x, y)(net.weights)["0.weight"]
    batches = net.gradients_on(x, y, batch_size=5, batches_per_step=5, seed=3)
    np.testing.assert_allclose(batches(net.weights)["0.weight"], whole, rtol=1e-4, atol=1e-6)


def test_no_scores_and_no_copy_of_the_network_are_made() -> None:
    weights = np.random.default_rng(0).standard_normal(1_000_000).astype(np.float32)
    gradients = weights[::-1].copy()
    sf.snip(weights, gradients, sparsity=0.9)
    tracemalloc.start()
    try:
        sf.snip(weights, gradients, sparsity=0.9)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < weights.size + 0.02 * (weights.nbytes + gradients.nbytes)  # the masks, and 2 %


def test_masks_are_saved_and_loaded(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    weights, gradients = network(3)
    found = sf.force(weights, gradients, sparsity=0.5, steps=3)
    found.save(tmp_path / "masks.safetensors")
    assert_same_masks(sf.load(tmp_path / "masks.safetensors").masks, found.masks)


def test_momentum_does_not_move_a_removed_weight() -> None:
    net, (x, y) = nn.Network([nn.Linear(6, 3)], seed=1), blobs(60)
    masks = sf.random(net.weights, sparsity=0.5).masks
    removed = ~masks["0.weight"]

    def prune_after_the_first(epoch: nn.Epoch) -> None:
        if epoch.epoch == 1:  # the momentum is not zero by now
            net.apply(masks)
        assert not net.weights["0.weight"][removed].any()

    net.fit(x, y, epochs=5, momentum=0.99, batch_size=10, on_epoch=prune_after_the_first)


@pytest.mark.filterwarnings("ignore::swiftforce.LayerCollapseWarning")
@pytest.mark.parametrize("method", ["snip", "magnitude", "random"])
def test_every_process_finds_the_same_mask(method: str) -> None:
    """It depends on the values alone: not on the run, nor on how the weights are cut up."""
    weights, gradients = network(4, ((60, 50),))
    given = gradients(weights)
    options: dict[str, Any] = {"method": method, "sparsity": 0.9, "seed": 1}
    found = sf.prune(weights[0], given[0], **options).masks
    assert found.tobytes() == sf.prune(weights[0], given[0], **options).masks.tobytes()
    rows = sf.prune(list(weights[0]), list(given[0]), **options)
    assert np.stack(rows.masks).tobytes() == found.tobytes()


def test_scoring_changes_nothing_of_the_network() -> None:
    net, (x, y) = nn.Network([nn.Linear(6, 5), nn.Linear(5, 3)], seed=1), blobs(60)
    arrays = [*net.weights.values(), *net.biases.values()]
    before = [array.tobytes() for array in arrays]
    sf.force(net.weights, net.gradients_on(x, y, batch_size=10), sparsity=0.5, steps=8)
    assert [array.tobytes() for array in arrays] == before


def test_what_is_pruned_is_what_is_passed_and_a_shared_tensor_counts_once() -> None:
    weights = {"conv": np.ones((2, 3, 3, 3), np.float32), "scale": floats(5, 6), "deep": floats(7)}
    chosen = {name: weights[name] for name in ("conv", "deep")}
    assert list(sf.magnitude(chosen, keep=5).masks) == ["conv", "deep"]
    with pytest.raises(sf.OverlapError, match=r"weights\['head'\] shares memory"):
        sf.magnitude({**weights, "head": weights["conv"]}, keep=5)


def test_masks_select_and_never_multiply() -> None:
    with np.errstate(invalid="ignore"):
        assert np.isnan(floats(np.nan) * floats(0)).all()  # the reference
    found = sf.apply_masks(floats(np.nan, -1), np.array([False, False]))
    assert found.tobytes() == floats(0, 0).tobytes()
    search = sf.MaskSearch(floats(-1, -2), keep=1, steps=2, schedule=[1, 1])
    search.step(floats(1, 1))
    assert search.masked_weights.tobytes() == floats(0, -2).tobytes()  # +0, not -1 * 0


def test_sparsity_is_the_share_removed_everywhere() -> None:
    found = sf.magnitude(np.arange(100, dtype=np.float32), sparsity=0.9)
    assert (found.keep, found.density) == (10, 0.1)
    assert found.sparsity == pytest.approx(0.9)
    public: list[Any] = [getattr(sf, name) for name in sf.__all__]
    for item in filter(inspect.isfunction, public):
        assert not {"pruning_factor", "ratio", "amount"} & set(inspect.signature(item).parameters)


def test_force_is_the_method_of_that_name() -> None:
    """The reference's example runs Iterative SNIP under the name FORCE."""
    weights, gradients = network(5, ((40, 20),))
    options: dict[str, Any] = {"sparsity": 0.9, "steps": 8}
    force = sf.force(weights, gradients, **options)
    assert sum(step.revived for step in force.history) > 0
    nested = sf.iterative_snip(weights, gradients, **options)
    assert sum(step.revived for step in nested.history) == 0
