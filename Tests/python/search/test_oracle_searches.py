"""The oracle's searches: steps worked out by hand, and whole searches on a network."""

from __future__ import annotations

import itertools
import math

import numpy as np
import oracle
import pytest
from oracle import assert_same_masks


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def bools(text: str) -> np.ndarray:
    """'10 01' is [True, False, False, True]."""
    return np.array([letter == "1" for letter in text.replace(" ", "")])


# ---------------------------------------------------------------------------- step by step


# Four weights in two tensors. Weight 1 matters while weight 2 is there; without it, 2 matters more.
WEIGHTS = [floats(1, -1), floats(2, 1)]


def seesaw(masked: list[np.ndarray]) -> list[np.ndarray]:
    return [floats(8, 5), floats(2, 1)] if masked[1][0] else [floats(8, 3), floats(2, 0)]


def test_force_revives() -> None:
    """Scores 8 5 4 1 keep the first two; without weight 2 they are 8 3 4 0."""
    masks, history = oracle.search(WEIGHTS, seesaw, "force", [2, 2, 1])
    assert_same_masks(masks[0], [bools("11"), bools("00")])
    assert_same_masks(masks[1], [bools("10"), bools("10")])
    assert_same_masks(masks[2], [bools("10"), bools("00")])
    assert history == [
        oracle.Step(
            step=1,
            keep=2,
            candidates=4,
            removed=2,
            revived=0,
            zero_scores=0,
            at_threshold=1,
            kept_at_threshold=1,
            arbitrary=0,
            threshold=5.0,
            saliency=13.0,
            total_saliency=18.0,
            gradient_norm=math.sqrt(64 + 25 + 4 + 1),
            layer_kept=(2, 0),
            objective=11.0,
        ),
        oracle.Step(
            step=2,
            keep=2,
            candidates=4,
            removed=1,
            revived=1,
            zero_scores=1,
            at_threshold=1,
            kept_at_threshold=1,
            arbitrary=0,
            threshold=4.0,
            saliency=12.0,
            total_saliency=15.0,
            gradient_norm=math.sqrt(64 + 9 + 4),
            layer_kept=(1, 1),
            objective=12.0,
        ),
        oracle.Step(
            step=3,
            keep=1,
            candidates=4,
            removed=1,
            revived=0,
            zero_scores=0,
            at_threshold=1,
            kept_at_threshold=1,
            arbitrary=0,
            threshold=8.0,
            saliency=8.0,
            total_saliency=18.0,
            gradient_norm=math.sqrt(64 + 25 + 4 + 1),
            layer_kept=(1, 0),
        ),
    ]


def test_nested_does_not_revive() -> None:
    """The same network, where weight 2 stays away and only survivors are counted."""
    masks, history = oracle.search(WEIGHTS, seesaw, "iterative_snip", [2, 2, 1])
    assert_same_masks(masks[0], [bools("11"), bools("00")])
    assert_same_masks(masks[1], [bools("11"), bools("00")])
    assert_same_masks(masks[2], [bools("10"), bools("00")])
    assert [h.candidates for h in history] == [4, 2, 2]
    assert [h.removed for h in history] == [2, 0, 1]
    assert [h.revived for h in history] == [0, 0, 0]
    assert [h.threshold for h in history] == [5, 3, 8]
    assert [h.total_saliency for h in history] == [18, 11, 11]
    assert [h.zero_scores for h in history] == [0, 0, 0]  # weight 3 has one, and is gone
    assert history[1].gradient_norm == math.sqrt(64 + 9 + 4)  # of all, the dead ones too


