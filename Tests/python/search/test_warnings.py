"""What a search warns of, at the line of its caller."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import swiftforce as sf
from kinds import network

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


@pytest.mark.filterwarnings("always::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize(
    "function",
    [
        lambda w, g: sf.snip(w, g, keep=3),
        lambda w, g: sf.force(w, lambda _: g, keep=3, steps=1),
        lambda w, g: sf.iterative_snip(w, lambda _: g, keep=3, steps=1),
        lambda w, g: sf.grasp_it(w, lambda _: g, keep=3, steps=1),
        lambda w, g: sf.prune(w, g, method="snip", keep=3),
        lambda w, g: sf.magnitude(g, keep=3),
    ],
)
def test_positions_that_chose_are_told_at_the_callers_line(function: Callable) -> None:
    weights, gradients = np.float32([1, 2, 3, 4, 5]), np.float32([0, 1, 0, 0, 0])
    with pytest.warns(sf.DegenerateSaliencyWarning, match="2 of the 3 weights kept") as caught:
        function(weights, gradients)
    assert [warning.filename for warning in caught] == [__file__]
    assert [warning.lineno for warning in caught] == [function.__code__.co_firstlineno]


@pytest.mark.filterwarnings("always::swiftforce.SwiftForceWarning")
def test_a_search_warns_at_the_line_that_asks_for_the_result() -> None:
    search = sf.MaskSearch({"a": np.float32([1]), "b": np.float32([2, 3])}, keep=1, steps=2)
    search.step({"a": np.float32([0]), "b": np.float32([0, 0])})
    search.step({"a": np.float32([0]), "b": np.float32([0, 0])})
    with pytest.warns(sf.SwiftForceWarning) as caught:
        result = search.result()
    assert [warning.category for warning in caught] == [
        sf.DegenerateSaliencyWarning,
        sf.LayerCollapseWarning,
    ]
    assert {warning.filename for warning in caught} == {__file__}
    assert "2 of 2 steps (1, 2) had fewer" in str(caught[0].message)
    assert "1 of the 1 weights kept in step 2" in str(caught[0].message)
    assert "no weight is kept in b" in str(caught[1].message)
    assert result.degenerate


@pytest.mark.filterwarnings("always::swiftforce.SwiftForceWarning")
def test_all_collapsed_layers_are_named() -> None:
    weights = {name: np.float32([i + 1]) for i, name in enumerate("abc")}
    with pytest.warns(sf.LayerCollapseWarning, match="in a, b$"):
        sf.magnitude(weights, keep=1)


def test_no_warning_where_all_is_well() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights, gradients = network(14)
        found = sf.force(weights, gradients, sparsity=0.5, steps=10)
    assert not found.degenerate


def test_warnings_as_errors_leave_the_result_to_be_had() -> None:
    search = sf.MaskSearch(np.float32([1, 2]), keep=1, steps=1)
    search.step(np.float32([0, 0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(sf.DegenerateSaliencyWarning):
            search.result()
    assert search.result().masks.tolist() == [True, False]


def test_gradients_that_are_masked_draw_a_warning() -> None:
    weights, gradients = network(16)

    def masked_gradients(masked: list[np.ndarray]) -> list[np.ndarray]:
        return [g * (w != 0) for g, w in zip(gradients(masked), masked, strict=True)]

    with pytest.warns(sf.MaskedGradientsWarning, match="dense"):
        sf.force(weights, masked_gradients, keep=5, steps=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", sf.MaskedGradientsWarning)
        sf.iterative_snip(weights, masked_gradients, keep=5, steps=4)
        sf.force(weights, gradients, keep=5, steps=4)
