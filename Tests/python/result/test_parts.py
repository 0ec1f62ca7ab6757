"""Parts of an array along its first axis that keep nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from swiftforce.result import has_parts


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("blocks/kernel", (5, 8, 8)),
        ("experts.down_proj", (8, 64, 256)),
        ("blocks/mlp/w", (2, 3, 4)),
        ("blocks/query/kernel", (12, 64, 4, 16)),
    ],
)
def test_stacks_and_experts_have_parts(name: str, shape: tuple[int, ...]) -> None:
    assert has_parts(name, shape)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("fc.weight", (8, 64)),
        ("bias", (8,)),
        ("features.0.weight", (64, 64, 3, 3)),
        ("0.weight", (64, 64, 3)),
        ("layer/kernel", (3, 3, 64, 64)),
        ("Conv_0/kernel", (3, 16, 16)),
        ("query/kernel", (768, 12, 64)),
        ("w", (1, 4, 4)),
        ("w", (0, 4, 4)),
    ],
)
def test_matrices_and_convolutions_have_none(name: str, shape: tuple[int, ...]) -> None:
    assert not has_parts(name, shape)


def weights() -> dict[str, np.ndarray]:
    array = np.arange(1, 1 + 4 * 5 * 5, dtype=np.float32).reshape(4, 5, 5)
    array[[0, 2]] /= 1e6
    return {"experts": array, "fc": np.ones((2, 2), np.float32)}


def test_lost_parts_are_warned_of_and_saved(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    with pytest.warns(sf.LayerCollapseWarning, match=r"in experts\[0\], experts\[2\]: along"):
        pruning = sf.magnitude(weights(), keep=54)
    assert [layer.lost for layer in pruning.layers] == [(0, 2), ()]
    pruning.save(tmp_path / "masks")
    assert sf.load(tmp_path / "masks").layers == pruning.layers
    assert pruning.warnings == sf.load(tmp_path / "masks").warnings


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_what_keeps_nothing_at_all_is_one_layer() -> None:
    array = weights()
    array["experts"] /= 1e6
    pruning = sf.magnitude(array, keep=4)
    assert pruning.layers[0].collapsed and not pruning.layers[0].lost


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_masks_of_layers_fit_a_stack_of_them(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    stack = np.arange(1, 25, dtype=np.float32).reshape(4, 3, 2)
    layers = {f"blocks[{position}]": stack[position] for position in (0, 1, 3)}
    pruning = sf.magnitude(layers, keep=8)
    applied = sf.apply_masks({"blocks": stack}, pruning)["blocks"]
    assert (applied[2] == stack[2]).all()
    assert [int(np.count_nonzero(one)) for one in applied] == [0, 2, 6, 6]
    path = tmp_path / "masks"
    pruning.save(path)
    assert sf.load(path, {"blocks": stack}).keep == 8
    for other in (stack[:3], stack[:, :2], stack.reshape(-1)):
        with pytest.raises(sf.WeightsDifferError, match="missing"):
            sf.load(path, {"blocks": other.copy()})
