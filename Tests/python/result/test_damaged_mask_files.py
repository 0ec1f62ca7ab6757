"""Files that hold no masks, or damaged ones: refused, and nothing else happens."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from saved_masks import (
    assert_same,
    described,
    example,
    read_or_refused,
    rewritten,
    saved_bytes,
    with_digest,
)

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


@pytest.mark.slow
def test_truncated_anywhere(tmp_path: Path) -> None:
    content = saved_bytes(example(), tmp_path)
    for length in {*range(0, len(content), 7), *range(40), len(content) - 1}:
        assert read_or_refused(content[:length], tmp_path) is None, length


def test_longer_than_written(tmp_path: Path) -> None:
    assert read_or_refused(saved_bytes(example(), tmp_path) + b"\0", tmp_path) is None


@pytest.mark.slow
def test_no_flipped_byte_crashes(tmp_path: Path) -> None:
    """Refused or read, but never another error; and the masks keep what the file says."""
    content = saved_bytes(example("list"), tmp_path)
    refused = 0
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        found = read_or_refused(bytes(changed), tmp_path)
        refused += found is None
        if found is not None:
            assert [int(mask.sum()) for mask in found.masks] == [m.kept for m in found.layers]
    assert refused > len(content) / 4


@pytest.mark.slow
def test_a_flipped_byte_is_refused_or_makes_no_difference(tmp_path: Path) -> None:
    pruning = example("list")
    content = saved_bytes(pruning, tmp_path)
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        found = read_or_refused(bytes(changed), tmp_path)
        if found is not None:
            assert_same(found, pruning)


@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        assert read_or_refused(content, Path(folder)) is None


def test_rewriting_alone_is_no_damage(tmp_path: Path) -> None:
    pruning = example()
    content = rewritten(pruning, tmp_path, lambda about, masks: None)
    found = read_or_refused(content, tmp_path)
    assert found is not None
    assert_same(found, pruning)


def entry(masks: dict, position: int) -> str:
    """The name of the mask of the layer at a position, of either coding."""
    return next(name for name in masks if name in (f"mask.{position}", f"mask_gaps.{position}"))


CHANGES: dict[str, Callable[[dict, dict], object]] = {
    "another version": lambda about, masks: about.update(format_version=6),
    "version of text": lambda about, masks: about.update(format_version="2"),
    "version of true": lambda about, masks: about.update(format_version=True),
    "no version": lambda about, masks: about.pop("format_version"),
    "a momentum of 1": lambda about, masks: about["damping"].update(momentum=1),
    "no momentum": lambda about, masks: about["damping"].pop("momentum"),
    "a factor of 2": lambda about, masks: about["damping"].update(removed_factor=2),
    "a step of text": lambda about, masks: about["damping"].update(nested_from="3"),
    "damping of text": lambda about, masks: about.update(damping="much"),
    "no damping": lambda about, masks: about.pop("damping"),
    "a damping of none": lambda about, masks: about.update(damping=None),
    "an objective of text": lambda about, masks: about["history"][0].update(objective="1"),
    "no layers": lambda about, masks: about.pop("layers"),
    "no history": lambda about, masks: about.pop("history"),
    "no method": lambda about, masks: about.pop("method"),
    "no structure": lambda about, masks: about.pop("structure"),
    "unknown structure": lambda about, masks: about.update(structure="tree"),
    "another count": lambda about, masks: about["layers"][0].__setitem__(2, 1),
    "another shape": lambda about, masks: about["layers"][0].__setitem__(1, [70, 5]),
    "negative shape": lambda about, masks: about["layers"][0].__setitem__(1, [-7, -5]),
    "shape of text": lambda about, masks: about["layers"][0].__setitem__(1, "ab"),
    "huge shape": lambda about, masks: about["layers"][0].__setitem__(1, [2**40, 2**40]),
    "layer of one": lambda about, masks: about["layers"].__setitem__(0, ["x"]),
    "layers of none": lambda about, masks: about.update(layers=None),
    "one layer more": lambda about, masks: about["layers"].append(["x", [3], 1]),
    "history of numbers": lambda about, masks: about.update(history=[1, 2]),
    "unknown field": lambda about, masks: about["history"][0].update(extra=1),
    "missing field": lambda about, masks: about["history"][0].pop("keep"),
    "missing mask": lambda about, masks: masks.pop(entry(masks, 2)),
    "short mask": lambda about, masks: masks.update({entry(masks, 0): masks[entry(masks, 0)][:-1]}),
    "mask of floats": lambda about, masks: masks.update({entry(masks, 0): np.zeros(5, np.float32)}),
    "no counts": lambda about, masks: masks.pop("layer_kept"),
    "a step less in the counts": lambda about, masks: masks.update(
        layer_kept=masks["layer_kept"][1:]
    ),
    "a layer less in the counts": lambda about, masks: masks.update(
        layer_kept=masks["layer_kept"][:, 1:].copy()
    ),
    "signed counts": lambda about, masks: masks.update(
        layer_kept=masks["layer_kept"].astype(np.int64)
    ),
    "counts above the sizes": lambda about, masks: masks.update(
        layer_kept=masks["layer_kept"] + np.uint8(200)
    ),
    "counts above the step": lambda about, masks: masks["layer_kept"].__setitem__(
        (1, 0), about["history"][1]["keep"]
    ),
    "no steps": lambda about, masks: about.update(history=[]),
    "steps in another order": lambda about, masks: about["history"].reverse(),
    "more kept than compete": lambda about, masks: about["history"][0].update(candidates=1),
    "two layers of a name": lambda about, masks: about["layers"][0].__setitem__(0, "last"),
    "several masks as one array": lambda about, masks: about.update(structure="array"),
    "another mask": lambda about, masks: masks.update({entry(masks, 0): ~masks[entry(masks, 0)]}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_descriptions_that_do_not_fit(change: str, tmp_path: Path) -> None:
    assert read_or_refused(rewritten(example(), tmp_path, CHANGES[change]), tmp_path) is None


ODD = [None, True, -1, 2**63, 10**400, 0.5, float("nan"), "x", "", [], [0], {}, {"a": 1}]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in a description, with each of its keys or positions."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from places(inner)


@pytest.mark.slow
def test_what_is_read_can_be_shown_whatever_a_file_says(tmp_path: Path) -> None:
    """Each value of a description is replaced by odd ones: refused, or everything can be shown."""
    scope = sf.Scope(70, 200, 20, 300, (("head", 80, "an embedding"),))
    content = saved_bytes(replace(example(), scope=scope), tmp_path)
    masks, count = load_tensors(content), len(list(places(described(content))))
    assert count > 80
    shown = 0
    for position in range(count):
        for odd in ODD:
            about = described(content)
            container, key = list(places(about))[position]
            container[key] = odd
            found = read_or_refused(with_digest(masks, json.dumps(about)), tmp_path)
            if found is not None:
                shown += 1
                assert repr(found)
                assert str(found)
                assert found._repr_html_()
                assert found.to_json()
                assert isinstance(found.degenerate, bool)
    assert 0 < shown < count * len(ODD) / 4


@pytest.mark.parametrize("readings", [False, True])
def test_files_of_format_version_1(readings: bool, tmp_path: Path) -> None:
    """They have the counts of each step in the JSON; the first ones call passes readings."""
    pruning = example()

    def change(about: dict, masks: dict) -> None:
        about["format_version"] = 1
        about.pop("damping")
        counts = masks.pop("layer_kept")
        for step, row in zip(about["history"], counts.tolist(), strict=True):
            step["layer_kept"] = row
            if readings:
                step["readings"] = step.pop("passes")

    found = read_or_refused(rewritten(pruning, tmp_path, change), tmp_path)
    assert found is not None
    assert_same(found, pruning)


@pytest.mark.parametrize("about", ["null", "[]", "3", '"text"', "[" * 100_000, '{"a":' * 100_000])
def test_a_description_that_is_no_object(about: str, tmp_path: Path) -> None:
    masks = {"mask.0": np.zeros(1, np.uint8)}
    assert read_or_refused(with_digest(masks, about), tmp_path) is None
    content = save_tensors(masks, {"swiftforce-masks": about})
    assert read_or_refused(content, tmp_path) is None


def test_other_files_of_the_same_format(tmp_path: Path) -> None:
    tensor = {"w": np.zeros(3, np.float32)}
    assert read_or_refused(save_tensors(tensor), tmp_path) is None
    assert read_or_refused(save_tensors(tensor, {"format": "pt"}), tmp_path) is None
    assert read_or_refused(save_tensors({}, {"swiftforce-masks": "{"}), tmp_path) is None


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sf.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        sf.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        example().save(tmp_path / "no folder" / "m")


def test_a_failure_to_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    example().save(path)
    before = path.read_bytes()

    def half(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="no space left"):
        sf.random(np.ones(999, np.float32), keep=3).save(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_without_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (lambda: example().save(tmp_path / "m"), lambda: sf.load(tmp_path / "m")):
        with pytest.raises(ImportError, match=r"pip install 'swiftforce\[files\]'"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_large_file_of_another_kind_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    header = b'{"a":{"dtype":"U8","shape":[1000000000000],"data_offsets":[0,1000000000000]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with path.open("r+b") as file:
        file.truncate(8 + len(header) + 10**12)
    with pytest.raises(sf.MaskFileError, match=r"is not a file of masks$"):
        sf.load(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\xff" * 8, b"\2\0\0\0\0\0\0\0{}", b"[" * 99])
def test_what_has_no_header_is_no_file_of_masks(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(sf.MaskFileError, match=r"is not a file of masks$"):
        sf.load(tmp_path / "a.safetensors")
