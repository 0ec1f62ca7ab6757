"""The oracle is itself tested: by hand, by enumeration, by differences, and by breaking it."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from fractions import Fraction

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import assert_same_masks


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def bools(text: str) -> np.ndarray:
    """'10 01' is [True, False, False, True]."""
    return np.array([letter == "1" for letter in text.replace(" ", "")])


# ------------------------------------------------------------------------------- how many


@pytest.mark.parametrize(
    ("n", "sparsity", "keep"),
    [
        (100, 0.9, 10),  # 1 - 0.9 is 0.0999..., which truncates to 9
        (5, 0.5, 2),  # 2.5, to even
        (7, 0.5, 4),  # 3.5, to even
        (10, 0.0, 10),
        (10, 0.999, 1),  # 0.01, at least 1
        (1, 0.5, 1),
        (266_200, 0.99, 2662),
        (25_000_000, 0.995, 125_000),
        (10**12, 0.75, 25 * 10**10),
        (2**62 - 1, 0.0, 2**62 - 1),  # as a double one more
    ],
)
def test_keep_count(n: int, sparsity: float, keep: int) -> None:
    assert oracle.keep_count(n, sparsity) == keep


@pytest.mark.parametrize(
    ("name", "n", "keep", "steps", "keeps"),
    [
        ("exponential", 1000, 10, 2, (100, 10)),
        ("exponential", 10_000, 1, 4, (1000, 100, 10, 1)),
        ("exponential", 100, 10, 3, (46, 22, 10)),  # 46.4, 21.5
        ("linear", 10, 2, 4, (8, 6, 4, 2)),
        ("linear", 4, 1, 2, (2, 1)),  # 2.5, to even
        ("linear", 6, 1, 2, (4, 1)),  # 3.5, to even
        ("linear", 46, 1, 10, (42, 37, 32, 28, 24, 19, 14, 10, 6, 1)),  # 41.5, 37, 32.5, ...
        ("cubic", 9, 1, 2, (2, 1)),  # 1 + 8 / 8
        ("cubic", 65, 1, 4, (28, 9, 2, 1)),  # 1 + 27, 1 + 8, 1 + 1
        ("cosine", 10, 2, 2, (6, 2)),  # 2 + 8 / 2
        ("cosine", 9, 1, 3, (7, 3, 1)),  # 1 + 8 * 3 / 4, 1 + 8 / 4
        (
            "exponential",
            4500741876856327,
            4500741876856327,
            13,
            (4500741876856327,) * 13,
        ),  # not + 9
        ("exponential", 2**60, 2**53 + 3, 1, (2**53 + 3,)),  # as a double one more
        *((name, 7, 3, 1, (3,)) for name in oracle.SCHEDULES),
        *((name, 5, 5, 3, (5, 5, 5)) for name in oracle.SCHEDULES),
        *((name, 1, 1, 2, (1, 1)) for name in oracle.SCHEDULES),
    ],
)
def test_schedule_by_hand(name: str, n: int, keep: int, steps: int, keeps: tuple[int, ...]) -> None:
    assert oracle.schedule_keeps(name, n, keep, steps) == keeps


def test_exponential_removes_the_same_share_of_the_survivors() -> None:
    """7.4% a step down to 1% in 60 steps; linear removes 62% in the last step alone."""
    n = 10**9
    exponential = (n, *oracle.schedule_keeps("exponential", n, n // 100, 60))
    for before, after in itertools.pairwise(exponential):
        assert math.isclose(1 - after / before, 1 - 0.01 ** (1 / 60), rel_tol=1e-4)
    *_, before, after = oracle.schedule_keeps("linear", n, n // 100, 60)
    assert round(1 - after / before, 2) == 0.62


@given(st.sampled_from(oracle.SCHEDULES), st.integers(1, 10**13), st.data(), st.integers(1, 100))
def test_every_schedule_falls_to_keep(name: str, n: int, data: st.DataObject, steps: int) -> None:
    keep = data.draw(st.integers(1, n))
    keeps = oracle.schedule_keeps(name, n, keep, steps)
    assert len(keeps) == steps
    assert keeps[-1] == keep
    assert all(a >= b for a, b in itertools.pairwise((n, *keeps)))


@given(st.integers(1, 10**7), st.data(), st.integers(1, 100))
def test_linear_is_the_exact_fraction_rounded(n: int, data: st.DataObject, steps: int) -> None:
    """Also at ties, which t / T times n - k would miss: 46 - 7 * 45 / 10 is 14.5."""
    keep = data.draw(st.integers(1, n))
    exact = [round(n - Fraction(t * (n - keep), steps)) for t in range(1, steps + 1)]
    assert oracle.schedule_keeps("linear", n, keep, steps) == tuple(exact)


# --------------------------------------------------------------------------- how important


def test_random_bits_are_the_published_generator() -> None:
    """The first numbers of SplitMix64 as its authors' C code prints them."""
    assert oracle.random_bits(1234567, 5).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert oracle.random_bits(0, 1).tolist() == [0xE220A8397B1DCDAF]


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
def test_random_bits_in_plain_integers(seed: int) -> None:
    state, expected = seed, []
    for _ in range(20):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        expected.append(z ^ (z >> 31))
    assert oracle.random_bits(seed, 20).tolist() == expected


