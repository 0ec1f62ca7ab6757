"""The loop that the caller owns: what a search shows on the way, and that it stays usable."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from kinds import network
from oracle import assert_same_masks

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

PROGRESSIVE = [name for name, (_, _, one_shot) in oracle.METHODS.items() if not one_shot]


# ------------------------------------------------------------------------- on the way


def test_a_search_tells_where_it_is() -> None:
    weights, gradients = network(9)
    search = sf.MaskSearch(weights, keep=10, steps=3)
    assert (search.steps, search.taken, search.done) == (3, 0, False)
    assert search.method == "force_nested"
    assert search.keeps == oracle.schedule_keeps("exponential", 61, 10, 3)
    assert all(mask.all() for mask in search.masks)
    for taken in (1, 2, 3):
        assert search.step(gradients(search.masked_weights)).step == taken
        assert (search.taken, search.done) == (taken, taken == 3)


def test_before_the_first_step_the_masked_weights_are_the_weights() -> None:
    weights, _ = network(9)
    search = sf.MaskSearch(weights, keep=10, steps=3)
    for view, weight in zip(search.masked_weights, weights, strict=True):
        assert weight.size == 0 or np.shares_memory(view, weight)
        assert not view.flags.writeable


def test_the_masked_weights_of_a_one_shot_search() -> None:
    search = sf.MaskSearch(np.float32([-1, 2, -0.0]), method="magnitude", keep=1)
    search.step()
    assert search.masked_weights.tobytes() == np.float32([0, 2, 0]).tobytes()


def test_what_a_search_shows_is_read_only() -> None:
    weights, gradients = network(9)
    search = sf.MaskSearch(weights, keep=10, steps=3)
    search.step(gradients(search.masked_weights))
    for array in (*search.masks, *search.masked_weights):
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_a_result_on_the_way_does_not_change_later() -> None:
    weights, gradients = network(9)
    search = sf.MaskSearch(weights, keep=5, steps=4)
    search.step(gradients(search.masked_weights))
    early = search.result()
    copies = [mask.tobytes() for mask in early.masks]
    kept = early.keep
    while not search.done:
        search.step(gradients(search.masked_weights))
    assert [mask.tobytes() for mask in early.masks] == copies
    assert (early.keep, early.steps) == (kept, 1)
    assert search.result().keep == 5 < kept


def test_writing_to_a_result_on_the_way_does_not_disturb_the_search() -> None:
    weights, gradients = network(9)
    search = sf.MaskSearch(weights, keep=5, steps=4)
    search.step(gradients(search.masked_weights))
    for mask in search.result().masks:
        mask.fill(False)
    while not search.done:
        search.step(gradients(search.masked_weights))
    expected = sf.force(weights, gradients, keep=5, steps=4)
    assert_same_masks(search.result().masks, expected.masks)


def test_too_many_steps_and_too_few() -> None:
    weights, gradients = network(9)
    search = sf.MaskSearch(weights, keep=5, steps=1)
    with pytest.raises(sf.SearchDoneError, match="no step yet") as caught:
        search.result()
    assert isinstance(caught.value, RuntimeError)
    search.step(gradients(weights))
    before = search.result().masks[0].tobytes()
    with pytest.raises(sf.SearchDoneError, match="all of its 1 steps") as caught:
        search.step(gradients(weights))
    assert isinstance(caught.value, RuntimeError)
    assert search.result().masks[0].tobytes() == before


def test_a_result_is_the_callers_own() -> None:
    weights, gradients = network(15)
    search = sf.MaskSearch(weights, keep=5, steps=1)
    search.step(gradients(weights))
    first = search.result()
    first.masks[0][...] = True
    assert_same_masks(search.result().masks, search.masks)


# ------------------------------------------------------------------------- after an error


def state(search: sf.MaskSearch) -> tuple:
    arrays = (*search.masks, *search.masked_weights)
    return (search.taken, search.done, search.keeps, *(array.tobytes() for array in arrays))


def spoiled(gradients: list[Any], value: float) -> list[Any]:
    found = [gradient.copy() for gradient in gradients]
    found[-1].flat[-1] = value
    return found


@pytest.mark.parametrize("method", PROGRESSIVE)
@pytest.mark.parametrize("fails_at", [1, 2, 5])
def test_a_step_that_fails_changes_nothing_and_can_be_tried_again(
    method: str, fails_at: int
) -> None:
    weights, gradients = network(10)
    before = [weight.tobytes() for weight in weights]
    search = sf.MaskSearch(weights, method=method, keep=7, steps=5)
    while not search.done:
        good = gradients(search.masked_weights)
        if search.taken == fails_at - 1:
            found = state(search)
            for bad in (np.nan, np.inf, -np.inf):
                with pytest.raises(sf.NonFiniteError):
                    search.step(spoiled(good, bad))
                assert state(search) == found
            with pytest.raises(sf.ShapeError):
                search.step([*good[:-1], good[-1][1:]])
            with pytest.raises(sf.StructureError):
                search.step(good[:-1])
            with pytest.raises(sf.MissingGradientsError):
                search.step()
            assert state(search) == found
        search.step(good)
    expected = sf.prune(weights, gradients, method=method, keep=7, steps=5)
    assert_same_masks(search.result().masks, expected.masks)
    assert search.result().history == expected.history
    assert [weight.tobytes() for weight in weights] == before


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
def test_an_exception_in_the_callers_function_is_the_callers(error: BaseException) -> None:
    weights, gradients = network(11)
    before = [weight.tobytes() for weight in weights]
    calls = []

    def interrupted(masked: list[Any]) -> list[Any]:
        calls.append(1)
        if len(calls) == 3:
            raise error
        return gradients(masked)

    with pytest.raises(type(error)) as caught:
        sf.force(weights, interrupted, keep=7, steps=5)
    assert caught.value is error
    assert [weight.tobytes() for weight in weights] == before
    calls.extend([1, 1, 1])
    again = sf.force(weights, interrupted, keep=7, steps=5)
    assert_same_masks(again.masks, sf.force(weights, gradients, keep=7, steps=5).masks)


def test_gradients_that_are_the_masked_weights() -> None:
    weights, _ = network(12)
    search = sf.MaskSearch(weights, keep=7, steps=3)
    while not search.done:
        search.step(search.masked_weights)
    copied = sf.force(weights, lambda masked: [array.copy() for array in masked], keep=7, steps=3)
    assert_same_masks(search.result().masks, copied.masks)


def test_weights_as_gradients() -> None:
    weights, _ = network(12)
    found = sf.snip(weights, weights, keep=9)
    assert_same_masks(found.masks, sf.magnitude(weights, keep=9).masks)


@pytest.mark.parametrize("method", oracle.METHODS)
def test_inputs_are_not_written(method: str) -> None:
    weights, gradients = network(13)
    given_gradients = gradients(weights)
    before = [array.tobytes() for array in (*weights, *given_gradients)]
    sf.prune(weights, given_gradients, method=method, keep=5, steps=1)
    assert [array.tobytes() for array in (*weights, *given_gradients)] == before
