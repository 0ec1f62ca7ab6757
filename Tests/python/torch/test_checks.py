"""Control masks of a model: shuffled and inverted."""

from __future__ import annotations

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from swiftforce import checks  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]


@pytest.mark.slow
def test_masks_of_a_model_are_shuffled_as_the_native_ones() -> None:
    model = torch_models.resnet18().to(memory_format=torch.channels_last)
    pruning = sft.prune(model, method="random", sparsity=0.7)
    arrays = {name: mask.numpy() for name, mask in pruning.masks.items()}
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    scores = {name: one.detach().abs().bfloat16() for name, one in sft.prunable(model).items()}
    floats = {name: np.ascontiguousarray(one.float().numpy()) for name, one in scores.items()}
    for found, expected in (
        (sft.shuffle(pruning, 3), checks.shuffle(contiguous, 3)),
        (sft.invert(pruning, seed=3), checks.invert(contiguous, seed=3)),
        (sft.invert(pruning.masks, scores=scores), checks.invert(contiguous, scores=floats)),
    ):
        assert {name: mask.tolist() for name, mask in found.items()} == {
            name: mask.tolist() for name, mask in expected.items()
        }
        sft.apply(model, found)
        assert sum(int((one != 0).sum()) for one in sft.prunable(model).values()) <= pruning.keep
    sft.apply(model, checks.shuffle(contiguous))  # arrays do, too


def test_masks_of_a_model_that_are_none_are_refused() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match=r"masks\['a'\] must be a tensor of bools"):
        sft.shuffle({"a": torch.ones(3)})
    with pytest.raises(sf.StructureError, match="mapping of names"):
        sft.invert([torch.ones(3).bool()])
    with pytest.raises(sf.StructureError, match="scores lack 'a'"):
        sft.invert({"a": torch.ones(3).bool()}, scores={"b": torch.ones(3)})


def test_masks_may_be_arrays() -> None:
    model = torch_models.mlp()
    pruning = sft.prune(model, method="random", sparsity=0.7)
    arrays = {name: mask.numpy() for name, mask in pruning.masks.items()}
    torch_models.assert_same(sft.shuffle(arrays, 3), sft.shuffle(pruning, 3))
    torch_models.assert_same(sft.invert(arrays), sft.invert(pruning))
    with pytest.raises(sf.UnsupportedTypeError, match=r"masks\['a'\] must be .* not torch.float64"):
        sft.shuffle({"a": np.ones(3)})


def test_overlap_of_masks_in_any_memory_format() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 2, 3))
    a = sft.prune(model.to(memory_format=torch.channels_last), method="random", sparsity=0.5)
    b = sft.prune(model, method="random", sparsity=0.7, seed=1)
    arrays = [
        {name: np.ascontiguousarray(mask.numpy()) for name, mask in one.masks.items()}
        for one in (a, b)
    ]
    expected = checks.overlap(*arrays)
    assert (expected.kept_a, expected.kept_b) == (a.keep, b.keep)
    assert [layer.name for layer in expected.layers] == [layer.name for layer in a.layers]
    for first, second in ((a, b), (a.masks, b), (a, arrays[1]), (arrays[0], b.masks)):
        assert sft.overlap(first, second) == expected


def test_overlaps_of_masks_that_do_not_fit_are_refused() -> None:
    masks = {"a": torch.ones(3).bool()}
    with pytest.raises(sf.UnsupportedTypeError, match=r"masks b\['a'\] must be a tensor of bools"):
        sft.overlap(masks, {"a": torch.ones(3)})
    with pytest.raises(sf.StructureError, match="masks a must be a mapping of names"):
        sft.overlap([torch.ones(3).bool()], masks)
    with pytest.raises(sf.StructureError, match="masks b lack 'a'"):
        sft.overlap(masks, {"b": torch.ones(3).bool()})
    with pytest.raises(sf.ShapeError, match=r"masks b\['a'\] has shape \(4,\)"):
        sft.overlap(masks, {"a": torch.ones(4).bool()})
