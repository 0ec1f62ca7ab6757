"""From a share to a number of weights, and from a schedule to a number per step."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import oracle
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 2**62), st.floats(0, 1, exclude_max=True))
def test_keep_count_as_the_oracle(n: int, sparsity: float) -> None:
    assert sf.keep_count(n, sparsity) == oracle.keep_count(n, sparsity)


@pytest.mark.parametrize(
    ("n", "sparsity", "keep"),
    [(100, 0.9, 10), (5, 0.5, 2), (7, 0.5, 4), (10, 0.999, 1), (1, 0.0, 1), (266_200, 0.99, 2662)],
)
def test_keep_count_by_hand(n: int, sparsity: float, keep: int) -> None:
    assert sf.keep_count(n, sparsity) == keep


@pytest.mark.parametrize("sparsity", [0, np.float64(0.5), np.float32(0.5), Fraction(1, 2)])
def test_any_real_number_is_a_sparsity(sparsity: object) -> None:
    assert sf.keep_count(10, sparsity) == round(10 * (1 - float(sparsity)))


@pytest.mark.parametrize("name", sf.schedules())
@given(data=st.data())
@pytest.mark.slow
def test_every_schedule_as_the_oracle(name: str, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 2**62) | st.integers(1, 1000))
    keep = data.draw(st.integers(1, n))
    steps = data.draw(st.integers(1, 100))
    found = sf.schedule_keeps(name, n, keep, steps)
    assert found == oracle.schedule_keeps(name, n, keep, steps)
    assert len(found) == steps
    assert found[-1] == keep
    assert all(a >= b for a, b in zip((n, *found), found, strict=False))


@pytest.mark.parametrize("name", sf.schedules())
def test_small_schedules_exhaustively(name: str) -> None:
    for n in range(1, 13):
        for keep in range(1, n + 1):
            for steps in range(1, 8):
                expected = oracle.schedule_keeps(name, n, keep, steps)
                assert sf.schedule_keeps(name, n, keep, steps) == expected


@pytest.mark.parametrize("name", sf.schedules())
def test_what_a_double_cannot_hold_never_falls_below_keep(name: str) -> None:
    for n in (10**15 + 1, 2**53 + 1, 10**17 + 3, 2**62 - 1):
        found = sf.schedule_keeps(name, n, n, 50)
        assert found == oracle.schedule_keeps(name, n, n, 50)
        assert set(found) == {n}


def test_more_steps_than_weights() -> None:
    assert sf.schedule_keeps("linear", 3, 1, 9) == oracle.schedule_keeps("linear", 3, 1, 9)


@pytest.mark.parametrize(
    ("schedule", "keeps"),
    [
        ([0.5, 0.9], (500, 100)),
        ((0.0, 0.5), (1000, 500)),
        ([900, 900, 1], (900, 900, 1)),
        ([1000], (1000,)),
        (np.array([0.5, 0.75]), (500, 250)),
        (np.array([700, 7]), (700, 7)),
        ([0, 0.5], (1000, 500)),  # mixed: sparsities
    ],
)
def test_lists_of_the_callers(schedule: object, keeps: tuple[int, ...]) -> None:
    found = sf.schedule_keeps(schedule, 1000)
    assert found == keeps
    assert all(type(keep) is int for keep in found)


@pytest.mark.parametrize(
    ("schedule", "options", "error", "text"),
    [
        ([500, 600], {}, sf.ScheduleError, "step 2 of the schedule keeps 600 after 500"),
        ([0.9, 0.5], {}, sf.ScheduleError, "step 2 of the schedule keeps 500 after 100"),
        ([1001], {}, sf.ScheduleError, "step 1 of the schedule keeps 1001 after 1000"),
        ([5, 0], {}, sf.ScheduleError, "step 2 of the schedule keeps 0 after"),
        ([5, -1], {}, sf.ScheduleError, "step 2 of the schedule keeps -1 after"),
        ([500, 10], {"keep": 9}, sf.ScheduleError, "ends at 10 where 9 are to be kept"),
        ([500, 10], {"steps": 3}, sf.ScheduleError, "has 2 steps where steps is 3"),
        ([], {}, sf.ScheduleError, "at least one step"),
        (np.array([]), {}, sf.ScheduleError, "at least one step"),
        (7, {}, sf.ScheduleError, "not int"),
        (None, {}, sf.ScheduleError, "not NoneType"),
        (np.array(0.5), {}, sf.ScheduleError, "not ndarray"),
        ([True], {}, sf.ScheduleError, "not True"),
        ([2**63], {}, sf.ScheduleError, "must fit into 64 bits"),
        ([0.5, 1.0], {}, sf.SparsityError, r"in \[0, 1\), not 1.0"),
        ([0.5, float("nan")], {}, sf.SparsityError, "not nan"),
        (["0.5"], {}, sf.SparsityError, "'0.5'"),
        ([0.5, None], {}, sf.SparsityError, "None"),
        ("exponential", {}, sf.ScheduleError, "'exponential' needs keep and steps"),
        ("exponential", {"keep": 5}, sf.ScheduleError, "needs keep and steps"),
        ("linear", {"keep": 0, "steps": 2}, sf.KeepError, "1 ... 1000, not 0"),
        ("linear", {"keep": 1001, "steps": 2}, sf.KeepError, "1 ... 1000, not 1001"),
        ("linear", {"keep": 1.0, "steps": 2}, sf.KeepError, "keep must be an integer, not 1.0"),
        ("linear", {"keep": 5, "steps": 0}, sf.StepsError, "not 0"),
        ("linear", {"keep": 5, "steps": -1}, sf.StepsError, "not -1"),
        ("linear", {"keep": 5, "steps": 2.5}, sf.StepsError, "not 2.5"),
        ("linear", {"keep": 5, "steps": True}, sf.StepsError, "not True"),
        ("linear", {"keep": 5, "steps": 10**12}, sf.StepsError, "not 1000000000000"),
        ("linear", {"keep": 5, "steps": 2**70}, sf.StepsError, "64 bits"),
        ("sigmoid", {"keep": 5, "steps": 2}, sf.UnknownNameError, "exponential, linear, cubic"),
    ],
)
def test_schedules_that_are_refused(
    schedule: object, options: dict[str, object], error: type, text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        sf.schedule_keeps(schedule, 1000, **options)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, sf.SwiftForceError)


@pytest.mark.parametrize(
    ("sparsity", "text"),
    [
        (1.0, "not 1.0"),
        (1, "not 1"),
        (-0.1, "not -0.1"),
        (float("nan"), "not nan"),
        (float("inf"), "not inf"),
        (True, "not True"),
        (False, "not False"),
        ("0.9", "not '0.9'"),
        (None, "not None"),
        (1j, "not 1j"),
        (np.array([0.5]), "must be a number"),
        (90, r"not 90 \(for 90 % give 0.9\)"),
    ],
)
def test_sparsities_that_are_refused(sparsity: object, text: str) -> None:
    with pytest.raises(sf.SparsityError, match=text) as caught:
        sf.keep_count(10, sparsity)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("n", [0, -1, 2**62 + 1])
def test_numbers_of_weights_that_cannot_be(n: int) -> None:
    with pytest.raises(sf.ShapeError, match=f"not {n}"):
        sf.keep_count(n, 0.5)


@pytest.mark.parametrize("n", [1.5, "10", None, True, 2**63])
def test_numbers_of_weights_of_another_kind(n: object) -> None:
    with pytest.raises(sf.KeepError, match="n must"):
        sf.keep_count(n, 0.5)
