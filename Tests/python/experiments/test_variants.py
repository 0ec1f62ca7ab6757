"""Names of what experiments compare: methods, settings of damped searches, shuffled masks."""

from __future__ import annotations

import pytest
from swiftforce.errors import HyperparameterError, UnknownNameError
from swiftforce.experiments import Variant, compared_methods
from swiftforce.inputs import methods


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("dense", Variant("dense")),
        ("Iterative-SNIP", Variant("iterative_snip")),
        ("force momentum=0.5", Variant("force", {"momentum": 0.5})),
        ("FORCE nested-from=.5", Variant("force", {"nested_from": 0.5})),
        ("force removed_factor=0.25 shuffled", Variant("force", {"removed_factor": 0.25}, True)),
        ("snip shuffled", Variant("snip", shuffled=True)),
        ("erk_random", Variant("erk_random")),
        ("force multiply_adds", Variant("force", multiply_adds=True)),
        ("force nested_from=30", Variant("force", {"nested_from": 30})),
        ("force  momentum=0.12345678", Variant("force", {"momentum": 0.12345678})),
    ],
)
def test_a_name_says_all(text: str, variant: Variant) -> None:
    assert Variant.parse(text) == variant
    assert Variant.parse(str(variant)) == variant


@pytest.mark.parametrize("name", compared_methods())
def test_every_method_has_a_name(name: str) -> None:
    assert str(Variant.parse(name)) == name
    assert set(methods()) < set(compared_methods())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("forse", "there is no method 'forse'; did you mean 'force'"),
        (
            "force momentun=0.5",
            "'momentun=0.5' in .* is not 'shuffled', 'multiply_adds' or a number for",
        ),
        ("force momentum=much", "'momentum=much' in"),
        ("force momentum", "'momentum' in"),
        ("force shufled", "'shufled' in"),
        ("dense shuffled", "dense is not searched"),
        ("synflow momentum=0.5", "synflow has no settings"),
        ("erk_random momentum=0.5", "erk_random has no settings"),
        ("", "there is no method ''"),
        ("force momentum=2", "momentum must be in"),
        ("force momentum=nan", "momentum must be in"),
        ("snip momentum=0.5", "momentum must be 0 for a method of one step"),
        ("iterative_snip nested_from=0.5", "nested_from must be left out"),
    ],
)
def test_names_that_are_wrong(text: str, error: str) -> None:
    with pytest.raises((UnknownNameError, HyperparameterError), match=error):
        Variant.parse(text)


def test_the_order_of_the_settings_does_not_matter() -> None:
    first = Variant.parse("force removed_factor=0.5 momentum=0.5")
    assert str(first) == "force momentum=0.5 removed_factor=0.5"
