"""Masks that numpy found are loaded for a model, also under a shared name or as one array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("safetensors")

from swiftforce import torch as sft  # noqa: E402


def test_masks_that_are_one_array(tmp_path: Path) -> None:
    path = tmp_path / "masks.safetensors"
    found = sf.magnitude(np.arange(8, dtype=np.float32).reshape(2, 4), keep=3)
    found.save(path)
    model = torch.nn.ParameterDict({"weights": torch.nn.Parameter(torch.ones(2, 4))})
    assert sft.load(path, model).masks["weights"].numpy().tolist() == found.masks.tolist()


def test_a_shared_parameter_under_its_second_name(tmp_path: Path) -> None:
    path = tmp_path / "masks.safetensors"
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    model[1].weight = model[0].weight
    sf.magnitude({"1.weight": model[1].weight.detach().numpy()}, keep=4).save(path)
    assert int(sft.load(path, model).masks["1.weight"].sum()) == 4


def test_a_class_is_not_taken_for_batches() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match="the class DataLoader"):
        sft.force(
            torch.nn.Linear(3, 2),
            torch.utils.data.DataLoader,
            torch.nn.functional.cross_entropy,
            sparsity=0.5,
        )
