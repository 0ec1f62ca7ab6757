"""What a result says of its axes: in words, in files of masks, as a dict and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from kinds import network
from saved_masks import assert_same, described, read_or_refused, rewritten, saved_bytes

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

RESULTS: dict[str, dict[str, Any]] = {
    "allocation": {"allocation": sf.Allocation("erk", floor_per_output=1, cap={"0": 0.5})},
    "mapping": {"allocation": {"0": 0.25, "*": 2}, "keep": None},
    "pattern": {"pattern": sf.Pattern((2, 3), "mean")},
    "both": {"pattern": "outputs", "allocation": sf.Allocation("uniform", output_axis=-1)},
    "saliency": {"saliency": "random", "rule": "nested"},
    "given": {"saliency": "given"},
}


def result(kind: str) -> sf.Pruning:
    weights, gradients = network(31, ((6, 8), (0,), (4, 3, 2, 2), (11,)))
    if kind == "mapping":
        weights, gradients = network(31, ((6, 8), (9,), (4, 3, 2, 2), (11,)))
    return sf.prune(weights, gradients, **{"keep": 21, "steps": 4, **RESULTS[kind]})


@pytest.mark.parametrize("kind", RESULTS)
def test_saved_and_read(kind: str, tmp_path: Path) -> None:
    pruning = result(kind)
    pruning.save(tmp_path / "m")
    found = sf.load(tmp_path / "m")
    assert_same(found, pruning)
    for name in ("saliency", "rule", "allocation", "pattern"):
        assert getattr(found, name) == getattr(pruning, name)
    assert found.to_dict() == pruning.to_dict()


@pytest.mark.parametrize("kind", RESULTS)
def test_as_a_dict_and_as_json(kind: str) -> None:
    pruning = result(kind)
    found = json.loads(pruning.to_json())
    assert found == json.loads(json.dumps(pruning.to_dict()))
    assert (found["saliency"], found["rule"]) == (pruning.saliency, pruning.rule)
    if pruning.allocation is None:
        assert found["allocation"] is None
    else:
        assert sf.Allocation(**found["allocation"]) == pruning.allocation
    if pruning.pattern is None or pruning.pattern.is_plain:
        assert found["pattern"] in (None, {"shape": "weights", "score": "sum"})
    else:
        assert sf.Pattern(**found["pattern"]) == pruning.pattern
    steps = found["history"]
    assert [step["kept_by_floors"] for step in steps] == [
        step.kept_by_floors for step in pruning.history
    ]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "allocation",
            ", 4 steps, nested from step 3, shares erk, cap {'0': 0.5}, floor per output 1",
        ),
        ("mapping", ", 4 steps, nested from step 3, shares {'0': 0.25, '*': 2}"),
        ("pattern", ", 4 steps, nested from step 3, 2 x 3 blocks by their mean"),
        ("both", ", 4 steps, nested from step 3, shares uniform, output axis -1, outputs"),
        ("saliency", ", 4 steps, saliency random, rule nested"),
        ("given", ", 4 steps, nested from step 3, saliency given"),
    ],
)
def test_in_words(kind: str, text: str) -> None:
    assert text in str(result(kind))


def test_floors_and_caps_that_bind_are_told() -> None:
    weights = np.float32([[9, 8, 7, 6], [1, 2, 3, 4]])
    floored = sf.magnitude(weights, keep=4, allocation=sf.Allocation(floor_per_output=1))
    assert "against the scores of all, floors keep 1 weight\n" in str(floored)
    capped = sf.magnitude(weights, keep=3, allocation=sf.Allocation(cap_per_output=2))
    assert "against the scores of all, caps remove 2 weights\n" in str(capped)
    both = sf.Allocation(cap_per_output=3, floor={"*": 1}, floor_per_output=2)
    assert "against the scores of all" in str(sf.magnitude(weights, keep=5, allocation=both))
    idle = sf.magnitude(weights, keep=6, allocation=sf.Allocation(floor_per_output=1))
    assert "against the scores of all" not in str(idle)


def test_names_in_a_result_are_printable() -> None:
    weights = {"a\x1b[2J": np.ones((2, 3), np.float32)}
    found = sf.magnitude(weights, allocation={"a\x1b[2J": 2})
    assert "\x1b" not in str(found)


DAMAGED: dict[str, Callable[[dict, dict], object]] = {
    "an unknown saliency": lambda about, masks: about.update(saliency="best"),
    "an unknown rule": lambda about, masks: about.update(rule="nest"),
    "a rule of a list": lambda about, masks: about.update(rule=[]),
    "an allocation of text": lambda about, masks: about.update(allocation="erk"),
    "unknown shares": lambda about, masks: about["allocation"].update(shares="most"),
    "shares of none": lambda about, masks: about["allocation"].update(shares=None),
    "a floor of text": lambda about, masks: about["allocation"].update(floor="1"),
    "a floor of true": lambda about, masks: about["allocation"].update(floor=True),
    "an unknown field": lambda about, masks: about["allocation"].update(extra=1),
    "a cap out of range": lambda about, masks: about["allocation"].update(cap={"0": 1.5}),
    "an axis of text": lambda about, masks: about["allocation"].update(output_axis="0"),
    "a pattern of a list": lambda about, masks: about.update(pattern=[1, 2]),
    "an unknown pattern": lambda about, masks: about.update(pattern={"shape": "rows"}),
    "a block of text": lambda about, masks: about.update(pattern={"shape": ["1", 2]}),
    "negative floors": lambda about, masks: about["history"][0].update(kept_by_floors=-1),
    "caps of a share": lambda about, masks: about["history"][1].update(removed_by_caps=0.5),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_files_are_refused(damage: str, tmp_path: Path) -> None:
    pruning = result("allocation")
    unchanged = read_or_refused(rewritten(pruning, tmp_path, lambda about, masks: None), tmp_path)
    assert unchanged is not None
    assert unchanged.allocation == pruning.allocation
    assert read_or_refused(rewritten(pruning, tmp_path, DAMAGED[damage]), tmp_path) is None


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_files_of_earlier_versions(version: int, tmp_path: Path) -> None:
    pruning = sf.force(*network(31, ((6, 8), (11,))), keep=9, steps=3)
    names = ("saliency", "rule", "allocation", "pattern")
    assert set(names) <= described(saved_bytes(pruning, tmp_path)).keys()

    def older(about: dict, masks: dict) -> None:
        about["format_version"] = version
        for name in names:
            del about[name]
        if version < 3:
            del about["damping"]
        for step in about["history"]:
            del step["kept_by_floors"], step["removed_by_caps"]

    found = read_or_refused(rewritten(pruning, tmp_path, older), tmp_path)
    assert found is not None
    assert_same(found, pruning)
    assert [getattr(found, name) for name in names] == ["", "", None, None]
