"""Searches in files: what goes on from one is what was never interrupted, or an error."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from kinds import network
from oracle import assert_same_masks
from ranks import Group, Member
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from swiftforce.files.formats import _digest

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

STEPS = 5
NAMES = ("fc.1", "", "mask.0", "last")


def weights_and_gradients(dtype: str = "float32") -> tuple[dict[str, Any], Callable[[Any], Any]]:
    arrays, gradients = network(41)
    kinds = [dtype, "float32", "float32", dtype]
    weights = {
        name: array.astype(kind) for name, array, kind in zip(NAMES, arrays, kinds, strict=True)
    }

    def named(masked: dict[str, Any]) -> dict[str, Any]:
        found = gradients([array.astype(np.float32) for array in masked.values()])
        return dict(zip(NAMES, found, strict=True))

    return weights, named


def finished(search: sf.MaskSearch, gradients: Callable[[Any], Any]) -> sf.MaskSearch:
    while not search.done:
        search.step(gradients(search.masked_weights))
    return search


def interrupted(after: int, path: Path, **options: Any) -> sf.MaskSearch:
    """A search that goes on from the file that was written after so many steps."""
    weights, gradients = weights_and_gradients()
    search = sf.MaskSearch(weights, **{"keep": 9, "steps": STEPS} | options)
    for _ in range(after):
        search.step(gradients(search.masked_weights) if search.needs_gradients else None)
    search.save(path)
    return sf.MaskSearch.resume(path, {name: array.copy() for name, array in weights.items()})


@pytest.mark.parametrize("method", ["force", "iterative_snip", "grasp_it"])
@pytest.mark.parametrize("after", range(STEPS + 1))
def test_an_interrupted_search_ends_as_any_other(method: str, after: int, tmp_path: Path) -> None:
    weights, gradients = weights_and_gradients()
    whole = finished(sf.MaskSearch(weights, method=method, keep=9, steps=STEPS), gradients)
    again = interrupted(after, tmp_path / "s", method=method)
    assert (again.taken, again.steps, again.done) == (after, STEPS, after == STEPS)
    # The objective at the last masks is known once gradients were taken at them.
    assert again.history[:-1] == whole.history[: max(0, after - 1)]
    last = again.history[-1:]
    assert last == tuple(replace(step, objective=None) for step in whole.history[:after][-1:])
    found, expected = finished(again, gradients).result(), whole.result()
    assert_same_masks(found.masks, expected.masks)
    for name in ("layers", "history", "method", "seed", "schedule"):
        assert getattr(found, name) == getattr(expected, name)
    for name, array in again.masked_weights.items():
        assert array.tobytes() == whole.masked_weights[name].tobytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_all_types(dtype: str, tmp_path: Path) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    weights, gradients = weights_and_gradients(dtype)
    search = sf.MaskSearch(weights, keep=9, steps=3, schedule="linear")
    search.step(gradients(search.masked_weights))
    search.save(tmp_path / "s")
    again = sf.MaskSearch.resume(tmp_path / "s", weights)
    assert_same_masks(again.masks, search.masks)
    finished(search, gradients)
    assert_same_masks(finished(again, gradients).masks, search.masks)
    assert again.result().schedule == "linear"


@pytest.mark.parametrize("after", [0, 1])
def test_one_shot_methods(after: int, tmp_path: Path) -> None:
    options = {"method": "random", "seed": 2**64 - 1, "steps": None}
    again = interrupted(after, tmp_path / "s", **options)
    if not after:
        again.step()
    weights, _ = weights_and_gradients()
    expected = sf.random(weights, keep=9, seed=2**64 - 1)
    assert_same_masks(again.result().masks, expected.masks)
    assert again.result().history == expected.history
    assert_same_masks(
        {name: array != 0 for name, array in again.masked_weights.items()}, expected.masks
    )


def test_saved_again_and_again(tmp_path: Path) -> None:
    weights, gradients = weights_and_gradients()
    search = sf.MaskSearch(weights, keep=9, schedule=[40, 20, 20, 9])
    for _ in range(4):
        search.save(tmp_path / "s")
        search = sf.MaskSearch.resume(tmp_path / "s", weights)
        search.step(gradients(search.masked_weights))
    whole = finished(sf.MaskSearch(weights, schedule=[40, 20, 20, 9]), gradients)
    assert search.history == whole.history
    assert_same_masks(search.masks, whole.masks)
    assert search.result().schedule == "custom"


def test_masks_of_a_resumed_search_are_still_looked_at(tmp_path: Path) -> None:
    _, gradients = weights_and_gradients()
    search = interrupted(2, tmp_path / "s")
    search._buffers.masks(2)[0][...] = True
    with pytest.raises(sf.MasksChangedError):
        search.step(gradients(search.masked_weights))
    assert search.taken == 2


def test_a_bit_per_weight_and_no_weights(tmp_path: Path) -> None:
    ones = np.ones(80_000, np.float32)
    search = sf.MaskSearch(ones, keep=100, steps=2)
    search.step(ones)
    search.save(tmp_path / "s")
    assert 10_000 < (tmp_path / "s").stat().st_size < 12_000


# ------------------------------------------------------------------------- other weights


def _swap(weights: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(weights.items()))


def _nudge(weights: dict[str, Any]) -> dict[str, Any]:
    weights["last"][3] = np.nextafter(weights["last"][3], np.float32(9))
    return weights


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda w: {n: a for n, a in w.items() if n != "fc.1"}, "'fc.1' missing"),
        (lambda w: w | {"more": np.ones(2, np.float32)}, "'more' unknown"),
        (lambda w: w | {"last": np.ones(12, np.float32)}, r"'last' has shape \(12,\), not \(11,\)"),
        (
            lambda w: w | {"last": w["last"].astype(np.float64)},
            "'last' holds float64 where it held float32",
        ),
        (_swap, "the order of the tensors"),
        (_nudge, "over other weights: 'last' holds other values$"),
        (lambda w: list(w.values()), "missing; .* unknown"),
    ],
)
def test_other_weights_are_refused(
    after: int, change: Callable[[Any], Any], text: str, tmp_path: Path
) -> None:
    interrupted(after, tmp_path / "s")
    with pytest.raises(sf.WeightsDifferError, match=text) as caught:
        sf.MaskSearch.resume(tmp_path / "s", change(weights_and_gradients()[0]))
    assert isinstance(caught.value, ValueError)
    assert str(tmp_path / "s") in str(caught.value)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("force, seed 1", "it says 'seed 0' where this one says 'seed 1'"),
        ("snip, seed 1", "it says 'force, seed 0' where this one says 'snip, seed 1'"),
        ("force, seed 0, again", "it says nothing where this one says 'again'"),
        ("force", "it says 'seed 0' where this one says nothing"),
        ("", "it says 'force, seed 0' where this one says nothing"),
        ("force, seed 0, ", "it says nothing where this one says nothing"),
    ],
)
def test_only_the_parts_of_a_label_that_differ_are_named(
    label: str, text: str, tmp_path: Path
) -> None:
    weights, _ = weights_and_gradients()
    path = tmp_path / "search"
    sf.MaskSearch(weights, sparsity=0.5).save(path, label="force, seed 0")
    with pytest.raises(sf.SearchFileError) as caught:
        sf.MaskSearch.resume(path, weights, label=label)
    expected = f"{path} is of another search: {text}; remove the file to start a new search"
    assert str(caught.value) == expected


# ------------------------------------------------------------------------- files that are wrong


def refused(content: bytes, tmp_path: Path) -> bool:
    """Whether the bytes are refused as they should be; else they go on as the whole file does."""
    path = tmp_path / "damaged"
    path.write_bytes(content)
    weights, _ = weights_and_gradients()
    try:
        search = sf.MaskSearch.resume(path, weights)
    except sf.SearchFileError as error:
        assert isinstance(error, ValueError)
        assert str(path) in str(error)
        return True
    whole = sf.MaskSearch.resume(tmp_path / "s", weights)
    assert search.history == whole.history
    assert_same_masks(search.masks, whole.masks)
    return False


def test_truncated_anywhere(tmp_path: Path) -> None:
    interrupted(2, tmp_path / "s")
    content = (tmp_path / "s").read_bytes()
    for length in {*range(0, len(content), 13), len(content) - 1}:
        assert refused(content[:length], tmp_path), length
    assert refused(content + b"\0", tmp_path)


@pytest.mark.slow
def test_flipped_bytes(tmp_path: Path) -> None:
    interrupted(2, tmp_path / "s")
    content = (tmp_path / "s").read_bytes()
    count = 0
    for position in range(0, len(content), 3):
        spoiled = bytearray(content)
        spoiled[position] ^= 1 << position % 8
        count += refused(bytes(spoiled), tmp_path)
    assert count > len(content) / 6


def rewritten(tmp_path: Path, change: Callable[[dict, dict], object]) -> bytes:
    """The file with another description or other masks, under a digest that fits."""
    content = (tmp_path / "s").read_bytes()
    masks = load_tensors(content)
    length = int.from_bytes(content[:8], "little")
    envelope = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["swiftforce-search"])
    about = json.loads(envelope["about"])
    change(about, masks)
    text = json.dumps(about)
    envelope = {"about": text, "digest": _digest(text, masks)}
    return save_tensors(masks, {"swiftforce-search": json.dumps(envelope)})


CHANGES: dict[str, Callable[[dict, dict], object]] = {
    "another version": lambda about, masks: about.update(format_version=5),
    "no weights": lambda about, masks: about.pop("weights"),
    "no history": lambda about, masks: about.pop("history"),
    "no keeps": lambda about, masks: about.pop("keeps"),
    "keeps of text": lambda about, masks: about.update(keeps="abc"),
    "a growing schedule": lambda about, masks: about["keeps"].append(50),
    "an unknown method": lambda about, masks: about.update(method="farce"),
    "a negative seed": lambda about, masks: about.update(seed=-1),
    "a step less": lambda about, masks: about["history"].pop(0),
    "another keep": lambda about, masks: about["history"][1].update(keep=8),
    "an unknown field": lambda about, masks: about["history"][0].update(extra=1),
    "a count less": lambda about, masks: masks.update(layer_kept=masks["layer_kept"][:, 1:].copy()),
    "another count": lambda about, masks: masks["layer_kept"].__setitem__((1, 0), 1),
    "another count before": lambda about, masks: masks["layer_kept"].__setitem__((0, 0), 1),
    "a label of a number": lambda about, masks: about.update(label=0),
    "a schedule of a list": lambda about, masks: about.update(schedule=[]),
    "keeps of floats": lambda about, masks: about.update(keeps=[0.5, 0.9]),
    "a method of a list": lambda about, masks: about.update(method=["force"]),
    "a digest of a number": lambda about, masks: about["weights"][0].__setitem__(3, 1),
    "two weights of a name": lambda about, masks: about["weights"][0].__setitem__(0, "last"),
    "no mask": lambda about, masks: masks.pop("mask.2"),
    "a short mask": lambda about, masks: masks.update({"mask.0": masks["mask.0"][:-1]}),
    "another mask": lambda about, masks: masks.update({"mask.0": ~masks["mask.0"]}),
    "weights of text": lambda about, masks: about.update(weights="abc"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_descriptions_that_do_not_fit(change: str, tmp_path: Path) -> None:
    interrupted(2, tmp_path / "s")
    assert not refused(rewritten(tmp_path, lambda about, masks: None), tmp_path)
    assert refused(rewritten(tmp_path, CHANGES[change]), tmp_path)


def test_files_of_format_version_1(tmp_path: Path) -> None:
    """They have the counts of each step in the JSON."""
    interrupted(2, tmp_path / "s")

    def change(about: dict, masks: dict) -> None:
        about["format_version"] = 1
        about.pop("damping")
        counts = masks.pop("layer_kept")
        for step, row in zip(about["history"], counts.tolist(), strict=True):
            step["layer_kept"] = row

    assert not refused(rewritten(tmp_path, change), tmp_path)


def test_many_tensors_and_steps(tmp_path: Path) -> None:
    """Counts of all tensors and steps are no part of the header, which has a limit."""
    tensors, steps = 2_000, 300
    ones = np.ones((tensors, 4), np.float32)
    weights = {f"model.layers.{place}.weight": row for place, row in enumerate(ones)}
    search = sf.MaskSearch(weights, sparsity=0.5, steps=steps)
    for _ in range(steps - 1):
        search.step(weights)
    search.save(tmp_path / "s")
    size = (tmp_path / "s").stat().st_size
    # A byte for each count; less than 700 for the description of a tensor.
    assert tensors * steps < size < tensors * (steps + 700)
    again = sf.MaskSearch.resume(tmp_path / "s", weights)
    assert again.history == search.history
    again.step(weights)
    again.result().save(tmp_path / "m")
    assert sf.load(tmp_path / "m").history == again.history


def test_masks_are_no_search(tmp_path: Path) -> None:
    weights, _ = weights_and_gradients()
    sf.magnitude(weights, keep=3).save(tmp_path / "m")
    with pytest.raises(sf.SearchFileError, match="not a file of a search"):
        sf.MaskSearch.resume(tmp_path / "m", weights)
    interrupted(1, tmp_path / "s")
    with pytest.raises(sf.MaskFileError, match="not a file of masks"):
        sf.load(tmp_path / "s")
    with pytest.raises(FileNotFoundError):
        sf.MaskSearch.resume(tmp_path / "nothing", weights)


def test_without_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"files of a search need .* 'swiftforce\[files\]'"):
        interrupted(1, tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_files_with_digests_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """Their digests are of whole tensors, so one process continues, and ranks do not."""
    interrupted(2, tmp_path / "s")
    weights, gradients = weights_and_gradients()

    def older(about: dict, masks: dict) -> None:
        for entry, array in zip(about["weights"], weights.values(), strict=True):
            entry[3] = hashlib.sha256(array.tobytes()).hexdigest()

    (tmp_path / "s").write_bytes(rewritten(tmp_path, older))
    search = sf.MaskSearch.resume(tmp_path / "s", weights)
    whole = finished(sf.MaskSearch(weights, keep=9, steps=STEPS), gradients)
    assert_same_masks(finished(search, gradients).masks, whole.masks)
    weights["last"].reshape(-1)[-1] += 1
    with pytest.raises(sf.WeightsDifferError, match="'last' holds other values"):
        sf.MaskSearch.resume(tmp_path / "s", weights)

    def work(member: Member) -> Any:
        return sf.MaskSearch.resume(tmp_path / "s", weights, communicator=member)

    (error,) = Group(1).run(work)
    assert isinstance(error, sf.SearchFileError)
    assert "an earlier version" in str(error)
