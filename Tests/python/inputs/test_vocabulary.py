"""The names that the core publishes, and what a wrong one is answered with."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import swiftforce as sf
from swiftforce import _core
from swiftforce.inputs import vocabulary

WEIGHTS = np.float32([1, 2, 3])


def test_the_names_are_those_of_the_oracle() -> None:
    assert sf.methods() == tuple(oracle.METHODS)
    assert sf.saliencies() == oracle.SALIENCIES
    assert sf.schedules() == oracle.SCHEDULES
    assert vocabulary.case_names("layer") == (
        "linear",
        "relu",
        "conv2d",
        "batch_norm2d",
        "max_pool2d",
        "avg_pool2d",
        "global_avg_pool2d",
        "flatten",
        "add",
    )
    assert vocabulary.case_names("role") == ("weight", "bias", "scale", "mean", "variance")
    assert vocabulary.case_names("rule") == ("nested", "free")


@pytest.mark.parametrize("method", oracle.METHODS)
def test_every_row_of_the_table_of_methods(method: str) -> None:
    saliency, nested, one_shot = oracle.METHODS[method]
    info = vocabulary.method_info(method)
    row = _core.method(vocabulary.case_number("method", method))
    assert vocabulary.case_names("saliency")[row["saliency"]] == saliency == info["saliency"]
    if not one_shot:
        assert info["free"] is not nested
    assert info["one_shot"] is one_shot
    assert info["needs_gradients"] is (saliency in oracle.SALIENCIES[:2])


@pytest.mark.parametrize("method", oracle.METHODS)
def test_a_method_is_also_a_function(method: str) -> None:
    assert callable(getattr(sf, method))


@pytest.mark.parametrize("name", ["FORCE", "", "forc", "snip ", None, 3, ["force"]])
def test_an_unknown_method_lists_the_known_ones(name: object) -> None:
    with pytest.raises(sf.UnknownNameError) as caught:
        sf.MaskSearch(WEIGHTS, method=name, keep=1)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == f"there is no method {name!r}; there are: " + ", ".join(
        sf.methods()
    )


def test_an_unknown_saliency_lists_the_known_ones() -> None:
    with pytest.raises(sf.UnknownNameError, match=", ".join(sf.saliencies())):
        sf.saliency(WEIGHTS, criterion="taylor")


def test_an_unknown_schedule_lists_the_known_ones() -> None:
    with pytest.raises(sf.UnknownNameError, match=", ".join(sf.schedules())):
        sf.MaskSearch(WEIGHTS, keep=1, schedule="stairs")
