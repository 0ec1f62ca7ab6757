"""Files of masks for tests: written, changed, and read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import swiftforce as sf
from kinds import network
from oracle import assert_same_masks
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from swiftforce.files.formats import _digest


def example(structure: str = "mapping") -> sf.Pruning:
    """A result of four steps, with odd names and shapes."""
    shapes = ((7, 5), (0,), (5, 3), (), (11,), (2, 1, 2, 1, 2))
    weights, gradients = network(31, shapes)
    if structure == "array":
        return sf.force(weights[0], lambda w: gradients([w, *weights[1:]])[0], keep=9, steps=4)
    names = ["fc.1", "", "mask.0", "__metadata__", "naïve\n☃", "last"]

    def found(arrays: list[Any]) -> list[Any]:
        return [np.asarray(array, np.float32) for array in gradients(arrays)]

    if structure == "mapping":
        return sf.force(
            dict(zip(names, weights, strict=True)),
            lambda w: dict(zip(names, found(list(w.values())), strict=True)),
            keep=9,
            steps=4,
        )
    kind = {"list": list, "tuple": tuple}[structure]
    return sf.force(kind(weights), lambda w: kind(found(w)), keep=9, steps=4)


def assert_same(found: sf.Pruning, expected: sf.Pruning) -> None:
    assert type(found.masks) is type(expected.masks)
    assert_same_masks(found.masks, expected.masks)
    for name in ("layers", "history", "method", "seed", "schedule"):
        assert getattr(found, name) == getattr(expected, name)
    assert str(found) == str(expected)


def saved_bytes(pruning: sf.Pruning, tmp_path: Path) -> bytes:
    """The file of a result."""
    pruning.save(tmp_path / "whole")
    return (tmp_path / "whole").read_bytes()


def described(content: bytes) -> dict[str, Any]:
    """What a file says about its masks."""
    length = int.from_bytes(content[:8], "little")
    envelope = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["swiftforce-masks"])
    return json.loads(envelope["about"])


def read_or_refused(content: bytes, tmp_path: Path) -> sf.Pruning | None:
    """What is read from the bytes; None if they are refused as they should be."""
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    try:
        return sf.load(path)
    except sf.MaskFileError as error:
        assert isinstance(error, ValueError)
        assert str(path) in str(error)
        assert error.__suppress_context__ or error.__context__ is None
        return None


def rewritten(pruning: sf.Pruning, tmp_path: Path, change: Callable[[dict, dict], None]) -> bytes:
    """The file with other masks or another description in it."""
    content = saved_bytes(pruning, tmp_path)
    masks, about = load_tensors(content), described(content)
    change(about, masks)
    return with_digest(masks, json.dumps(about))


def with_digest(masks: dict, text: str) -> bytes:
    """A file with a digest that fits what is in it."""
    envelope = {"about": text, "digest": _digest(text, masks)}
    return save_tensors(masks, {"swiftforce-masks": json.dumps(envelope)})
