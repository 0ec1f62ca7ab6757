"""The names that the core publishes, in any spelling, and the errors for unknown ones."""

from __future__ import annotations

from typing import get_args

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
    assert vocabulary.case_names("rule") == ("nested", "free", "free_then_nested")
    assert vocabulary.case_names("loss") == ("cross_entropy", "target_logit")


@pytest.mark.parametrize("method", oracle.METHODS)
def test_every_row_of_the_table_of_methods(method: str) -> None:
    saliency, nested, one_shot = oracle.METHODS[method]
    info = vocabulary.method_info(method)
    row = _core.method(vocabulary.case_number("method", method))
    assert vocabulary.case_names("saliency")[row["saliency"]] == saliency == info["saliency"]
    if not one_shot:
        assert info["free"] is not nested
    assert info["one_shot"] is one_shot
    assert info["nested_from"] == (0.5 if method == "force_nested" else None)
    assert info["needs_gradients"] is (saliency in oracle.SALIENCIES[:2])


@pytest.mark.parametrize("method", oracle.METHODS)
def test_a_method_is_also_a_function(method: str) -> None:
    assert callable(getattr(sf, method))


@pytest.mark.parametrize("name", ["", "taylor", "snip_", None, 3, ["force"], b"force"])
def test_an_unknown_method_lists_the_known_ones(name: object) -> None:
    with pytest.raises(sf.UnknownNameError) as caught:
        sf.MaskSearch(WEIGHTS, method=name, keep=1)
    assert isinstance(caught.value, ValueError)
    text = str(caught.value)
    assert text.startswith(f"there is no method {name!r}; ")
    assert text.endswith("here are: " + ", ".join(sf.methods()))


def test_an_unknown_saliency_lists_the_known_ones() -> None:
    with pytest.raises(sf.UnknownNameError, match=", ".join(sf.saliencies())):
        sf.saliency(WEIGHTS, criterion="taylor")


def test_an_unknown_schedule_lists_the_known_ones() -> None:
    with pytest.raises(sf.UnknownNameError, match=", ".join(sf.schedules())):
        sf.MaskSearch(WEIGHTS, keep=1, schedule="stairs")


@pytest.mark.parametrize(
    ("axis", "name", "meant"),
    [
        ("method", "forc", "force"),
        ("method", "Froce", "force"),
        ("method", "iterativesnip", "iterative_snip"),
        ("method", "GRASPIT", "grasp_it"),
        ("schedule", "exponental", "exponential"),
        ("saliency", "conection-sensitivity", "connection_sensitivity"),
    ],
)
def test_a_misspelt_name_is_asked_about(axis: str, name: str, meant: str) -> None:
    with pytest.raises(sf.UnknownNameError) as caught:
        vocabulary.case_number(axis, name)
    assert f"there is no {axis} {name!r}; did you mean {meant!r}? There are: " in str(caught.value)


def test_a_name_that_is_like_none_is_not_asked_about() -> None:
    with pytest.raises(sf.UnknownNameError) as caught:
        vocabulary.case_number("method", "xyz")
    assert "mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("FORCE", "force"),
        ("Iterative-SNIP", "iterative_snip"),
        ("iterative snip", "iterative_snip"),
        ("GRASP-It", "grasp_it"),
    ],
)
def test_spellings_of_a_method_are_its_canonical_name(spelling: str, name: str) -> None:
    def gradients(masked: np.ndarray) -> np.ndarray:
        return masked + 1

    found = sf.prune(WEIGHTS, gradients, method=spelling, keep=1, steps=2)
    assert found.method == name
    assert sf.MaskSearch(WEIGHTS, method=spelling, keep=1).method == name
    assert vocabulary.method_info(spelling) == vocabulary.method_info(name)
    assert vocabulary.method_name(spelling) == name


def test_spellings_of_schedules_and_saliencies() -> None:
    found = sf.force(WEIGHTS, lambda masked: masked + 1, keep=1, steps=2, schedule="Cosine")
    assert found.schedule == "cosine"
    assert sf.schedule_keeps("LINEAR", 10, keep=2, steps=2) == (6, 2)
    scores = sf.saliency(WEIGHTS, WEIGHTS, criterion="Connection Sensitivity")
    assert scores.tolist() == sf.saliency(WEIGHTS, WEIGHTS).tolist()


@pytest.mark.parametrize("method", ["grasp", "synflow", "SynFlow", "GraSP"])
def test_methods_of_torch_are_said_to_be_there(method: str) -> None:
    with pytest.raises(sf.UnknownNameError, match=r"needs a model: call swiftforce\.torch\.prune"):
        sf.prune(WEIGHTS, WEIGHTS, method=method, keep=1)


def test_methods_of_torch_are_those_that_it_adds() -> None:
    pytest.importorskip("torch", reason="needs torch")
    from swiftforce import torch as adapter

    assert set(adapter.methods()) - set(sf.methods()) == set(vocabulary._TORCH_METHODS)


@pytest.mark.parametrize(
    ("literal", "axis"),
    [
        (vocabulary.MethodName, "method"),
        (vocabulary.SaliencyName, "saliency"),
        (vocabulary.ScheduleName, "schedule"),
    ],
)
def test_the_types_are_the_names_of_the_core(literal: object, axis: str) -> None:
    assert get_args(literal) == vocabulary.case_names(axis)