def test_scores_by_hand() -> None:
    weights = [floats(1, -2, 0), floats(-3).reshape(1, 1)]
    gradients = [floats(-5, -0.5, 7), floats(2).reshape(1, 1)]

    def listed(saliency: str) -> list[object]:
        return [s.tolist() for s in oracle.scores(saliency, weights, gradients)]

    assert listed("connection_sensitivity") == [[5, 1, 0], [[6]]]
    assert listed("squared_gradient") == [[25, 0.25, 49], [[4]]]
    assert listed("magnitude") == [[1, 2, 0], [[3]]]
    for saliency in oracle.SALIENCIES:
        for score, weight in zip(oracle.scores(saliency, weights, gradients), weights, strict=True):
            assert score.dtype == np.float32
            assert score.shape == weight.shape


def test_scores_are_rounded_to_float32_once() -> None:
    """(1 + 2^-23)^2 has a last bit that float32 drops, and 1e-30 squared is nothing in it."""
    close = floats(1 + 2**-23, 1e-30)
    (score,) = oracle.scores("connection_sensitivity", [close], [close])
    assert score.tolist() == [1 + 2**-22, 0]
    assert oracle.scores("squared_gradient", [close], [close])[0].tolist() == score.tolist()


def test_random_scores_count_through_all_tensors() -> None:
    weights = [np.zeros((2, 3), np.float32), np.zeros(4, np.float32)]
    expected = [(z >> 40) / 2**24 for z in oracle.random_bits(7, 10).tolist()]
    found = oracle.scores("random", weights, seed=7)
    assert [s.shape for s in found] == [(2, 3), (4,)]
    assert oracle.join(found).tolist() == expected
    assert oracle.join(oracle.scores("random", [np.zeros(10)], seed=7)).tolist() == expected
    assert oracle.join(oracle.scores("random", [np.zeros(10)], seed=8)).tolist() != expected


def test_scores_refuse_what_they_cannot_do() -> None:
    with pytest.raises(ValueError, match="needs gradients"):
        oracle.scores("squared_gradient", [floats(1)])
    with pytest.raises(ValueError, match="no saliency 'snip'"):
        oracle.scores("snip", [floats(1)])
    with pytest.raises(ValueError, match="no schedule 'none'"):
        oracle.schedule_keeps("none", 3, 1, 1)


# ----------------------------------------------------------------------------------- which


