"""The errors: their classes, what they tell of numbers that are not finite, and their mapping."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from swiftforce import _core, native

NAN, INF = float("nan"), float("inf")

BUILTINS = {
    "AllocationError": MemoryError,
    "DivergedError": ArithmeticError,
    "ArraysChangedError": RuntimeError,
    "ExchangeError": RuntimeError,
    "InUseError": RuntimeError,
    "MasksChangedError": RuntimeError,
    "MissingGradientsError": TypeError,
    "RankFailedError": RuntimeError,
    "SearchDoneError": RuntimeError,
    "UnsupportedTypeError": TypeError,
}
ERRORS = [name for name in sf.__all__ if name.endswith("Error")]


@pytest.mark.parametrize("name", [name for name in ERRORS if name != "SwiftForceError"])
def test_every_error_is_ours_and_a_built_in(name: str) -> None:
    error = getattr(sf, name)
    assert issubclass(error, sf.SwiftForceError)
    assert issubclass(error, BUILTINS.get(name, ValueError))
    assert error.__doc__


def test_every_error_and_warning_is_public() -> None:
    defined = {
        name
        for name, value in vars(sf.errors).items()
        if isinstance(value, type) and issubclass(value, sf.SwiftForceError | Warning)
    }
    assert defined <= set(sf.__all__)
    for name in ("DegenerateSaliencyWarning", "LayerCollapseWarning"):
        assert issubclass(getattr(sf, name), sf.SwiftForceWarning)
        assert issubclass(getattr(sf, name), UserWarning)


def test_public_names_are_there_and_sorted_out() -> None:
    assert len(set(sf.__all__)) == len(sf.__all__)
    assert all(hasattr(sf, name) for name in sf.__all__)


# ------------------------------------------------------------------------- not finite


def one_call(method: str, weights: Any, gradients: Any) -> None:
    needs = oracle.METHODS[method][0] in oracle.SALIENCIES[:2]
    sf.prune(weights, gradients if needs else None, method=method, keep=1, steps=1)


@pytest.mark.parametrize("method", oracle.METHODS)
@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("at", [0, 5, 4095, 4096, 9000])
def test_weights_that_are_not_finite(method: str, value: float, at: int) -> None:
    weights = {"fine": np.ones(3, np.float32), "fc": np.ones(9001, np.float32)}
    gradients = {name: np.ones_like(weight) for name, weight in weights.items()}
    weights["fc"][at:] = value
    before = weights["fc"].tobytes()
    with pytest.raises(sf.NonFiniteError) as caught:
        one_call(method, weights, gradients)
    assert_tells(caught.value, "weights['fc']", 9001 - at, at, value)
    assert weights["fc"].tobytes() == before


@pytest.mark.parametrize("method", ["snip", "force", "iterative_snip", "grasp_it"])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_gradients_that_are_not_finite(method: str, value: float) -> None:
    weights = [np.ones(2, np.float32), np.ones((50, 100), np.float32)]
    gradients = [np.ones_like(weight) for weight in weights]
    gradients[1][[7, 43], [3, 99]] = value
    with pytest.raises(sf.NonFiniteError) as caught:
        one_call(method, weights, gradients)
    assert_tells(caught.value, "gradients[1]", 2, 703, value)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_scores_that_are_not_finite(value: float) -> None:
    scores = {"a": np.float32([1, 2]), "b": np.float32([1, value, 3, value])}
    with pytest.raises(sf.NonFiniteError) as caught:
        sf.select(scores, keep=2)
    assert_tells(caught.value, "scores['b']", 2, 1, value)


@pytest.mark.parametrize("method", ["snip", "force", "iterative_snip"])
def test_a_product_that_overflows(method: str) -> None:
    weights, gradients = np.float32([1, 1e30, 1, -1e30]), np.float32([1, 1e30, 1, 1e30])
    with pytest.raises(sf.NonFiniteError) as caught:
        one_call(method, weights, gradients)
    assert_tells(caught.value, "scores", 2, 1, INF)


def test_a_square_that_overflows() -> None:
    with pytest.raises(sf.NonFiniteError) as caught:
        one_call("grasp_it", [np.ones(3, np.float32)], [np.float32([1, 2, -1e30])])
    assert_tells(caught.value, "scores[0]", 1, 2, INF)


@pytest.mark.parametrize("criterion", oracle.SALIENCIES)
def test_saliency_of_weights_that_are_not_finite(criterion: str) -> None:
    weights, gradients = np.float32([1, NAN]), np.float32([1, 2])
    with pytest.raises(sf.NonFiniteError) as caught:
        sf.saliency(weights, gradients, criterion=criterion)
    assert_tells(caught.value, "weights", 1, 1, NAN)


def test_weights_are_blamed_before_gradients() -> None:
    with pytest.raises(sf.NonFiniteError) as caught:
        sf.snip(np.float32([1, INF]), np.float32([NAN, 1]), keep=1)
    assert_tells(caught.value, "weights", 1, 1, INF)


def test_zero_times_infinity_is_not_hidden() -> None:
    with pytest.raises(sf.NonFiniteError) as caught:
        sf.snip(np.float32([0, 1]), np.float32([INF, 1]), keep=1)
    assert_tells(caught.value, "gradients", 1, 0, INF)


@pytest.mark.parametrize("method", ["iterative_snip", "grasp_it", "force"])
def test_a_removed_weight_may_not_hide_a_gradient_that_is_not_finite(method: str) -> None:
    weights = np.float32([1, 2, 3])
    search = sf.MaskSearch(weights, method=method, schedule=[1, 1])
    search.step(np.float32([1, 2, 3]))
    with pytest.raises(sf.NonFiniteError) as caught:
        search.step(np.float32([NAN, 2, 3]))
    assert_tells(caught.value, "gradients", 1, 0, NAN)


@given(st.data())
def test_the_first_one_and_their_number(data: st.DataObject) -> None:
    n = data.draw(st.sampled_from((1, 3, 17, 64, 4097, 8200)))
    bad = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=9)))
    values = data.draw(st.lists(st.sampled_from((NAN, INF, -INF)), min_size=9, max_size=9))
    gradients = np.ones(n, np.float32)
    gradients[bad] = values[: len(bad)]
    with pytest.raises(sf.NonFiniteError) as caught:
        sf.snip(np.ones(n, np.float32), gradients, keep=1)
    assert_tells(caught.value, "gradients", len(bad), bad[0], values[0])


def assert_tells(
    error: sf.NonFiniteError, tensor: str, count: int, first: int, value: float
) -> None:
    assert isinstance(error, ValueError)
    assert (error.tensor, error.count, error.first_index) == (tensor, count, first)
    assert repr(error.value) == repr(value)
    noun = "1 value that is" if count == 1 else f"{count} values that are"
    assert str(error) == (
        f"{tensor} has {noun} not finite; the first, {value}, is at element {first}"
    )
    assert error.__cause__ is None
    assert error.__suppress_context__  # a traceback shows one error, not the core's before it


# ------------------------------------------------------------------------- mapping


def refusal(status: str, operand: str = "NONE", tensor: int = -1) -> _core.NativeError:
    codes = _core.STATUSES.index(status), _core.OPERANDS.index(operand)
    return _core.NativeError(*codes, tensor, 3, 2, 0.5, "said the core")


@pytest.mark.parametrize("status", [name for name in _core.STATUSES if name != "OK"])
def test_every_status_becomes_a_public_error(status: str) -> None:
    with pytest.raises(sf.SwiftForceError) as caught, native.native_call():
        raise refusal(status, "WEIGHTS", 1)
    assert "weights[1]" in str(caught.value) or str(caught.value) == "said the core"
    assert caught.value.__suppress_context__
    internal = {"NULL_POINTER", "BAD_HANDLE", "SMALL_BUFFER"}
    assert (type(caught.value) is sf.SwiftForceError) is (status in internal)


def test_statuses_and_operands_are_those_of_the_header() -> None:
    assert _core.STATUSES[:2] == ("OK", "NULL_POINTER")
    assert _core.STATUSES[-2:] == ("IN_USE", "BAD_BOUNDS")
    assert set(native._EXCEPTIONS) < set(_core.STATUSES)
    assert _core.OPERANDS[:3] == ("NONE", "WEIGHTS", "GRADIENTS")


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), native.native_call():
        raise KeyError("mine")


def test_masks_that_changed_between_steps() -> None:
    search = sf.MaskSearch(np.float32([1, 2, 3, 4]), schedule=[3, 1])
    search.step(np.float32([1, 1, 1, 1]))
    search._buffers.masks(1)[0][...] = True
    with pytest.raises(sf.MasksChangedError, match=r"keep 4 weights .* kept 3") as caught:
        search.step(np.float32([1, 1, 1, 1]))
    assert isinstance(caught.value, RuntimeError)
    assert search.taken == 1


def test_an_error_can_be_pickled_with_its_facts() -> None:
    with pytest.raises(sf.NonFiniteError) as caught:
        sf.magnitude(np.float32([NAN]), keep=1)
    twin = pickle.loads(pickle.dumps(caught.value))
    assert str(twin) == str(caught.value)
    assert (twin.tensor, twin.count, twin.first_index) == ("weights", 1, 0)


def test_an_error_issues_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(sf.KeepError):
            sf.magnitude(np.float32([0, 0]), keep=3)