def test_dead_weights_do_not_tie_with_live_zeros() -> None:
    """Where every survivor scores zero, the reference lets dead weights of lower position back."""

    def vanishing(masked: list[np.ndarray]) -> list[np.ndarray]:
        return [floats(1, 2, 3, 4)] if masked[0].all() else [floats(0, 0, 0, 0)]

    masks, history = oracle.search([floats(1, 1, 1, 1)], vanishing, "iterative_snip", [2, 1])
    assert_same_masks(masks[0], [bools("0011")])
    assert_same_masks(masks[1], [bools("0010")])
    assert (history[1].zero_scores, history[1].arbitrary) == (2, 1)
    assert (history[1].at_threshold, history[1].kept_at_threshold) == (2, 1)
    masks, history = oracle.search([floats(1, 1, 1, 1)], vanishing, "force", [2, 1])
    assert_same_masks(masks[1], [bools("1000")])
    assert (history[1].zero_scores, history[1].arbitrary, history[1].revived) == (4, 1, 1)


def test_dead_zeros_make_no_choice_arbitrary() -> None:
    """All survivors stay, whatever they score: nothing was dropped that could have been kept."""
    zero = [floats(0, 0, 0)]
    _, history = oracle.search([floats(1, 1, 1)], lambda _: zero, "iterative_snip", [2, 2])
    assert [h.arbitrary for h in history] == [2, 0]
    assert [h.zero_scores for h in history] == [3, 2]


@pytest.mark.parametrize(
    ("gradient", "keep", "zeros", "arbitrary"),
    [
        ([3, 0, 0, 0], 1, 3, 0),  # no zero is kept
        ([3, 0, 0, 0], 2, 3, 1),
        ([3, 0, 0, 0], 3, 3, 2),
        ([3, 0, 0, 0], 4, 3, 0),  # all are kept: nothing was arbitrary
        ([3, -0.0, 0, 1], 3, 2, 1),
    ],
)
def test_arbitrary(gradient: list[float], keep: int, zeros: int, arbitrary: int) -> None:
    _, (record,) = oracle.search(
        [floats(1, 1, 1, 1)], lambda _: [floats(*gradient)], "snip", [keep]
    )
    assert (record.zero_scores, record.arbitrary) == (zeros, arbitrary)


def test_masked_selects() -> None:
    """Not a product: NaN and the sign of -1 * 0 would stay."""
    (found,) = oracle.masked([floats(math.nan, -1, math.inf, 3)], [bools("0001")])
    assert found.tobytes() == floats(0, 0, 0, 3).tobytes()


# ------------------------------------------------------------------------------ a network


def small_network() -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    sizes = [12, 7, 5, 3]
    shapes = [(outputs, inputs) for inputs, outputs in itertools.pairwise(sizes)]
    weights = [rng.normal(size=s).astype(np.float32) for s in shapes]
    biases = [rng.normal(size=s[0]).astype(np.float32) for s in shapes]
    return weights, biases, rng.normal(size=(9, 1, 3, 4)), rng.integers(0, 3, 9)


def test_loss_by_hand() -> None:
    """Logits (0, log 3) and a label for each class: probabilities 1/4 and 3/4."""
    x, y = np.array([[1.0], [1.0]]), np.array([0, 1])
    weights, biases = [np.array([[0.0], [1.0]])], [np.array([0.0, math.log(3) - 1])]
    loss, (weight_gradient,), (bias_gradient,) = oracle.lenet_backward(weights, biases, x, y)
    assert math.isclose(loss, -(math.log(1 / 4) + math.log(3 / 4)) / 2)
    np.testing.assert_allclose(weight_gradient, [[-0.25], [0.25]])
    np.testing.assert_allclose(bias_gradient, [-0.25, 0.25])


def test_gradients_are_the_central_differences() -> None:
    weights, biases, x, y = small_network()
    weights, biases = [[p.astype(np.float64) for p in group] for group in (weights, biases)]
    weights[1][2] = 0  # as a mask leaves it: the gradients there are not zero
    _, *gradients = oracle.lenet_backward(weights, biases, x, y)
    width = 1e-6
    for parameters, group in zip((weights, biases), gradients, strict=True):
        for parameter, gradient in zip(parameters, group, strict=True):
            assert gradient.shape == parameter.shape
            for i in np.ndindex(parameter.shape):
                kept = parameter[i]
                parameter[i] = kept + width
                above = oracle.lenet_loss(weights, biases, x, y)
                parameter[i] = kept - width
                below = oracle.lenet_loss(weights, biases, x, y)
                parameter[i] = kept
                assert math.isclose(gradient[i], (above - below) / (2 * width), abs_tol=1e-8)
    assert np.abs(gradients[0][1][2]).max() > 1e-3