def defined_masks(scores: tuple[float, ...], keep: int, candidates: tuple[int, ...]) -> list[list]:
    """Every set of `keep` candidates in which each beats each candidate outside: try them all."""

    def beats(i: int, j: int) -> bool:
        return scores[i] > scores[j] or (scores[i] == scores[j] and i < j)

    return [
        [i in kept for i in range(len(scores))]
        for kept in itertools.combinations(candidates, keep)
        if all(beats(i, j) for i in kept for j in candidates if j not in kept)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("n", range(1, 7))
def test_select_is_what_the_definition_says(n: int) -> None:
    everyone = tuple(range(n))
    for values in itertools.product((-1.0, -0.0, 0.0, 2.0), repeat=n):
        for keep in range(1, n + 1):
            (mask,) = oracle.select([floats(*values)], keep)
            assert [mask.tolist()] == defined_masks(values, keep, everyone)


@pytest.mark.parametrize("n", range(1, 5))
@pytest.mark.slow
def test_select_among_candidates_is_what_the_definition_says(n: int) -> None:
    subsets = itertools.product((False, True), repeat=n)
    for values, chosen in itertools.product(
        itertools.product((-1.0, -0.0, 0.0, 2.0), repeat=n), list(subsets)
    ):
        candidates = tuple(np.flatnonzero(chosen).tolist())
        for keep in range(1, len(candidates) + 1):
            (mask,) = oracle.select([floats(*values)], keep, [np.array(chosen)])
            assert [mask.tolist()] == defined_masks(values, keep, candidates)


@given(st.lists(st.lists(st.integers(-2, 2), max_size=5), min_size=1), st.data())
def test_select_does_not_depend_on_the_split(parts: list[list[int]], data: st.DataObject) -> None:
    tensors = [floats(*part) for part in parts]
    size = sum(map(len, parts))
    if size == 0:
        return
    keep = data.draw(st.integers(1, size))
    whole = oracle.select([oracle.join(tensors)], keep)[0]
    masks = oracle.select(tensors, keep)
    assert [m.shape for m in masks] == [t.shape for t in tensors]
    assert np.array_equal(oracle.join(masks), whole)
    assert np.count_nonzero(whole) == keep


def test_select_in_memory_order() -> None:
    (mask,) = oracle.select([floats(1, 1, 1, 1, 1, 1).reshape(2, 3)], 4)
    assert mask.tolist() == [[True, True, True], [True, False, False]]


def test_select_tells_neighbours_apart() -> None:
    """The last bit of a float32 decides, at one and among the denormals."""
    above = np.nextafter(floats(1), floats(2))[0]
    assert oracle.select([floats(1, above)], 1)[0].tolist() == [False, True]
    assert oracle.select([floats(0, 2**-149, 2**-148)], 1)[0].tolist() == [False, False, True]
    assert oracle.select([floats(0, 2**-149, 2**-149)], 1)[0].tolist() == [False, True, False]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_select_refuses_what_is_not_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        oracle.select([floats(1, bad)], 1)


@pytest.mark.parametrize("keep", [0, 3])
def test_select_refuses_more_or_less_than_there_are(keep: int) -> None:
    with pytest.raises(ValueError, match=f"keep {keep} of 2 candidates"):
        oracle.select([floats(1, 2, 3)], keep, [bools("101")])


# ------------------------------------------------------------------------------ the judge


def test_the_same_masks() -> None:
    mask = bools("1001 0110 1")
    assert_same_masks(mask, mask.copy())
    assert_same_masks([mask, mask[:0]], (mask.copy(), mask[:0]))
    assert_same_masks({"a": mask}, OrderedDict(a=mask.copy()))
    assert_same_masks(np.array(True), np.array(True))
    assert_same_masks(np.repeat(mask, 2)[::2], mask)


@pytest.mark.parametrize("bit", range(8 * 9))
def test_one_flipped_bit_is_found(bit: int) -> None:
    """Any bit of any byte: numpy takes 3 and 255 for True too."""
    expected = {"a": bools("10 01"), "b": bools("0110 1").reshape(5, 1)}
    actual = {name: mask.copy() for name, mask in expected.items()}
    name, byte = ("a", bit // 8) if bit < 32 else ("b", bit // 8 - 4)
    flipped = actual[name].reshape(-1).view(np.uint8)
    old = int(flipped[byte])
    flipped[byte] ^= 1 << bit % 8
    with pytest.raises(AssertionError) as caught:
        assert_same_masks(actual, expected)
    message = str(caught.value)
    assert message.startswith(f"mask['{name}']: 1 of {expected[name].size} differ, ")
    assert message.endswith(f" are kept; at {byte}: {flipped[byte]} instead of {old}")


def test_the_complaint_says_where_and_how_many() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_same_masks([bools("11"), bools("1111 1111")], [bools("10"), bools("0000 0001")])
    assert str(caught.value) == (
        "mask[0]: 1 of 2 differ, 2 instead of 1 are kept; at 1: 1 instead of 0\n"
        "mask[1]: 7 of 8 differ, 8 instead of 1 are kept; at 0: 1 instead of 0, "
        "1: 1 instead of 0, 2: 1 instead of 0, 3: 1 instead of 0, 4: 1 instead of 0, ..."
    )


@pytest.mark.parametrize(
    ("actual", "expected", "complaint"),
    [
        (bools("10"), bools("100"), r"mask: shape \(2,\) instead of \(3,\)"),
        (bools("10"), bools("10")[:, None], r"mask: shape \(2,\) instead of \(2, 1\)"),
        ([bools("10")], [bools("10"), bools("1")], r"\['\[0\]'\] instead of \['\[0\]', '\[1\]'\]"),
        ({"a": bools("1")}, {"b": bools("1")}, r"'a'.* instead of .*'b'"),
        (
            {"a": bools("1"), "b": bools("1")},
            {"b": bools("1"), "a": bools("1")},
            r"'a'.*'b'.* instead of .*'b'.*'a'",
        ),
        ({0: bools("1")}, bools("1"), r" instead of "),
        (np.array([1, 0]), bools("10"), "actual mask: int64 instead of an array of bool"),
        ([bools("10")], [[True, False]], r"expected mask\[0\]: list instead of an array of bool"),
        (None, bools("1"), "actual: NoneType instead of masks"),
    ],
)
def test_other_differences_are_found(actual: object, expected: object, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        assert_same_masks(actual, expected)


def test_ties_by_the_higher_position_are_found() -> None:
    """What a reversed sort does, and what nobody sees on data without ties."""

    def reversed_sort(scores: list[np.ndarray], keep: int) -> list[np.ndarray]:
        mask = np.zeros(scores[0].size, bool)
        mask[np.argsort(scores[0], kind="stable")[::-1][:keep]] = True
        return [mask]

    distinct, tied = [floats(1, 3, 2)], [floats(1, 1, 0)]
    assert_same_masks(reversed_sort(distinct, 2), oracle.select(distinct, 2))
    with pytest.raises(AssertionError, match="2 of 3 differ, 1 instead of 1 are kept"):
        assert_same_masks(reversed_sort(tied, 1), oracle.select(tied, 1))
