"""Checks of masks: as many of each tensor, others; and the weights on a path, counted exactly."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from kinds import cut, cuts, shaped, values
from swiftforce import checks, nn
from swiftforce.checks.inversion import _INVERTING
from swiftforce.checks.shuffling import _SHUFFLING
from swiftforce.nn import samples
from tiny_networks import TINY, drawn
from unit_graph import Graph

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

Masks = list[np.ndarray]


@st.composite
def some_masks(draw: st.DrawFn, most: int = 60) -> Masks:
    """Masks of some tensors, of all densities, some of them empty."""
    n = draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    flat = rng.random(n) < draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    return shaped(cut(flat, draw(cuts(n))))


def counts(masks: Any) -> list[int]:
    return [int(mask.sum()) for mask in masks]


def digest(masks: Masks) -> str:
    return hashlib.sha256(b"".join(mask.tobytes() for mask in masks)).hexdigest()[:16]


# ------------------------------------------------------------------------------ shuffle


@given(some_masks(), st.integers(0, 2**64 - 1))
def test_as_many_of_each_tensor_are_kept(masks: Masks, seed: int) -> None:
    before = digest(masks)
    for found in (checks.shuffle(masks, seed), checks.invert(masks, seed=seed)):
        assert counts(found) == counts(masks)
        assert [mask.shape for mask in found] == [mask.shape for mask in masks]
        assert not any(np.shares_memory(a, b) for a, b in zip(found, masks, strict=True))
    assert digest(masks) == before


@given(some_masks(), st.integers(0, 2**64 - 1))
def test_the_order_of_each_tensor_is_the_one_that_is_documented(masks: Masks, seed: int) -> None:
    for position, (mask, found) in enumerate(zip(masks, checks.shuffle(masks, seed), strict=True)):
        if mask.size:
            order = sf.permutation(mask.size, seed, (3 << 32) + position)
            assert np.array_equal(found.reshape(-1), mask.reshape(-1)[order])


def some() -> Masks:
    """Masks that are the same on every machine."""
    numbers = np.arange(3 * 64).reshape(3, 8, 8)
    return [numbers[0] % 3 == 0, numbers[1] % 7 < 2, numbers[2] % 2 == 0]


def test_a_seed_gives_the_same_masks_on_every_machine() -> None:
    assert digest(checks.shuffle(some(), seed=7)) == "01e1231554560a6a"
    assert digest(checks.invert(some(), seed=7)) == "ee81ab0bc3322b81"


def test_tensors_are_shuffled_apart_and_seeds_differ() -> None:
    first, second = checks.shuffle([some()[0], some()[0]], seed=7)
    assert not np.array_equal(first, second)
    assert digest(checks.shuffle(some(), 1)) != digest(checks.shuffle(some(), 2))


def test_streams_are_nobody_elses() -> None:
    starts = [0, samples.TRAINING_STREAM, samples.SCORING_STREAM, _SHUFFLING, _INVERTING]
    assert starts == [i << 32 for i in range(5)]


def test_every_choice_comes_up() -> None:
    mask = np.array([True, True, False, False, False])
    found = {checks.shuffle(mask, seed).tobytes() for seed in range(200)}
    assert len(found) == math.comb(5, 2)


def test_results_mirror_what_was_passed() -> None:
    a, b = np.array([True, False, False]), np.array([[True], [False]])
    weights = {"a": np.float32([3, 1, 2]), "b": np.float32([[5], [4]])}
    pruning = sf.magnitude(weights, keep=3)
    for check in (checks.shuffle, checks.invert):
        assert list(check({"a": a, "b": b})) == ["a", "b"]
        assert isinstance(check((a, b)), tuple)
        assert check(a).shape == (3,)
        assert counts(check(pruning).values()) == counts(pruning.masks.values())


@pytest.mark.parametrize("check", [checks.shuffle, checks.invert])
def test_bad_masks_and_seeds_are_refused(check: Any) -> None:
    with pytest.raises(sf.UnsupportedTypeError, match=r"masks\['a'\] has dtype int64"):
        check({"a": np.arange(3)})
    with pytest.raises(sf.StructureError, match="no elements"):
        check([])
    with pytest.raises(sf.LayoutError, match="C-contiguous"):
        check(np.ones((4, 4), bool)[:, ::2])
    with pytest.raises(sf.SeedError):
        check(np.ones(3, bool), seed=-1)


def test_pieces_of_one_rank_are_refused() -> None:
    pruning = sf.magnitude([np.float32([1, 2, 3])], keep=1)
    whole = dataclasses.replace(pruning.layers[0], shape=(6,), size=6)
    piece = dataclasses.replace(pruning, layers=(whole,))
    with pytest.raises(sf.StructureError, match=r"a piece of \(3,\) of its \(6,\)"):
        checks.shuffle(piece)


# ------------------------------------------------------------------------------ invert


@given(st.data())
def test_the_last_of_each_tensor_are_kept(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 60))
    scores = cut(data.draw(values(n)), data.draw(cuts(n)))
    masks = [np.arange(score.size) < data.draw(st.integers(0, score.size)) for score in scores]
    for score, mask, found in zip(scores, masks, checks.invert(masks, scores=scores), strict=True):
        order = sorted(range(score.size), key=lambda i: (-score[i], i))
        expected = set(order[score.size - mask.sum() :])
        assert set(np.flatnonzero(found)) == expected


@given(st.data())
def test_what_a_method_keeps_its_inversion_removes(data: st.DataObject) -> None:
    scores = [data.draw(values(data.draw(st.integers(2, 40)))) for _ in range(2)]
    best = [sf.select(score, keep=score.size // 2) for score in scores]
    inverted = checks.invert(best, scores=scores)
    assert not any((a & b).any() for a, b in zip(best, inverted, strict=True))


@given(some_masks(), st.integers(0, 2**64 - 1))
def test_without_scores_removed_weights_come_first(masks: Masks, seed: int) -> None:
    for mask, found in zip(masks, checks.invert(masks, seed=seed), strict=True):
        kept, removed = int(mask.sum()), int((~mask).sum())
        assert int((found & ~mask).sum()) == min(kept, removed)


def test_scores_that_are_not_finite_name_their_tensor() -> None:
    masks = {"a": np.array([True]), "b": np.array([True, False])}
    scores = {"a": np.float32([1]), "b": np.float32([1, math.nan])}
    with pytest.raises(sf.NonFiniteError, match=r"scores\['b'\] has 1 value") as caught:
        checks.invert(masks, scores=scores)
    assert caught.value.first_index == 1
    with pytest.raises(sf.NonFiniteError, match=r"scores\['a'\]"):
        checks.invert(masks, scores={**scores, "a": np.float32([math.inf])})


def test_scores_of_another_structure_are_refused() -> None:
    masks = {"a": np.array([True, False])}
    with pytest.raises(sf.StructureError, match="scores lack 'a'"):
        checks.invert(masks, scores={"b": np.float32([1, 2])})
    with pytest.raises(sf.ShapeError):
        checks.invert(masks, scores={"a": np.float32([1, 2, 3])})


# ------------------------------------------------------------------------------ densities


@given(some_masks(), st.integers(0, 2**64 - 1))
def test_checks_leave_densities_alone(masks: Masks, seed: int) -> None:
    found = checks.layer_densities(masks)
    assert list(found) == [str(i) for i in range(len(masks))]
    assert list(found.values()) == [mask.mean() if mask.size else 1 for mask in masks]
    assert checks.layer_densities(checks.shuffle(masks, seed)) == found


def test_densities_of_a_result() -> None:
    pruning = sf.magnitude({"a": np.float32([3, 1]), "b": np.float32([2])}, keep=2)
    assert checks.layer_densities(pruning) == {"a": 0.5, "b": 1.0}
    assert checks.layer_densities(pruning.masks) == {"a": 0.5, "b": 1.0}


# ------------------------------------------------------------------------------ paths


def same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> bool:
    return list(found) == list(expected) and all(
        np.array_equal(found[name], expected[name]) for name in expected
    )


@given(
    st.sampled_from(sorted(TINY)), st.sampled_from([0.05, 0.2, 0.5, 0.8, 1]), st.integers(0, 9999)
)
def test_paths_are_those_of_the_graph_of_units(kind: str, density: float, seed: int) -> None:
    net = TINY[kind]()
    masks = drawn(net, density, seed)
    found = checks.effective_density(net, masks)
    assert same(found.masks, Graph(net).effective(masks))
    assert [layer.kept for layer in found.layers] == counts(masks.values())
    assert [layer.effective for layer in found.layers] == counts(found.masks.values())


@given(st.sampled_from(sorted(TINY)), st.sampled_from([0.1, 0.3, 0.6]), st.integers(0, 9999))
def test_what_is_left_has_the_same_paths(kind: str, density: float, seed: int) -> None:
    net = TINY[kind]()
    masks = drawn(net, density, seed)
    found = checks.effective_density(net, masks)
    assert all((masks[name] | ~mask).all() for name, mask in found.masks.items())
    again = checks.effective_density(net, found.masks)
    assert same(again.masks, found.masks)
    assert again.kept == again.effective == found.effective
    more = {
        name: mask | (np.arange(mask.size) % 5 == 0).reshape(mask.shape)
        for name, mask in masks.items()
    }
    wider = checks.effective_density(net, more)
    assert all((wider.masks[name] | ~mask).all() for name, mask in found.masks.items())


@given(st.sampled_from(["linear", "residual"]), st.integers(0, 9999))
def test_weights_on_no_path_change_nothing(kind: str, seed: int) -> None:
    net = TINY[kind]()
    masks = drawn(net, 0.3, seed)
    x = np.random.default_rng(seed).standard_normal((4, net.features)).astype(np.float32)
    net.apply(masks)
    before = net.predict(x)
    net.apply(checks.effective_density(net).masks)
    assert np.array_equal(net.predict(x), before)


def test_a_weight_that_sees_padding_alone_is_on_no_path() -> None:
    net = nn.Network([nn.Conv2d(2, 2, 3, padding=1), nn.Linear(2, 2)], input_shape=(2, 1, 1))
    found = checks.effective_density(net)
    assert found.masks["0.weight"].sum(axis=(0, 1)).tolist() == [[0, 0, 0], [0, 4, 0], [0, 0, 0]]
    assert (found.kept, found.effective, found.size) == (40, 8, 40)


def test_a_path_does_not_begin_at_a_bias() -> None:
    net = nn.Network([nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)])
    net.biases["0.bias"] = [1, 1]
    masks = {"0.weight": np.zeros((2, 2), bool), "2.weight": np.ones((2, 2), bool)}
    assert checks.effective_density(net, masks).effective == 0


def test_masks_are_those_that_are_applied() -> None:
    net = TINY["linear"]()
    assert checks.effective_density(net).density == 1
    pruning = sf.random(net.weights, sparsity=0.5, seed=1)
    net.apply(pruning.masks)
    assert repr(checks.effective_density(net)) == repr(checks.effective_density(net, pruning))
    net.apply(checks.shuffle(pruning))
    assert checks.effective_density(net).kept == pruning.keep


def test_networks_of_the_literature_use_all_their_weights() -> None:
    for net in (nn.lenet5(), nn.small_vgg(), nn.resnet(20, (3, 16, 16))):
        found = checks.effective_density(net)
        assert found.density == found.direct_density == 1, net


@pytest.mark.slow
def test_a_large_network_at_an_extreme_sparsity() -> None:
    net = nn.resnet(18, (3, 8, 8))
    pruning = sf.random(net.weights, sparsity=0.999, seed=1)
    found = checks.effective_density(net, pruning)
    assert found.kept == pruning.keep > found.effective
    assert found.direct_density == pruning.density


def test_a_count_is_a_table() -> None:
    net = nn.Network([nn.Linear(3, 2), nn.Linear(2, 1)])
    masks = {"0.weight": np.array([[1, 0, 0], [0, 1, 1]], bool), "1.weight": np.ones((1, 2), bool)}
    masks["1.weight"][0, 1] = False
    found = checks.effective_density(net, masks)
    assert str(found).splitlines()[-1].split() == ["all", "8", "4", "2", "0.5", "0.25"]
    assert [layer.density for layer in found.layers] == [1 / 6, 1 / 2]
    assert [layer.direct_density for layer in found.layers] == [1 / 2, 1 / 2]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.layers = ()


def test_what_is_no_network_or_no_mask_is_refused() -> None:
    net = TINY["linear"]()
    with pytest.raises(sf.UnsupportedTypeError, match=r"swiftforce\.torch\.effective_density"):
        checks.effective_density(object())
    with pytest.raises(sf.StructureError, match=r"masks lack '2.weight'"):
        checks.effective_density(net, {"0.weight": np.ones((5, 4), bool)})
    masks = drawn(net, 0.5, 0)
    with pytest.raises(sf.ShapeError, match=r"masks\['0.weight'\]"):
        checks.effective_density(net, {**masks, "0.weight": np.ones((4, 5), bool)})