def test_gradients_are_means_over_the_samples() -> None:
    weights, biases, x, y = small_network()
    whole = oracle.lenet_gradients(weights, biases, x, y)
    first = oracle.lenet_gradients(weights, biases, x[:4], y[:4])
    rest = oracle.lenet_gradients(weights, biases, x[4:], y[4:])
    for g, a, b in zip(whole, first, rest, strict=True):
        assert g.dtype == np.float64
        np.testing.assert_allclose(g, (4 * a + 5 * b) / 9, rtol=1e-12)


def test_large_logits_do_not_overflow() -> None:
    loss = oracle.lenet_loss([np.array([[1000.0], [0.0]])], [np.zeros(2)], np.ones((1, 1)), [1])
    assert loss == 1000


def network_search(method: str, keeps: tuple[int, ...]) -> tuple[list, list[oracle.Step]]:
    weights, biases, x, y = small_network()

    def gradients(masked: list[np.ndarray]) -> list[np.ndarray]:
        dense = oracle.lenet_gradients(masked, biases, x, y)
        return [g.astype(np.float32) for g in dense]

    return oracle.search(weights, gradients, method, keeps, seed=3)


@pytest.mark.parametrize("method", ["force", "iterative_snip"])
def test_one_step_is_snip(method: str) -> None:
    masks, history = network_search(method, (20,))
    expected, expected_history = network_search("snip", (20,))
    assert_same_masks(masks[0], expected[0])
    assert history == expected_history


@pytest.mark.parametrize("method", oracle.METHODS)
def test_every_method_on_a_network(method: str) -> None:
    n = 12 * 7 + 7 * 5 + 5 * 3
    saliency, nested, one_shot = oracle.METHODS[method]
    keeps = (13,) if one_shot else oracle.schedule_keeps("exponential", n, 13, 6)
    masks, history = network_search(method, keeps)
    assert [h.keep for h in history] == list(keeps)
    before = np.ones(n, bool)
    for step, (mask, record) in enumerate(zip(masks, history, strict=True), start=1):
        after = oracle.join(mask)
        assert record.step == step
        assert np.count_nonzero(after) == record.keep == sum(record.layer_kept)
        nested = nested or (method == "force_nested" and step > 3)
        assert record.candidates == (np.count_nonzero(before) if nested else n)
        assert record.removed - record.revived == np.count_nonzero(before) - record.keep
        assert (record.gradient_norm > 0) == (saliency not in ("magnitude", "random"))
        if nested:
            assert not (after & ~before).any()
            assert record.revived == 0
        before = after
    if method in ("force", "force_nested"):
        assert sum(h.revived for h in history) > 0


def test_grasp_it_ranks_by_the_gradient_alone() -> None:
    masks, history = oracle.search([floats(9, 1)], lambda _: [floats(1, -2)], "grasp_it", [1])
    assert_same_masks(masks[0], [bools("01")])
    assert history[0].threshold == 4


def test_magnitude_and_random_do_not_ask_for_gradients() -> None:
    weights = [floats(1, -3, 2)]
    masks, history = oracle.search(weights, None, "magnitude", [2])
    assert_same_masks(masks[0], [bools("011")])
    assert history[0].gradient_norm == 0
    masks, _ = oracle.search(weights, None, "random", [1], seed=1234567)
    best = np.argmax(oracle.random_bits(1234567, 3) >> np.uint64(40))
    assert np.flatnonzero(masks[0][0]).tolist() == [best]


def test_search_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="snip takes one step"):
        oracle.search(WEIGHTS, seesaw, "snip", [2, 1])
    with pytest.raises(ValueError, match="force needs gradients"):
        oracle.search(WEIGHTS, None, "force", [2])
