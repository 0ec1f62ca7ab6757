"""Leaves that hold a stack of layers: each layer is reported, chosen and shuffled on its own."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")

import jax
import jax.numpy as jnp
import swiftforce.jax as sfj
from pytree_models import Params, by_path, normal


def model() -> Params:
    """Four layers that a scan goes through; the third is tiny, so it loses all its weights."""
    kernel = normal(0, 4, 6, 6).at[2].mul(1e-6)
    blocks = {"kernel": kernel, "bias": normal(1, 4, 6)}
    return {"blocks": blocks, "head": {"kernel": normal(2, 6, 3)}}


def loss(params: Params, x: jax.Array) -> jax.Array:
    def layer(x: jax.Array, one: Params) -> tuple[jax.Array, None]:
        return jnp.tanh(x @ one["kernel"] + one["bias"]), None

    x, _ = jax.lax.scan(layer, x, params["blocks"])
    return jnp.mean((x @ params["head"]["kernel"] - 1) ** 2)


BATCHES = [normal(3, 8, 6), normal(4, 8, 6)]
LAYERS = [f"blocks/kernel[{position}]" for position in range(4)]


def magnitude(**options: Any) -> sfj.PytreePruning:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sfj.prune(model(), method="magnitude", sparsity=0.5, **options)


def kept(masks: Params) -> list[int]:
    return np.asarray(masks["blocks"]["kernel"]).sum((1, 2)).tolist()


@pytest.mark.parametrize("method", ["magnitude", "force", "iterative_snip"])
@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_masks_are_those_of_the_leaf_as_a_whole(method: Any) -> None:
    options: dict[str, Any] = {"method": method, "sparsity": 0.6}
    if method != "magnitude":
        options["steps"] = 3
    whole = sfj.prune(model(), loss, BATCHES, **options)
    stack = sfj.prune(model(), loss, BATCHES, stacked="blocks/*", **options)
    oracle.assert_same_masks(by_path(stack.masks), by_path(whole.masks))
    assert [layer.name for layer in stack.layers] == [*LAYERS, "head/kernel"]
    assert [layer.shape for layer in stack.layers] == [(6, 6)] * 4 + [(6, 3)]
    assert [layer.kept for layer in stack.layers[:4]] == kept(stack.masks)
    assert stack.keep == whole.keep


def test_a_layer_that_loses_all_is_warned_of() -> None:
    with pytest.warns(sf.LayerCollapseWarning, match=r"^no weight is kept in blocks/kernel\[2\]$"):
        sfj.prune(model(), method="magnitude", sparsity=0.5, stacked="blocks/*")
    assert "nothing is left" not in str(magnitude(stacked="blocks/*"))
    with pytest.warns(sf.LayerCollapseWarning, match=r"blocks/kernel\[2\]: along the first axis"):
        pruning = sfj.prune(model(), method="magnitude", sparsity=0.5)
    assert pruning.layers[0].lost == (2,)
    assert any("blocks/kernel[2]" in text for text in pruning.warnings)
    assert pruning.to_dict()["layers"][0]["lost"] == [2]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, [*LAYERS, "head/kernel"]),
        ({"exclude": "blocks/kernel[3]"}, [*LAYERS[:3], "head/kernel"]),
        ({"exclude": ["*[0]", "head/*"]}, LAYERS[1:]),
        ({"exclude": "blocks/kernel"}, ["head/kernel"]),
        ({"include": "blocks/kernel[1]"}, [LAYERS[1]]),
        ({"include": ["*/kernel", "*/bias[0]"]}, ["blocks/bias[0]", *LAYERS, "head/kernel"]),
    ],
)
def test_patterns_choose_layers(options: Any, names: list[str]) -> None:
    pruning = magnitude(stacked="blocks/*", **options)
    assert [layer.name for layer in pruning.layers] == names
    assert list(sfj.prunable(model(), stacked="blocks/*", **options)) == names
    masks = pruning.masks["blocks"]["kernel"]
    for position, name in enumerate(LAYERS):
        assert (name in names) or masks[position].all()


def test_prunable_has_the_arrays_of_layers() -> None:
    found = sfj.prunable(model(), stacked="blocks/*")
    assert np.array_equal(found[LAYERS[1]], model()["blocks"]["kernel"][1])


def test_shuffled_and_inverted_within_layers() -> None:
    pruning = magnitude(stacked="blocks/*")
    for changed in (
        sfj.shuffle(pruning, seed=1),
        sfj.shuffle(pruning.masks, seed=1, stacked="blocks/*"),
        sfj.invert(pruning),
        sfj.invert(pruning.masks, scores=model(), stacked="blocks/kernel"),
    ):
        assert kept(changed) == kept(pruning.masks)
        assert not jnp.array_equal(changed["blocks"]["kernel"], pruning.masks["blocks"]["kernel"])
    assert kept(sfj.shuffle(pruning.masks, seed=1)) != kept(pruning.masks)


def test_overlaps_are_those_of_layers() -> None:
    a, b = magnitude(stacked="blocks/*", exclude="blocks/kernel[0]"), magnitude(stacked="blocks/*")
    found = sfj.overlap(b.masks, b.masks, stacked="blocks/kernel")
    assert {*LAYERS, "head/kernel"} <= {layer.name for layer in found.layers}
    assert [layer.name for layer in sfj.overlap(a, a).layers] == [*LAYERS[1:], "head/kernel"]
    for both in (sfj.overlap(a, b), sfj.overlap(a.masks, b)):
        assert [layer.name for layer in both.layers] == [*LAYERS, "head/kernel"]
        assert both.layers[0].share_of_a < both.layers[1].share_of_a
    fewer = {**b.masks, "blocks": {name: one[:2] for name, one in b.masks["blocks"].items()}}
    with pytest.raises(sf.StructureError, match=r"masks b lack 'blocks/kernel\[2\]'"):
        sfj.overlap(b, fewer)


def test_layers_are_saved_and_loaded(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    pruning = magnitude(stacked="blocks/*", exclude="blocks/kernel[0]")
    pruning.save(tmp_path / "masks")
    found = sfj.load(tmp_path / "masks", model())
    oracle.assert_same_masks(by_path(found.masks), by_path(pruning.masks))
    assert found.layers == pruning.layers
    other = model()
    other["blocks"]["kernel"] = other["blocks"]["kernel"][:2]
    with pytest.raises(sf.WeightsDifferError, match=r"mask of 'blocks/kernel\[2\]', which params"):
        sfj.load(tmp_path / "masks", other)


def test_what_cannot_be_a_stack() -> None:
    with pytest.raises(sf.UnknownNameError, match=r"stacked .*'layers/\*'"):
        magnitude(stacked="layers/*")
    with pytest.raises(sf.StructureError, match="stacked matches t, which has no axis"):
        sfj.prune(
            {"t": jnp.ones(()), "w": jnp.ones((2, 2, 2))}, method="magnitude", keep=1, stacked="*"
        )
