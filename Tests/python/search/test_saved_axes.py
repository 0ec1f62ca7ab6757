"""Allocations, patterns, saliencies and rules in files of searches, which go on with them."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from kinds import network
from oracle import assert_same_masks
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from swiftforce.files.formats import _digest

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

STEPS = 5
NAMES = ("a", "empty", "mask.0", "last")
SHAPES = ((6, 8), (0, 2), (4, 3, 2, 2), (11,))

SEARCHES: dict[str, dict[str, Any]] = {
    "floors": {"allocation": sf.Allocation("erk", floor_per_output=1)},
    "caps": {
        "allocation": sf.Allocation(cap={"a": 0.5, "*": 9}, n_m={"mask.*": (2, 4)}),
        "method": "force",
        "momentum": 0.5,
    },
    "n_m": {"allocation": sf.Allocation(n_m=(1, 4), output_axis={"a": -1}), "keep": None},
    "mapping": {"allocation": {"a": 0.25, "*": 3, "empty": 0}, "keep": None},
    "outputs": {"pattern": "outputs", "method": "iterative_snip"},
    "blocks": {
        "pattern": sf.Pattern((2, 3), "mean"),
        "allocation": sf.Allocation("uniform", output_axis=-1),
    },
    "saliency and rule": {"saliency": "squared_gradient", "rule": "free"},
    "given": {"saliency": "given", "rule": "nested", "pattern": "inputs"},
}


def made(kind: str) -> tuple[sf.MaskSearch, dict[str, Any], Callable[[sf.MaskSearch], sf.Step]]:
    """A search, its weights, and what takes a step of it."""
    arrays, gradients = network(41, SHAPES)
    weights = dict(zip(NAMES, arrays, strict=True))
    search = sf.MaskSearch(weights, **{"keep": 20, "steps": STEPS, **SEARCHES[kind]})

    def step(search: sf.MaskSearch) -> sf.Step:
        found = gradients(list(search.masked_weights.values()))
        named = dict(zip(NAMES, found, strict=True))
        return search.step(scores=named) if kind == "given" else search.step(named)

    return search, weights, step


def assert_same(found: sf.MaskSearch, expected: sf.MaskSearch) -> None:
    one, other = found.result(), expected.result()
    assert_same_masks(one.masks, other.masks)
    names = ("layers", "history", "method", "saliency", "rule", "allocation", "pattern", "damping")
    for name in names:
        assert getattr(one, name) == getattr(other, name), name
    assert str(one) == str(other)


@pytest.mark.parametrize("after", [0, 1, 3, STEPS])
@pytest.mark.parametrize("kind", SEARCHES)
def test_an_interrupted_search_ends_as_any_other(kind: str, after: int, tmp_path: Path) -> None:
    search, weights, step = made(kind)
    for _ in range(after):
        step(search)
    search.save(tmp_path / "s")
    again = sf.MaskSearch.resume(tmp_path / "s", weights)
    assert (again.taken, again.keeps) == (after, search.keeps)
    for one in (search, again):
        while not one.done:
            step(one)
    assert_same(again, search)
    again.save(tmp_path / "s")
    assert_same(sf.MaskSearch.resume(tmp_path / "s", weights), search)


@pytest.mark.parametrize("kind", SEARCHES)
def test_copies_and_pickles_go_on(kind: str) -> None:
    search, _, step = made(kind)
    step(search)
    copies = [copy.deepcopy(search), pickle.loads(pickle.dumps(search))]
    for one in (search, *copies):
        while not one.done:
            step(one)
    for one in copies:
        assert_same(one, search)


# ------------------------------------------------------------------------- files that are wrong


def rewritten(path: Path, change: Callable[[dict, dict], object]) -> bytes:
    """The file with another description or other arrays, under a digest that fits."""
    content = path.read_bytes()
    arrays = load_tensors(content)
    length = int.from_bytes(content[:8], "little")
    envelope = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["swiftforce-search"])
    about = json.loads(envelope["about"])
    change(about, arrays)
    text = json.dumps(about)
    envelope = {"about": text, "digest": _digest(text, arrays)}
    return save_tensors(arrays, {"swiftforce-search": json.dumps(envelope)})


def put(name: str, place: int, value: int) -> Callable[[dict, dict], object]:
    return lambda about, arrays: arrays[name].__setitem__(place, value)


def say(axis: str, value: Any) -> Callable[[dict, dict], object]:
    return lambda about, arrays: about.update({axis: value})


DAMAGED: dict[str, tuple[str, Callable[[dict, dict], object]]] = {
    "an unknown saliency": ("floors", say("saliency", "best")),
    "a saliency of a number": ("floors", say("saliency", 1)),
    "an unknown rule": ("floors", say("rule", "nest")),
    "a rule of none": ("floors", say("rule", None)),
    "an allocation of text": ("floors", say("allocation", "erk")),
    "an allocation of a list": ("floors", say("allocation", [1])),
    "unknown shares": ("floors", say("allocation", {"shares": "most"})),
    "an unknown field": ("floors", say("allocation", {"shares": "erk", "least": 1})),
    "a negative floor": ("floors", say("allocation", {"shares": "erk", "floor": -1})),
    "a share of 2.5": ("floors", say("allocation", {"shares": {"a": 2.5}})),
    "n_m of text": ("caps", say("allocation", {"n_m": "2:4"})),
    "a pattern of text": ("outputs", say("pattern", "outputs")),
    "an unknown pattern": ("outputs", say("pattern", {"shape": "output"})),
    "an unknown score": ("outputs", say("pattern", {"shape": "outputs", "score": "max"})),
    "a block of none": ("blocks", say("pattern", {"shape": [0, 1]})),
    "an unknown field of a pattern": ("outputs", say("pattern", {"rows": 1})),
    "no bounds": ("floors", lambda about, arrays: arrays.pop("limits.bounds")),
    "no counts": ("floors", lambda about, arrays: arrays.pop("limits.counts")),
    "no counts of a mapping": ("mapping", lambda about, arrays: arrays.pop("limits.counts")),
    "no axes": ("outputs", lambda about, arrays: arrays.pop("limits.axes")),
    "bounds of floats": (
        "floors",
        lambda about, arrays: arrays.update(
            {"limits.bounds": arrays["limits.bounds"].astype(np.float64)}
        ),
    ),
    "a bound less": (
        "floors",
        lambda about, arrays: arrays.update({"limits.bounds": arrays["limits.bounds"][:-1]}),
    ),
    "counts of two axes": (
        "floors",
        lambda about, arrays: arrays.update({"limits.counts": arrays["limits.counts"][None]}),
    ),
    "a floor above the size": ("floors", put("limits.bounds", 0, 1000)),
    "a negative cap": ("floors", put("limits.bounds", 1, -1)),
    "no output units": ("floors", put("limits.bounds", 2, 5)),
    "huge output units": ("floors", put("limits.bounds", 2, 2**62)),
    "runs of none": ("floors", put("limits.bounds", 3, 0)),
    "a count more": ("floors", put("limits.counts", 0, 40)),
    "a negative count": ("floors", put("limits.counts", 0, -(2**63))),
    "an axis more": ("outputs", put("limits.axes", 0, 3)),
    "endless axes": ("outputs", put("limits.axes", 0, 2**62)),
    "a negative number of axes": ("outputs", put("limits.axes", 0, -1)),
    "an output axis beyond": ("outputs", put("limits.axes", 1, 2)),
    "an input axis below": ("outputs", put("limits.axes", 2, -1)),
    "a longer axis": ("outputs", put("limits.axes", 3, 7)),
    "axes of another tensor": (
        "outputs",
        lambda about, arrays: arrays.update({"limits.axes": arrays["limits.axes"].repeat(2)}),
    ),
    "counts that nothing needs": (
        "outputs",
        lambda about, arrays: arrays.update({"limits.counts": np.full(4, 5)}),
    ),
    "axes that end early": (
        "outputs",
        lambda about, arrays: arrays.update({"limits.axes": arrays["limits.axes"][:-2]}),
    ),
    "a step that keeps more": (
        "outputs",
        lambda about, arrays: about["history"][0].update(keep=109),
    ),
    "negative floors": ("floors", lambda about, arrays: _bounded(about, kept_by_floors=-1)),
    "caps of text": ("caps", lambda about, arrays: _bounded(about, removed_by_caps="2")),
}


def _bounded(about: dict, **fields: Any) -> None:
    about["history"][0].update(fields)


@pytest.mark.parametrize("damage", DAMAGED)
def test_descriptions_that_do_not_fit(damage: str, tmp_path: Path) -> None:
    kind, change = DAMAGED[damage]
    search, weights, step = made(kind)
    step(search)
    path = tmp_path / "s"
    search.save(path)
    path.write_bytes(rewritten(path, lambda about, arrays: None))
    assert_same(sf.MaskSearch.resume(path, weights), search)
    path.write_bytes(rewritten(path, change))
    with pytest.raises(sf.SearchFileError) as caught:
        sf.MaskSearch.resume(path, weights)
    assert str(caught.value).startswith(f"{path} is damaged: ")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_files_of_earlier_versions(version: int, tmp_path: Path) -> None:
    """They have none of the axes, and their steps tell of no floors and caps."""
    arrays, gradients = network(41, SHAPES)
    search = sf.MaskSearch(arrays, keep=20, steps=STEPS)
    for _ in range(2):
        search.step(gradients(search.masked_weights))
    path = tmp_path / "s"
    search.save(path)

    def older(about: dict, tensors: dict) -> None:
        about["format_version"] = version
        for axis in ("saliency", "rule", "allocation", "pattern"):
            del about[axis]
        for entry in about["history"]:
            del entry["kept_by_floors"], entry["removed_by_caps"]
            if version < 3:
                del entry["objective"]
        if version < 2:
            del about["damping"]
            counts = tensors.pop("layer_kept")
            for entry, row in zip(about["history"], counts.tolist(), strict=True):
                entry["layer_kept"] = row

    path.write_bytes(rewritten(path, older))
    again = sf.MaskSearch.resume(path, arrays)
    for one in (search, again):
        while not one.done:
            one.step(gradients(one.masked_weights))
    assert_same_masks(again.masks, search.masks)
    found = again.result()
    assert (found.saliency, found.rule, found.allocation, found.pattern) == ("", "", None, None)
    assert [step.kept_by_floors + step.removed_by_caps for step in found.history] == [0] * STEPS
